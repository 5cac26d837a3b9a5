"""Drafts a recipe for a user's own file: guesses from its rows (guess.py), and a recipe based on them (draft.py)."""
