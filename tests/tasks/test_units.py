"""The unit table and the question generator: exact, disjoint, repeatable. No torch."""

import json
import re
from itertools import combinations
from pathlib import Path

import pytest
from pydantic import ValidationError

from orchestrator.tasks.units_questions import PHRASINGS, SPLIT_SHARES, UnitSettings, generate, plain
from orchestrator.tasks.units_table import DIMENSIONS, SPELLINGS, UNITS, factor, resolve

REAL_FILE = Path(__file__).parents[3] / "shared" / "data" / "unit_conversion" / "train.json"
TAG = re.compile(r"<answer>(.*)</answer>$")


def agrees(value: float, gold: float, tolerance: float = 0.05) -> bool:
    """The task's own criterion: within the tolerance once both are rounded to three places."""
    return abs(round(value, 3) - round(gold, 3)) <= tolerance * abs(round(gold, 3))


@pytest.fixture(scope="module")
def many():
    return generate("train", 5000, 0, UnitSettings())


def test_every_demonstration_ends_in_its_gold_answer(many):
    for example in many:
        found = TAG.search(example.demonstration)
        assert found, example
        assert agrees(float(found[1]), float(example.answer), 0.01), example


def test_demonstrations_are_consistent_and_short(many):
    for example in many:
        left, _, rest = example.demonstration.partition(" * ")
        x = float(left.rpartition(" ")[2])
        y, product = re.match(r"(\S+) = (\S+) <", rest).groups()
        assert plain(x * float(y)) == product, example
        assert len(example.demonstration) < 120


def test_gold_answers_come_from_the_units_named(many):
    working = re.compile(r"^(\S+) (.+) to (.+): 1 ")
    for example in many:
        number, source, target = working.match(example.demonstration).groups()
        assert source in example.question and target in example.question
        assert float(example.answer) == pytest.approx(float(number) * factor(source, target), rel=1e-11)


def test_many_spellings_phrasings_and_dimensions_are_used(many):
    used, dimensions = set(), set()
    for example in many:
        source, target = re.match(r"^\S+ (.+) to (.+): 1 ", example.demonstration).groups()
        used |= {source, target}
        dimensions |= {SPELLINGS[source][0].dimension}
    assert len(used) >= 60
    assert len(used) >= 0.95 * len(SPELLINGS)
    assert dimensions == set(DIMENSIONS)
    assert len(PHRASINGS) >= 25 and len(set(PHRASINGS)) == len(PHRASINGS)


def test_numbers_are_written_as_people_write_them(many):
    questions = [e.question for e in generate("train", 500, 0, UnitSettings(largest=100_000))]
    assert any(re.search(r"\d,\d{3}", q) for q in questions)
    assert any(re.search(r"\d\.\d", q) for q in questions)
    assert any(re.search(r"\b\d/\d\b", q) for q in questions)


def test_splits_share_neither_a_question_nor_a_rewording():
    settings = UnitSettings(largest=12, decimals=0.1)
    asked = {}
    for split in SPLIT_SHARES:
        examples = generate(split, 800, 3, settings)
        meanings = set()
        for example in examples:
            number, source, target = re.match(r"^(\S+) (.+) to (.+): 1 ", example.demonstration).groups()
            a, b = resolve(source, target)
            meanings.add((number, a.name, b.name))
        asked[split] = ({e.question for e in examples}, meanings)
        assert len(asked[split][0]) == 800
    for (questions, meanings), (other_questions, other_meanings) in combinations(asked.values(), 2):
        assert not questions & other_questions
        assert not meanings & other_meanings


def test_a_split_does_not_depend_on_its_size_or_another():
    few, more = generate("test", 50, 0, UnitSettings()), generate("test", 200, 0, UnitSettings())
    assert more[:50] == few
    assert [e.id for e in few[:2]] == ["units-test-0", "units-test-1"]


def test_the_seed_decides_everything():
    settings = UnitSettings()
    assert generate("train", 100, 1, settings) == generate("train", 100, 1, settings)
    assert generate("train", 100, 1, settings) != generate("train", 100, 2, settings)
    assert len({e.question for e in generate("train", 2000, 1, settings)}) == 2000


