"""A plan carried out, recorded, and read back: the scheduler, Ray, the run's record, past runs."""
