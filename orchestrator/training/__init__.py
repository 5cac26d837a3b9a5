"""Training with TRL, the only package that imports it. Each function trains one model in a worker and saves it."""
