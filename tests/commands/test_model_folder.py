"""A run and a folder may have the same name: which of them is meant."""

from pathlib import Path

from orchestrator.commands.model_folder import model_folder


def test_a_folder_is_meant_where_it_holds_a_model_or_is_written_as_a_path() -> None:
    for name in ("empty", "adapter", "whole"):
        Path(name).mkdir()
    Path("adapter/adapter_config.json").touch()
    Path("whole/config.json").touch()
    assert model_folder("adapter") == Path("adapter") and model_folder("whole") == Path("whole")
    assert model_folder("empty") is None, "an experiment may have this name"
    assert model_folder("./empty") == Path("./empty") and model_folder(str(Path("empty").absolute())) is not None
    for named in (None, "", "none", "./none", "~no-such-user-here/x", "a" * 5000, "last"):
        assert model_folder(named) is None
