"""The verbs of a recipe, one file each."""
