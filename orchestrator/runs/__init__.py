"""Running plans, recording them, and reading them back: the scheduler, Ray, run records, past runs."""
