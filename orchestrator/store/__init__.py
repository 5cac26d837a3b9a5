"""The MLflow store: its runs, the files that stages leave in it, the names of tags and files."""
