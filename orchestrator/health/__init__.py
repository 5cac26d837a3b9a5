"""Health checks before, during and after a run. Each returns Findings and changes nothing."""
