"""Draw completions from a model: engines, and the shards that Ray runs them in."""