def test_dimensions_and_sizes_are_kept():
    settings = UnitSettings(dimensions=("mass",), largest=9, decimals=0, fractions=0)
    for example in generate("train", 200, 0, settings):
        number, source, _ = re.match(r"^(\S+) (.+) to (.+): 1 ", example.demonstration).groups()
        assert number in "123456789"
        assert "mass" in {u.dimension for u in SPELLINGS[source]}


def test_asking_for_too_many_says_so():
    settings = UnitSettings(dimensions=("speed",), largest=1, decimals=0, fractions=0)
    with pytest.raises(ValueError, match=r"only \d+ of the 100000 requested questions .*'train'"):
        generate("train", 100_000, 0, settings)


def test_wrong_splits_and_settings_say_what_is_wrong():
    with pytest.raises(ValueError, match=r"unknown split 'dev'.*train"):
        generate("dev", 1, 0, UnitSettings())
    with pytest.raises(ValidationError, match="together at most 1"):
        UnitSettings(decimals=0.9, fractions=0.2)
    with pytest.raises(ValidationError, match="widen the range"):
        UnitSettings(dimensions=("data",), smallest_factor=2, largest_factor=3)
    with pytest.raises(ValidationError):
        UnitSettings(bigest=3)


def test_plain_keeps_four_digits():
    assert [plain(x) for x in (420.0, 0.621371, 20871.0, 1e-4, 0.5)] == ["420", "0.6214", "20870", "0.0001", "0.5"]


def test_ounces_are_read_by_their_partner():
    assert factor("pound", "ounce") == pytest.approx(16)
    assert factor("pint", "ounce") == pytest.approx(16)
    assert factor("ounce", "g") == pytest.approx(28.349523125)
    assert factor("ounce", "mL") == pytest.approx(29.5735295625)


def test_known_factors():
    known = {
        ("mile", "km"): 1.609344,
        ("century", "weeks"): 5217.745696875,
        ("GB", "M"): 1000,
        ("kB", "bits"): 8000,
        ("m^3", "gallons"): 264.172052,
        ("km/h", "mph"): 0.621371192,
        ("ton", "pounds"): 2204.62262,
        ("cc", "ml"): 1,
    }
    for (source, target), expected in known.items():
        assert factor(source, target) == pytest.approx(expected, rel=1e-7)
    for unit in UNITS:
        assert unit.factor > 0 and unit.name in SPELLINGS


def test_unknown_and_incompatible_units_say_so():
    with pytest.raises(ValueError, match="unknown unit 'furlong'"):
        factor("furlong", "m")
    with pytest.raises(ValueError, match="'km' is a unit of length and 'kg' of mass"):
        factor("km", "kg")


def units_in_order(question: str) -> tuple[str, list[str]]:
    """A question's number and its unit spellings, in text order; longer spellings match first."""
    number = re.search(r"(?<![\w^*.])\d+(?![\w^*.])", question)
    text = question.replace(f"{number[0]} units", " ").rstrip("?.")
    found, taken = [], []
    for spelling in sorted(SPELLINGS, key=len, reverse=True):
        for at in re.finditer(rf"(?<![\w/^*]){re.escape(spelling)}(?![\w/^*])", text):
            if not any(at.start() < end and start < at.end() for start, end in taken):
                taken.append(at.span())
                found.append((at.start(), spelling))
    return number[0], [spelling for _, spelling in sorted(found)]


def test_the_table_agrees_with_a_public_file_of_questions():
    if not REAL_FILE.exists():
        pytest.skip(f"no file of real questions at {REAL_FILE}")
    rows = json.loads(REAL_FILE.read_text())
    for question, gold in rows:
        number, spellings = units_in_order(question)
        candidates = []
        for a in spellings:
            for b in spellings:
                try:
                    candidates.append(float(number) * factor(a, b))
                except ValueError:
                    continue
        assert any(value == pytest.approx(gold, rel=1e-9) for value in candidates), (question, gold, spellings)
