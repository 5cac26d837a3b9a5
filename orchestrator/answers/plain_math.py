r"""Convert mathematics in plain notation to TeX: `2*pi*r` becomes `2 \cdot \pi r`, `x**10` `x^{10}`, `101_2` 5.

TeX within it stays as it is. A run of letters is a known name or a product of a few letters; a word is neither and is
refused: as products of letters, `cat` and `act` are the same. It must not know an expression's value. No text is
executed.
"""

import re
from itertools import pairwise

from orchestrator.answers.visible import visible

_SUPERSCRIPTS = str.maketrans("⁰¹²³⁴⁵⁶⁷⁸⁹⁺⁻⁽⁾ⁿ", "0123456789+-()n")
_SUBSCRIPTS = str.maketrans("₀₁₂₃₄₅₆₇₈₉₊₋", "0123456789+-")
_RAISED = re.compile("[⁰¹²³⁴⁵⁶⁷⁸⁹⁺⁻⁽⁾ⁿ]+")
_LOWERED = re.compile("[₀₁₂₃₄₅₆₇₈₉₊₋]+")
_VULGAR = {
    "½": (1, 2),
    "⅓": (1, 3),
    "⅔": (2, 3),
    "¼": (1, 4),
    "¾": (3, 4),
    "⅕": (1, 5),
    "⅖": (2, 5),
    "⅗": (3, 5),
    "⅘": (4, 5),
    "⅙": (1, 6),
    "⅚": (5, 6),
    "⅛": (1, 8),
    "⅜": (3, 8),
    "⅝": (5, 8),
    "⅞": (7, 8),
}
_GREEK = {
    "alpha": "α",
    "beta": "β",
    "gamma": "γ",
    "delta": "δ",
    "epsilon": "ε",
    "zeta": "ζ",
    "eta": "η",
    "theta": "θ",
    "kappa": "κ",
    "lambda": "λ",
    "mu": "μ",
    "nu": "ν",
    "xi": "ξ",
    "pi": "π",
    "rho": "ρ",
    "sigma": "σ",
    "tau": "τ",
    "phi": "φ",
    "chi": "χ",
    "psi": "ψ",
    "omega": "ω",
}
_SIGNS = (
    {letter: f"\\{name} " for name, letter in _GREEK.items()}
    | dict.fromkeys("×·⋅∗✕", "*")
    | dict.fromkeys("−–", "-")
    | {"÷": "/", "∕": "/", "⁄": "/", "√": " sqrt ", "∛": " cbrt ", "∞": "\\infty ", "°": "^\\circ ", "µ": "\\mu "}
    | {"≤": "\\le ", "≥": "\\ge ", "≠": "\\neq ", "∈": "\\in ", "∪": "\\cup ", "∩": "\\cap ", "∅": "\\emptyset "}
)
_REPLACED = str.maketrans(_SIGNS | {sign: f" \\frac{{{a}}}{{{b}}}" for sign, (a, b) in _VULGAR.items()})
_FULL_WIDTH = str.maketrans({0xFEE0 + code: chr(code) for code in range(0x21, 0x7F)})

FUNCTIONS = {
    **{name: f"\\{name}" for name in ("sin", "cos", "tan", "cot", "sec", "csc", "sinh", "cosh", "tanh", "ln", "log")},
    **{f"arc{name}": f"\\arc{name}" for name in ("sin", "cos", "tan")},
    **{f"a{name}": f"\\arc{name}" for name in ("sin", "cos", "tan")},
}
"""Names of functions, and their TeX commands."""
CONSTANTS = {name: f"\\{name} " for name in _GREEK} | {"infinity": "\\infty ", "inf": "\\infty ", "oo": "\\infty "}
_JOINING = {"or": " or ", "and": " and ", "in": " \\in "}
_WORDS_OF_TWO = frozenset(
    (
        "no",
        "is",
        "of",
        "at",
        "an",
        "to",
        "it",
        "he",
        "we",
        "by",
        "if",
        "so",
        "up",
        "us",
        "me",
        "do",
        "go",
        "as",
        "am",
        "on",
    )
)

