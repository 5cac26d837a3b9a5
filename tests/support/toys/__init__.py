"""A toy of each kind of extension of orch: each is one file, and one entry in a registry."""
