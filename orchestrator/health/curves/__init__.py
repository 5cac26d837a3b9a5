"""The curves of a training, read: what they show, what is wrong with them, what to do."""