_TOKEN = re.compile(
    r"""
    (?P<group> \\(?: text[a-z]*|math[a-z]+|operatorname\*?|mbox|hbox|begin|end ) \s*+ \{ [^{}]*+ \} )
    | (?P<command> \\ (?: [A-Za-z]++ | . ) )
    | (?P<based> (?<![A-Za-z0-9.]) (?: [0-9][0-9A-F]*+ | [A-F][0-9A-F]++ (?= _ (?:16|\{\s*16) ) )
                 _ (?: [0-9]{1,2} (?![0-9]) | \{ \s*+ [0-9]{1,2} \s*+ \} ) )
    | (?P<scientific> (?: [0-9]++ (?: \.[0-9]*+ )?+ | \.[0-9]++ ) [eE] [+-]? [0-9]{1,4} (?![0-9A-Za-z_.]) )
    | (?P<number> [0-9]++ (?: \.[0-9]++ )?+ | \.[0-9]++ )
    | (?P<name> [A-Za-z]++ )
    | (?P<space> \s++ )
    | (?P<power> \*\* | \^ )
    | (?P<other> . )
    """,
    re.VERBOSE | re.DOTALL,
)
_TIMES_TEN = re.compile(r"(?<=[0-9])\s*+[xX]\s*+10(?=\s*+(?:\^|\*\*))")
_HEXADECIMAL = re.compile(r"(?<![0-9.A-Za-z])0[xX][0-9A-Fa-f]")
_BY_ZERO = re.compile(r"/\s*+0(?![0-9.!xX]|\s*+\^)|\\[cdt]?frac\s*+\{[^{}]*+\}\s*+\{\s*+0\s*+\}")
_LETTER_I = r"\variable{I}"
"""The letter I: the TeX parser would take a bare one for the imaginary unit."""
Token = tuple[str, str]
"""A token's kind, which is a group name of the pattern, and its text."""


class NotMathematicsError(ValueError):
    """Why a text is not an expression, phrased as part of a sentence."""


class NoNumberError(NotMathematicsError):
    """Why a text is neither an expression nor a number."""


def tokens(text: str) -> list[Token]:
    """Split a text into tokens, with signs in their TeX or ASCII form."""
    text = visible(text).translate(_FULL_WIDTH)
    text = _RAISED.sub(lambda found: f"^{{{found[0].translate(_SUPERSCRIPTS)}}}", text)
    text = _LOWERED.sub(lambda found: f"_{{{found[0].translate(_SUBSCRIPTS)}}}", text)
    text = text.translate(_REPLACED).replace("$", " ").strip()
    if (bold := re.fullmatch(r"\*\*(?!\s)(.+?)(?<!\s)\*\*", text)) and "**" not in bold[1]:
        text = bold[1]
    text = _TIMES_TEN.sub(r"*10", text.removesuffix("."))
    parts = [part for found in _TOKEN.finditer(text) for part in _function_and_letter(str(found.lastgroup), found[0])]
    names = [name for kind, name in parts if kind == "name" and name not in FUNCTIONS and name not in CONSTANTS]
    if "I" in names and set(names) <= {"I", "sqrt", "exp", "e"} and len(parts) > 1:  # SymPy's imaginary unit
        return [(kind, "i" if (kind, name) == ("name", "I") else name) for kind, name in parts]
    return parts


def _function_and_letter(kind: str, text: str) -> list[Token]:
    """The function and the letter of `lnx` or `sinx`; anything else as it is."""
    function, letter = text[:-1], text[-1:]
    if kind == "name" and function in FUNCTIONS and text not in FUNCTIONS and (letter in "xzuvw" or function == "ln"):
        return [("name", function), ("space", " "), ("name", letter)]
    return [(kind, text)]


