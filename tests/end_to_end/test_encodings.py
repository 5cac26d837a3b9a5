"""A terminal or a locale that is not UTF-8: symbols become ASCII, and no command fails because of one."""

from pathlib import Path

from tests.conftest import call

ASCII = {"PYTHONIOENCODING": "ascii", "LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
RECIPE = """\
name: 答案 − π
task: {type: file, train: {file: train.jsonl}, test: {file: test.jsonl}, judge: {type: exact}}
model: {name: tiny}
stages:
  samples: {type: sample, model: base, prompts: train, n: 2, max_tokens: 48, batch_size: 4}
evaluate: {on: test, max_tokens: 48, batch_size: 4}
"""


def test_no_command_ends_over_a_sign_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "r.yaml").write_text(RECIPE, encoding="utf-8")
    for split, sign in (("train", "−"), ("test", "→")):
        rows = [f'{{"question": "Was ist {n} {sign} 1 …?", "answer": "größer als {n}"}}\n' for n in range(2, 6)]
        (tmp_path / f"{split}.jsonl").write_text("".join(rows), encoding="utf-8")
    ran = call(tmp_path, "run", "r.yaml", fresh=True, **ASCII)
    assert ran.code == 0, ran.err
    assert (ran.out + ran.err).isascii() and "\\u7b54\\u6848 - \\u03c0" in ran.out
    for arguments in (("compare",), ("report", "last")):
        said = call(tmp_path, *arguments, fresh=True, **ASCII)
        assert said.code == 0, said.err
        assert (said.out + said.err).isascii() and "Traceback" not in said.err
