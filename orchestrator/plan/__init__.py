"""Recipe -> stages with keys, and how long they will take."""
