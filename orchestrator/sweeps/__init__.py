"""Many variants of a recipe: what to try next, how trials share stages, which trial is best, and how sure that is.

variants.py   the plan of each variant, and checks of a sweep before anything runs
proposing.py  Optuna proposes values; a grid needs no proposals
budget.py     whether the budget allows another trial
search.py     feeds trials to the scheduler as the machine has room, then evaluates the winner on the test split
choosing.py   trials side by side: the best, those tied with it, the one to propose
pruning.py    which trials to end early
outcome.py    the sweep's result
planned.py    what a sweep would run
record.py     the sweep's run in the store
best_file.py  the recipe file with the winner's values
words.py      a sweep's result in sentences
"""
