"""From YAML to a typed recipe: its blocks, its graph of stages, and errors with file, line and closest match."""
