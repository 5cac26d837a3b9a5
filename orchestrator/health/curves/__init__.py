"""Reading a training's curves: their shapes, what is wrong with them, and what to change."""
