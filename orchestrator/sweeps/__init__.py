"""Many variants of a recipe: what to try next, how trials share stages, which one is the best, and how sure that is.

variants.py   the plan of each variant, and what is wrong with a sweep before anything runs
proposing.py  Optuna proposes values; a grid needs no proposals
budget.py     whether there is room for a further trial
search.py     trials given to the scheduler as the machine takes them, then the winner on the test split
choosing.py   trials side by side: the best, those tied with it, the one to take
pruning.py    which trials to end early
outcome.py    what the sweep has come to
planned.py    what it would run
record.py     the sweep's run in the store
best_file.py  the recipe file with the winner's values
words.py      what a sweep comes to, in sentences
"""
