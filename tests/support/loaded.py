"""`orch` and the libraries it needs for models, loaded in a process that is forked for each call of `orch`.

Importing them takes longer than most calls. Modules that read the environment on import are left to the calls.
"""

from importlib import import_module
from pkgutil import walk_packages

import orchestrator
from orchestrator.cli import _quiet

_quiet()

import datasets  # noqa: E402, F401
import matplotlib.backends.backend_agg  # noqa: E402
import matplotlib.figure  # noqa: E402, F401
import mlflow.store.tracking.sqlalchemy_store  # noqa: E402, F401
import peft  # noqa: E402, F401
import scipy.stats  # noqa: E402, F401
import torch  # noqa: E402, F401
from transformers import AutoModelForCausalLM, AutoTokenizer, LlamaForCausalLM  # noqa: E402, F401
from trl import SFTTrainer  # noqa: E402, F401

from tests.support.tables import copy_tables, tables  # noqa: E402

LEFT_OUT = ("orchestrator.store.connection", "orchestrator.store.mlflow")
"""They set environment variables for MLflow."""
for module in walk_packages(orchestrator.__path__, "orchestrator."):
    if module.name not in LEFT_OUT and not module.name.endswith(".__main__"):
        import_module(module.name)

copy_tables()
tables()
