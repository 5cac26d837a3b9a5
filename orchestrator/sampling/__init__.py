"""Sampling completions from a model: engines, and the shards in which Ray runs them."""
