"""Models: a recipe's starting model, references to models, loading and saving."""
