"""Models: what a recipe starts from, references to models, loading and saving them."""
