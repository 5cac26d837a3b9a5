"""A recipe for somebody's own file: what its rows tell (guess.py), and the recipe written from that (draft.py)."""
