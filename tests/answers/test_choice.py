"""The judge `choice`: which option a text names, if any."""

from typing import Any

import pytest

from orchestrator.answers.judges import ChoiceJudge, ExactJudge
from orchestrator.answers.judges.choice import is_letter, option
from orchestrator.types import Verdict

E = [
    *(
        "E",
        "(E)",
        "E.",
        "E)",
        "[E]",
        "{E}",
        "e",
        "(e)",
        "E!",
        "E.)",
        "`E`",
        '"E"',
        "$E$",
        "**E**",
        "__E__",
        "**E)** 12 m",
    ),
    *(
        r"\text{E}",
        r"\boxed{E}",
        r"$\boxed{\text{(E)}}$",
        r"\(E\)",
        r"\mathrm{E}",
        r"\textbf{(E)}\ 12",
        r"E) \frac{1}{2}",
    ),
    *("Ｅ", "（Ｅ）", "E\u200b", "\ufeffE", "Ⓔ", "⒠", "E。", "答案是E", "选E", "答案：E。"),
    *(
        "E: 12 m",
        "E:12 m",
        "E) foo",
        "E. 12 m",
        "E - 12 m",
        "(E) 12 m",
        "(E): 12 m",
        "E (12 m)",
        "E. 1.5 m",
        "**(E)** 12 m",
    ),
    *("option E", "Option (E)", "Answer: E", "**Answer:** E", "the answer is E", "The answer is E.", "Final answer: E"),
    *("The correct answer is (E).", "I choose E", "I would go with option E", "The answer is option E: 12 m"),
    *("E is correct", "E is the correct answer.", "E, because it is long", "E. East"),
    *("故选E。", "因此选 E", "정답: E", "정답은 E", "Ответ: E", "Antwort: E", "Die Antwort ist E", "La respuesta es E"),
    *(
        "Réponse : E",
        "E<|im_end|>",
        "E</s>",
        "E<|im_end|>\nA",
        "'E'",
        "‘E’",
        "'E'.",
        "E) None of the above",
        "E) vitamin A.",
    ),
    *("E) Both A and B", "E) Both (A) and (B)", "E: A and B", "E) 12, 13 and 14"),
]
NONE = [
    *("East", "Either", "E foo", "E'", "E's", "E%", "E^2", "E=mc^2", "ABC", "a dog", "12 m", "2.5", "2.5 m", "2 m"),
    *(
        "E or F",
        "A and E",
        "E and A",
        "E, F",
        "A, B, E",
        "E/F",
        "E & F",
        "E+F",
        "E F",
        "E. F",
        "(A) (B) (C)",
        "A-E",
        "(E)(F)",
        "A (B)",
    ),
    *("(E) or (F)", "(A) and (E)", "E) or F)", "E or maybe F", "either E or F", "A) x\nB) y", "(A) foo (B) bar"),
    *(
        "not E",
        "not (E)",
        "the answer is not E",
        "neither E nor F",
        "E is wrong",
        "(E) is wrong",
        "E isn't right",
        "E not F",
    ),
    *("E. No, A", "E. Actually A", "E. Wait, the answer is A.", "E) no, (A)", "E: wrong, it is A", "E - no, A"),
    *("E is correct? No", "E is correct. No, A", "E is correct or A", "E (or A)", "E (wrong)", "E (incorrect)"),
    *("(E) violates the law", "(E) must be false", "(E) should be excluded", "(E) contradicts", "(E) looks wrong"),
    *("(E) doesn't work", "(E) won’t work", "(E) fails", "(E) eliminated", "(E) ✗", "~~E~~", "E is correct?"),
    *("E) 1 F) 2", "E: 1, F: 2", "E: 1; F: 2", "E - yes, F - no", "E: true F: false", "E. 1 F. 2", "E: yes F - yes"),
    *("E. It's A", "E) A is right", "E is correct; A", "E is the right answer? A", "E. Perhaps A", "E. I mean A"),
    *("E. The answer is A", "E) 5, so (A).", "E: 12 -> A", "A) 1 E) 2", "A: 1, E: 2", "A: 1; E: 2"),
    *("", "  ", "(E", "none", "None of the above", "Answer", "the answer", "I think so", "E, not F"),
]


@pytest.mark.parametrize("text", E)
def test_one_option_however_it_is_set_off(text: str) -> None:
    assert ChoiceJudge().judge(text, "E", "stop") == Verdict("correct", "E")
    assert ChoiceJudge().judge(text, "D", "stop") == Verdict("wrong", "E")


@pytest.mark.parametrize("text", NONE)
def test_what_names_no_option_or_several_is_no_choice(text: str) -> None:
    assert ChoiceJudge().judge(text, "E", "stop") == Verdict("unparsed")


@pytest.mark.parametrize(
    ("text", "label"),
    [
        ("2", "2"),
        ("(2)", "2"),
        ("2) 5 m", "2"),
        ("2: 5", "2"),
        ("12", "12"),
        ("III", "III"),
        ("iv)", "IV"),
        ("(ii) x", "II"),
        ("I", "I"),
        ("2) 5, 6", "2"),
        ("II) red, blue", "II"),
        ("a) x, y", "A"),
        ("A", "A"),
        ("The answer is A", "A"),
        ("a", "A"),
        ("Б", "Б"),
    ],
)
def test_labels_of_other_kinds(text: str, label: str) -> None:
    assert option(text) == label


def test_verdicts_without_an_answer_or_a_gold() -> None:
    judge = ChoiceJudge()
    assert judge.judge(None, "E", "length") == Verdict("truncated")
    assert judge.judge(None, "E", "stop") == Verdict("unparsed")
    assert judge.judge("E", "East", "stop") == Verdict("error", "E")
    assert judge.check_gold("(E)") is None and judge.check_gold("E") is None
    assert "not an option's label" in str(judge.check_gold("East")) and "empty" in str(judge.check_gold(" "))


def test_letters_of_options() -> None:
    assert [is_letter(gold) for gold in ("A", "(b)", "C.", "2", "iv", "Б", "x + 1", "")] == [True] * 3 + [False] * 5


def test_long_texts_take_no_time() -> None:
    for piece in ("the answer is ", "(", "E ", "(A) ", "\n(A", "答案", "**", r"\text{"):
        assert ChoiceJudge().judge(piece * 100_000, "E", "stop").status == "unparsed"
        assert option(piece * (1_900 // len(piece))) is None


@pytest.mark.parametrize(
    ("extracted", "gold", "status"),
    [
        ("caf\u00e9", "cafe\u0301", "correct"),
        ("E\u200b", "E", "correct"),
        ("\u202eParis\u202c", "Paris", "correct"),
        ("so\u00adlution", "solution", "correct"),
        ("Paris", "\ufeffParis", "correct"),
        ("\u200b", "Paris", "unparsed"),
        ("Paris", "\u200b\u2060", "error"),
        ("½", "1/2", "wrong"),
    ],
)
def test_exact_compares_what_a_reader_sees(extracted: str, gold: str, status: str) -> None:
    assert ExactJudge().judge(extracted, gold, "stop").status == status


def test_exact_without_case_is_composed_too() -> None:
    settings: dict[str, Any] = {"casefold": True}
    assert ExactJudge(**settings).judge("CAFE\u0301", "café", "stop").status == "correct"
