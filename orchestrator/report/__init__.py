"""Reports: pages that can be sent to a colleague. One file each, no script, nothing fetched; all text is escaped."""
