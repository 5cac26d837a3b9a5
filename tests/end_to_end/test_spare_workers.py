"""A GPU worker's loaded model serves the next stage. The GPU is only declared to Ray, so none is needed."""

import re
from pathlib import Path

from tests.conftest import call

RECIPE = """\
name: on-a-gpu
task: {type: units, train: {generate: 8}, test: {generate: 8}}
model: {name: tiny}
stages:
  samples: {type: sample, model: base, n: 2, max_tokens: 96, batch_size: 4, resources: {gpus: 1}}
evaluate: {max_tokens: 96, resources: {gpus: 1}}
"""


def test_one_engine_serves_two_stages(tmp_path: Path) -> None:
    (tmp_path / "recipe.yaml").write_text(RECIPE)
    made = call(tmp_path, "run", "recipe.yaml", RAY_OVERRIDE_RESOURCES='{"CPU": 2, "GPU": 1}')
    assert made.code == 0, made.out
    log = "".join(call(tmp_path, "logs", "last", stage).out for stage in ("samples", "evaluate.base"))
    found: dict[str, set[str]] = {}
    for stage, number in re.findall(r"(\S+), job \d+ of \d+: started \(.*process (\d+)\)", log):
        found.setdefault(stage, set()).add(number)
    assert set(found) == {"samples", "evaluate.base"}
    assert len(set.union(*found.values())) == 1, found
    assert log.count("loaded base with transformers in") == 1
