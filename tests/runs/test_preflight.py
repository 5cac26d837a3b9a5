"""What is asked of a cluster before a run: do its machines see the folder that they are to work in?"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from orchestrator.errors import InputError
from orchestrator.runs.cluster import Cluster
from orchestrator.runs.preflight import _refuse_unseen


class TwoMachines(Cluster):
    """This one, and one that has nothing of this one's disk."""

    def on_each_machine(self, function: Callable[[Any], Any], argument: Any) -> dict[str, Any]:
        return {"here": function(argument), "elsewhere": function(f"/elsewhere{argument}")}


def test_a_machine_that_does_not_see_the_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"storage: .*work is not seen by elsewhere .*storage=FOLDER"):
        _refuse_unseen(tmp_path / "work", TwoMachines(1, 2, 0, joined=True, machines=((1, 0.0), (1, 0.0))))
    assert list((tmp_path / "work" / "locks").iterdir()) == []
    _refuse_unseen(tmp_path / "work", TwoMachines(1, 2, 0, joined=False, machines=((1, 0.0), (1, 0.0))))
