"""Everything that is shown on the terminal."""
