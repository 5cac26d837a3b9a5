"""One toy of each thing that orch can be extended with: each is one file, and one entry of a registry."""
