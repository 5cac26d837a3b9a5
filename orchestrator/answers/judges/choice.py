r"""The judge `choice`: the label of the same option is right, however it is set off: `(E)`, `E.`, `**E**`, `E) 12 m`.

A label is one letter, a number of one or two digits, or a Roman numeral. A text that names several options or none, or
calls one wrong, is not a choice. It must not know the options' texts.
"""

import re
import unicodedata
from typing import ClassVar, Literal

from orchestrator.answers.control_tokens import before_token
from orchestrator.answers.judges.base import BaseJudge, check_text, nothing_extracted
from orchestrator.answers.tex import plain_tex
from orchestrator.answers.visible import visible
from orchestrator.types import FinishReason, Verdict

_MAX_CHARS = 2_000

_LABEL = r"(?: [^\W\d_] | [0-9]{1,2} | (?i:x{0,2}(?:ix|iv|v?i{1,3}|v)|x{1,2}) ) (?![\w%°'’])"
_BEFORE = r"""
    (?: (?: the|my|our|so|thus|hence|therefore|is|would|be|should|must|final|correct|right|best|answer|option|choice|i
            |choose|chose|pick|select|go|with|letter|a(?=\ (?:final|correct))
            |la|die|respuesta|réponse|resposta|risposta|antwort|lautet|ist|es|est|correcta|correcte|richtige|ответ
            |правильный ) \b [\s,:=]*+
      | (?: 正确 | 最终 | 答案 | 答え | 选项 | 选择 | (?:故|因此|所以)?+ 应?选 | 選択肢 | 是 | 为 | は
          | 정답[은는]? | 답[은는]? ) [\s:=]*+ )*
"""
_CLOSING = {"(": ")", "[": "]", "{": "}", "<": ">", "": ""}
_MARKS = re.compile(r"[\s*_`$\"“”]+")
_QUOTED = re.compile(r"['‘] ([^'‘’]+) ['’] [.]?", re.VERBOSE)
_STARTED = re.compile(rf"{_BEFORE} (?P<open>[(\[{{<]?)\s*+ (?P<label>{_LABEL})", re.VERBOSE | re.IGNORECASE)
# What may follow the label and its bracket: nothing, a statement that it is right, a reason, or its option's text.
_AFTER = re.compile(
    r"""
    \s*+ [)\]]?+ [\s.!。,;:]*+ \Z
    | \s*+ (?: is|are|would\ be ) \s (?: the\ )?+ (?: only\ )?+ (?: correct|right|best ) \b [^\n]*+ \Z
    | \s*+ [,;]?+ \s*+ (?: because|since|as ) \s
    | (?: \s*+ [:)\]。] | \s*+ [.] (?![0-9]) | \s++ [-–—] (?=\s) ) \s*+ \S
    | \s*+ \( [^()]*+ \) [.]?+ \s*+ \Z
    """,
    re.VERBOSE | re.IGNORECASE,
)
_SEVERAL = re.compile(
    rf"""
    \A \s*+ [)\]]?+ \s*+ (?: (?: and|or|nor|but|und|oder|et|ou|not ) \b
                           | [,;/&+|] \s*+ (?: (?:and|or|not|option|choice) \b \s*+ )*+ [(\[]? {_LABEL} )
    | \A [\s:.]*+ [(\[] {_LABEL} [)\]]
    | \n \s*+ [(\[]? [^\W\d_] \s*+ (?: [)\]:] | [.] \s )                                # a list of the options
    | \( [^\W\d_] \) \s++ (?! (?:and|or|nor|but|only|is|are|both)\b | [&,;.] ) \w
    """,
    re.VERBOSE | re.IGNORECASE,
)
# Words that retract or deny the label. They may be part of the option's own text, but no verdict is better than a
# wrong one.
_DENIED = re.compile(
    r"""
    \b (?: no|not|nor|never|wrong|incorrect|false|untrue|invalid|impossible|unlikely|actually|wait|or|but|however|rather
         |instead|sorry|oops|hmm+|correction|scratch|mistaken?|exclud\w*|eliminat\w*|reject\w*|discard\w*|dismiss\w*
         |rul(?:e|es|ed|ing)\ out|cross(?:ed)?\ out|violat\w*|contradict\w*|fail\w*|falsch|nicht|kein\w* ) \b
    | n['’]t \b | [✗✘❌❎不错误] | \b (?:correct|right|best) \s*+ \?
    """,
    re.VERBOSE | re.IGNORECASE,
)
# Another label, set off as labels are: `B) 2`, `B: 2`, `B - 2`, `B. 2`, `the answer is B`.
_SET_OFF = r"(?<![\w(\[{{<'’.]) ({kind}) (?: \s*+ [)\]] | \s*+ : (?![A-Za-z]) | \s++ [-–—] \s | [.] \s++ (?=\w) )"
# Text that names another label without setting it off: `the answer is B`, `so B.`; the latter only for capital letters,
# as numbers and words often end an option's text.
_NAMED = r"""
    {set_off} | (?i: \b (?: answer | option | choice ) (?: \ is )?+ {more} ) [\s:*,]*+
                [(\[]?+ ({kind}) [)\]]?+ \s*+ (?: [.,;!?] | \Z )
"""
_POINTED = r"""| \b (?: choose|pick|is|so|thus|therefore|that|mean|maybe|perhaps|probably|possibly|then|if|since
                      |because )
                | ['’]s | -> | => | [→⇒;,?!]"""
