"""Training with TRL: the only home of trl. Each function trains one model in a worker and leaves it in a folder."""