def as_tex(text: str) -> str:
    """A text in TeX as math-verify reads it. Raises NotMathematicsError if it is not an expression."""
    if _HEXADECIMAL.search(text):
        raise NoNumberError("0x notation is not supported")
    if _BY_ZERO.search(text):
        raise NoNumberError("it divides by 0")
    try:
        parts = tokens(text)
        written = _written(parts)
        return f"\\{{{written[1:-1]}\\}}" if _is_set(parts) else written
    except RecursionError:
        raise NotMathematicsError("it is nested too deeply") from None


def _is_set(parts: list[Token]) -> bool:
    """Whether the whole text is in one pair of braces and has a comma: `{1,2}`."""
    return parts[:1] == [("other", "{")] and ("other", ",") in parts and _closed(parts, 0) == len(parts) - 1


def value_of_based(text: str) -> int:
    """The value of a number with a base, `101_2` or `1F_{16}`. Raises NotMathematicsError if its digits do not fit."""
    digits, _, base = text.partition("_")
    try:
        return int(digits, int(base.strip("{} \t\n")))
    except ValueError:
        raise NotMathematicsError(f"{text} is not a number in that base") from None


def letters_of(name: str) -> list[str] | None:
    """The factors of a run of letters read as a product; None if it is a word."""
    if len(name) <= 2:
        return list(name)
    lowered = name.lower()
    in_a_row = all(ord(b) - ord(a) == 1 for a, b in pairwise(name))
    if in_a_row or set(lowered) <= set("uvwxyz") or not set(lowered) & set("aeiouy"):
        return list(name)
    return None


def _written(parts: list[Token]) -> str:
    if all(kind in ("name", "space") and (kind == "space" or _is_word(text)) for kind, text in parts):
        raise NotMathematicsError(f"{' '.join(text for kind, text in parts if kind == 'name')!r} is not an expression")
    out: list[str] = []
    at = 0
    while at < len(parts):
        text, at = _part(parts, at)
        out.append(text)
    return "".join(out)


def _is_word(name: str) -> bool:
    return name not in CONSTANTS and name not in FUNCTIONS and (name.lower() in _WORDS_OF_TWO or not letters_of(name))


def _part(parts: list[Token], at: int) -> tuple[str, int]:
    """The part at a position, in TeX, and the position after it."""
    kind, text = parts[at]
    if kind == "power":
        exponent, after = _operand(parts, at + 1)
        return f"^{{{exponent}}}", after
    if kind == "based":
        return str(value_of_based(text)), at + 1
    if kind == "scientific":
        digits, _, power = text.lower().partition("e")
        return f"({digits} \\cdot 10^{{{int(power)}}})", at + 1
    if kind == "number":
        return _number(parts, at)
    if kind == "name":
        return _name(parts, at)
    if text == "(" and at and (parts[at - 1][1] == ")" or _is_factor(parts, at - 1)):
        return " \\cdot (", at + 1
    return (" \\cdot ", at + 1) if text == "*" else (text, at + 1)


def _is_factor(parts: list[Token], at: int) -> bool:
    """Whether the part is a number but not an index or a power: the 2 of `2(3)`."""
    before = parts[at - 1] if at else ("", "")
    return parts[at][0] == "number" and before[0] not in ("power", "name", "command") and before[1] not in ("_", "{")


def _number(parts: list[Token], at: int) -> tuple[str, int]:
    """A number, possibly a mixed one such as `2 1/2`. Any other two numbers side by side are ambiguous."""
    kinds = [kind for kind, _ in parts[at : at + 5]]
    behind = parts[max(0, at - 2) : at]
    if kinds[:3] == ["number", "space", "number"] and not any(kind == "command" for kind, _ in behind):
        if parts[at + 3 : at + 4] == [("other", "/")] and kinds[4:] == ["number"] and "." not in parts[at][1]:
            return f"({parts[at][1]}+\\frac{{{parts[at + 2][1]}}}{{{parts[at + 4][1]}}})", at + 5
        raise NotMathematicsError(f"{parts[at][1]} and {parts[at + 2][1]} have no operator between them")
    return parts[at][1], at + 1


