"""Recipe -> stages with keys, and a forecast of how long they will take."""
