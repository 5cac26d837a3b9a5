"""The judges, one file for each; `answers/judge.py` lists them."""
