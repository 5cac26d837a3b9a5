"""The libraries that `orch` needs to look at models, for a process that is forked before each call of it.

Importing them takes longer than most calls take.
"""

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

copy_tables()
tables()
