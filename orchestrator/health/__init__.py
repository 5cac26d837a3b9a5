"""Health: what is looked at before, during and after a run; each look returns Findings. It changes nothing."""
