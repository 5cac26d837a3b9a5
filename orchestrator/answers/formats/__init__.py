"""The answer formats, one file for each; `answers/format.py` lists them."""
