"""The verbs of the public API, one file each: typed functions that print nothing."""