_OTHERS = {
    name: re.compile(
        _NAMED.format(set_off=_SET_OFF.format(kind=kind), kind=kind, more=_POINTED if name == "upper" else "")
        + (rf"| \b ({kind}) \s (?: is|are|was|seems|looks ) \b" if name == "upper" else ""),
        re.VERBOSE,
    )
    for name, kind in {"upper": "[A-Z]", "lower": "[a-z]", "digits": "[0-9]{1,2}", "other": r"[^\W\d_]+"}.items()
}
_SAYS = re.compile(
    r"\s*+ (?: is|are|was|isn['’]t|cannot|can|can['’]t|could|does|may|might|seems|would )\b", re.VERBOSE | re.IGNORECASE
)
_ANOTHER = re.compile(r"[\s:.)\]}>-]*+ [(\[]? ([^\W\d_]) [)\].]? \s*+", re.VERBOSE)


class ChoiceJudge(BaseJudge):
    """The gold answer's option is right, identified by its label."""

    VERSION: ClassVar[int] = 1

    type: Literal["choice"] = "choice"

    def judge(self, extracted: str | None, gold: str, finish_reason: FinishReason) -> Verdict:
        """Correct, wrong, unparsed (not one option), truncated (cut off before an answer) or error (bad gold)."""
        if extracted is None:
            return nothing_extracted(finish_reason)
        value = option(extracted)
        if value is None:
            return Verdict("unparsed")
        wanted = option(gold)
        if wanted is None:
            return Verdict("error", value)
        return Verdict("correct" if value == wanted else "wrong", value)

    def in_words(self) -> str:
        """Its name and criterion; it has no settings."""
        return "choice, the gold answer's option"

    def check_gold(self, answer: str) -> str | None:
        """Why this gold answer cannot be judged; None if it can."""
        if problem := check_text(answer):
            return problem
        if option(answer) is None:
            return "it is not an option's label: write the letter, such as E, or set judge: {type: exact}"
        return None


def is_letter(gold: str) -> bool:
    """Whether a gold answer is a single Latin letter, bare or set off, as option labels are."""
    label = option(gold)
    return label is not None and len(label) == 1 and label.isascii() and label.isalpha()


def option(text: str) -> str | None:
    """The label of the one option that a text names, in upper case; None if it names none or several."""
    if len(text) > _MAX_CHARS:
        return None
    text = unicodedata.normalize("NFKC", visible(before_token(text)))
    if "~~" in text:  # struck out
        return None
    # the marks of TeX and Markdown mean nothing; a line break may separate one option from the next
    text = _MARKS.sub(lambda marks: "\n" if "\n" in marks[0] else " ", plain_tex(text)).strip()
    if quoted := _QUOTED.fullmatch(text):
        text = quoted[1]
    found = _STARTED.match(text)
    if found is None:
        return None
    label, closing, rest = found["label"], _CLOSING[found["open"]], text[found.end() :]
    if closing:
        if not rest.lstrip().startswith(closing):
            return None
        rest = rest.lstrip()[1:]
    another = _ANOTHER.fullmatch(rest)
    if another and label.isalpha() and len(label) == 1 and another[1].isupper() == label.isupper():
        return None  # E. F
    if _SEVERAL.search(rest) or _DENIED.search(rest) or _names_another(label, rest):
        return None
    told_apart = closing != "" and rest[:1].isspace() and _SAYS.match(rest) is None  # (E) 12 m
    return label.upper() if told_apart or _AFTER.match(rest) else None


def _names_another(label: str, rest: str) -> bool:
    """Whether the text after a label names another one of its kind."""
    kind = "digits" if label.isdigit() else "other"
    if len(label) == 1 and label.isascii() and label.isalpha():
        kind = "upper" if label.isupper() else "lower"
    found = _OTHERS[kind].finditer(rest)
    return any(other[other.lastindex or 0] != label for other in found)
