"""The store: its runs, the files that stages leave in it, the names of tags and files.

base.py      what the rest of orch needs of a store, and a run as plain data; opening.py opens the one in use
mlflow.py    MLflow's, over connection.py (reading page by page) and client.py (errors in one line)
local.py     a local one, read from its database.py without MLflow, which it loads when something is written
memory.py    the one for tests
filed.py     what these three share: which keys are done (finished.py), where files lie (artifacts.py), and whether
             they are what was made (outputs.py)
names.py     every tag and every file
"""
