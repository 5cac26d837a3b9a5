"""The store: its runs, the output files of stages, and the names of tags and files.

base.py      the interface that the rest of orch uses, and runs as plain data; opening.py opens the store in use
mlflow.py    the MLflow store, on top of connection.py (paged reads) and client.py (one-line errors)
local.py     a local store, read from its database (database.py); MLflow is loaded only when something is written
memory.py    an in-memory store for tests
filed.py     shared by these three: which keys are finished (finished.py), where files are (artifacts.py), and whether
             they are unchanged (outputs.py)
names.py     the names of all tags and files
"""
