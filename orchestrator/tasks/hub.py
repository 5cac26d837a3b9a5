"""A data set on the Hugging Face Hub, or a folder of data files, as records.

Loads one split with `datasets` and explains failures. It must not know what a row has to contain.
"""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from orchestrator.errors import DataError
from orchestrator.schema import unknown
from orchestrator.tasks.class_labels import named
from orchestrator.tasks.columns import Columns
from orchestrator.tasks.files import Origin, Table


def read_hub(name: str, config: str | None, split: str, revision: str | None, columns: Columns) -> tuple[Table, Origin]:
    """The records of a split, in order, and their origin. Raises DataError if the split cannot be loaded."""
    # Imported here: users of a file or a generator should not wait for it.
    import datasets
    from huggingface_hub.utils.tqdm import disable_progress_bars

    datasets.disable_progress_bars()
    disable_progress_bars()
    called = ", ".join((name, *([config] if config else []), f"split {split!r}"))
    if Path(name).is_dir() and (sign := re.search(r"[*?\[]", str(Path(name).resolve()))):
        raise DataError(
            f"{name}: cannot be read as a data set, as the folder's path contains {sign[0]!r}, which is a wildcard "
            "there: rename the folder, or name its file: {file: my.jsonl}"
        )
    try:
        _check_reachable(name)
        found = datasets.load_dataset(name, config, split=split, revision=revision)
    except DataError:
        raise
    except Exception as error:  # whatever its readers and the network raise: to the user it all means no data
        raise DataError(_why(error, name, config, split, revision)) from None
    wanted = columns.among(found.column_names)
    chosen = found.select_columns(wanted)
    features = chosen.features.to_dict()
    records = (
        [{name: named(row[name], features[name]) for name in wanted} for row in chosen.to_list()] if wanted else []
    )
    return Table(list(enumerate(records, start=1)), found.column_names, []), Origin(called, "row")


def _check_reachable(name: str) -> None:
    """Try the Hub once if nothing is cached: without a network, `datasets` would retry for half a minute."""
    import datasets
    import huggingface_hub

    cached = Path(datasets.config.HF_DATASETS_CACHE, name.replace("/", "___").lower())
    if Path(name).is_dir() or cached.is_dir() or datasets.config.HF_HUB_OFFLINE:
        return
    try:
        huggingface_hub.HfApi().dataset_info(name, timeout=10)
    except Exception as error:  # `datasets` explains the Hub's responses better; only a missing one is reported here
        # The clients' errors have no common base class: httpx, httpx2, requests.
        if {"ConnectError", "ConnectTimeout", "ConnectionError"} & {cls.__name__ for cls in type(error).__mro__}:
            raise DataError(_unreachable(name)) from None


def _unreachable(name: str) -> str:
    return (
        f"{name}: no folder here, the Hub cannot be reached and the local cache does not have this data set; check the "
        "network, or name a folder or a file: {file: my.jsonl}"
    )


def _why(error: Exception, name: str, config: str | None, split: str, revision: str | None) -> str:
    """The reason why there are no records, in one line."""
    import datasets

    folder = Path(name).is_dir()
    if isinstance(error, ConnectionError):
        return _unreachable(name)
    if isinstance(error, datasets.exceptions.DatasetNotFoundError):
        return f"{name}: {_line(error)}: check hub and revision; a private data set needs `hf auth login`"
    if isinstance(error, FileNotFoundError):
        if folder:
            return f"{name}: the folder holds no data files; put .jsonl, .csv or .parquet files into it"
        return f"{name}: neither a folder here ({Path.cwd()}) nor a data set on the Hub; write it as owner/name"
    if isinstance(error, ValueError):
        configs = _names(datasets.get_dataset_config_names, name, revision=revision)
        if config is None and len(configs) > 1:
            return f"{name}: holds several data sets; name one of them with config: {', '.join(configs)}"
        if config is not None and configs and config not in configs:
            return f"{name}: {unknown('config', config, configs)}"
        splits = _names(datasets.get_dataset_split_names, name, config, revision=revision)
        if splits and split not in splits:
            return f"{name}: {unknown('split', split, splits)}"
    return f"{name}: cannot be read: {_line(error.__cause__ or error)}; check its name and its files"


def _names(ask: Callable[..., Any], *arguments: Any, **named: Any) -> list[str]:
    """The names that the data set offers; empty if they cannot be determined either."""
    try:
        return [str(name) for name in ask(*arguments, **named)]
    except Exception:  # only the wording of an error message depends on it
        return []


def _line(error: BaseException) -> str:
    return " ".join(str(error).split())[:300].rstrip(".")
