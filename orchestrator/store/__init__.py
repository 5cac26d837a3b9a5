"""The store: its runs, the files that stages leave in it, the names of tags and files.

base.py      what the rest of orch needs of a store, and a run as plain data; opening.py opens the one in use
mlflow.py    MLflow's, over connection.py (reading page by page) and client.py (errors in one line)
memory.py    the one for tests
finished.py  which keys are done; artifacts.py and outputs.py where files lie and whether they are what was made
names.py     every tag and every file
"""