def _name(parts: list[Token], at: int) -> tuple[str, int]:
    name, lowered = parts[at][1], parts[at][1].lower()
    if at and parts[at - 1][1] in ("_", "_{"):  # an index: x_max
        return (f"{{{name}}}" if parts[at - 1][1] == "_" else name), at + 1
    if at > 1 and parts[at - 2][1] == "_" and parts[at - 1][1] == "{":
        return name, at + 1
    if name in CONSTANTS or lowered in ("pi", "infinity"):
        return CONSTANTS[lowered], at + 1
    if name in FUNCTIONS:
        base = parts[at + 1][1] if parts[at + 1 : at + 2] and parts[at + 1][0] == "number" else ""
        if name == "log" and base and parts[at + 2 : at + 3] == [("other", "(")]:  # log2(8)
            return f"\\log_{{{base}}}", at + 2
        return f"{FUNCTIONS[name]} ", at + 1
    if lowered in ("sqrt", "cbrt", "exp", "abs"):
        argument, after = _operand(parts, at + 1)
        form = {"sqrt": r"\sqrt{%s}", "cbrt": r"\sqrt[3]{%s}", "exp": "e^{%s}", "abs": r"\left|%s\right|"}[lowered]
        return form % argument, after
    if lowered in _JOINING:
        return _JOINING[lowered], at + 1
    if letters_of(name) is None or (len(name) > 2 and name.startswith("ln")):
        if name.isupper():  # the name of a triangle
            return f"\\text{{{name}}}", at + 1
        raise NotMathematicsError(f"{name!r} is a word, not a product of letters")
    if name[-1] == "I" and parts[at + 1 : at + 2] == [("other", "_")]:
        return name[:-1].replace("I", _LETTER_I) + "I", at + 1
    kind, number = parts[at + 1] if at + 1 < len(parts) else ("", "")
    power_of_ten = number == "10" and [kind for kind, _ in parts[at + 2 : at + 3]] == ["power"]
    if kind == "number" and number.isdigit() and name[-1] not in "eiI" and not power_of_ten:
        return f"{name[:-1].replace('I', _LETTER_I)} {name[-1]}_{{{number}}}", at + 2  # x1 is x_1, not a product
    return name.replace("I", _LETTER_I), at + 1


def _operand(parts: list[Token], at: int) -> tuple[str, int]:
    """The operand of a power or function: a group without brackets, or one number, letter or command and its power."""
    while at < len(parts) and parts[at][0] == "space":
        at += 1
    if at == len(parts):
        raise NotMathematicsError("something is missing at the end")
    kind, text = parts[at]
    if text in ("-", "+"):
        inner, after = _operand(parts, at + 1)
        return text + inner, after
    if text in ("(", "{"):
        end = _closed(parts, at)
        written, after = _written(parts[at + 1 : end]) if end > at + 1 else "", end + 1
    elif kind == "name" and len(text) > 1 and letters_of(text) and text.lower() not in CONSTANTS:
        if text in FUNCTIONS or text.lower() in ("sqrt", "cbrt", "exp", "abs"):
            written, after = _part(parts, at)
        else:  # x^ab is x^a b
            parts[at] = (kind, text[1:])
            return text[0], at
    else:
        written, after = _part(parts, at)
        while (
            kind == "command" and after < len(parts) and (parts[after][1] in ("{", "[") or parts[after][0] == "number")
        ):
            end = after if parts[after][0] == "number" else _closed(parts, after)
            written, after = written + "".join(part[1] for part in parts[after : end + 1]), end + 1
    if after < len(parts) and parts[after][0] == "power":
        exponent, after = _operand(parts, after + 1)
        written = f"{{{written}}}^{{{exponent}}}" if len(written) > 1 else f"{written}^{{{exponent}}}"
    return written, after


def _closed(parts: list[Token], at: int) -> int:
    """The position of the bracket that closes the one at `at`."""
    opening = parts[at][1]
    closing = {"(": ")", "{": "}", "[": "]"}[opening]
    depth = 0
    for place in range(at, len(parts)):
        depth += (parts[place][1] == opening) - (parts[place][1] == closing)
        if depth == 0:
            return place
    raise NotMathematicsError(f"a {opening!r} is never closed")
