"""YAML -> typed recipe: its sections, its graph of stages, its errors, each with file, line and the closest match."""
