r"""TeX around a number undone: `2\frac{1}{2}` becomes `2 1/2`, `1{,}234\,\text{km}` becomes `1,234 km`.

It must not know what a number is worth. What it does not know stays as it is, backslash and all. Linear time.
"""

import re

_MOST_NESTED = 4
r"""How deep a wrapper or fraction may be in others: `\boxed{\mathbf{\frac{3}{4}}}` is three deep."""

_DOUBLED = re.compile(r"\\\\(?=[A-Za-z(\[$])")
_THOUSANDS = re.compile(r"(?<=[0-9])(?:\{,\}|\\,|,\\!|\\!,)(?=[0-9]{3}(?![0-9]))")
_DEGREES = re.compile(r"\s*+\^\s*+(?:\{\s*+\\circ\s*+\}|\\circ(?![A-Za-z]))|\\degree(?![A-Za-z])")
_GREEK = dict(
    zip(
        (
            *(
                "alpha",
                "beta",
                "gamma",
                "delta",
                "epsilon",
                "zeta",
                "eta",
                "theta",
                "iota",
                "kappa",
                "lambda",
                "mu",
                "nu",
            ),
            *("xi", "pi", "rho", "sigma", "tau", "phi", "chi", "psi", "omega", "varepsilon", "varphi", "ell", "Delta"),
            *("Gamma", "Theta", "Omega", "Sigma", "Phi", "Psi"),
        ),
        "αβγδεζηθικλμνξπρστφχψωεφℓΔΓΘΩΣΦΨ",
        strict=True,
    )
)
_SYMBOLS = {
    "\\%": "%",
    "{,}": ",",
    "\\!": "",
    "\\times": "×",
    "\\cdot": "·",
    "\\approx": "≈",
    "\\div": "÷",
    "\\angle": "∠",
    "\\triangle": "△",
    **{f"\\{name}": sign for name, sign in _GREEK.items()},
    **dict.fromkeys(("\\implies", "\\Rightarrow", "\\Longrightarrow", "\\therefore"), "⇒"),
    **dict.fromkeys(("\\left", "\\right", "\\bigl", "\\bigr"), ""),
    **dict.fromkeys(("~", "\\,", "\\;", "\\:", "\\ ", "\\quad", "\\qquad", "\\displaystyle"), " "),
    **dict.fromkeys(("\\(", "\\)", "\\[", "\\]"), " "),
}
_SYMBOL = re.compile(r"\\[A-Za-z]++|\\[^A-Za-z]|\{,\}|~", re.DOTALL)

# Innermost first: what is in the braces has none itself. `\$` is left to the reader, to whom it is no `$` of TeX's.
_INNER = re.compile(
    r"""
    (?<!\\) (?:
        \\(?:text(?:bf|it|rm|sf|tt|normal)?|math(?:bf|it|rm|sf|tt|normal)|mbox|hbox|fbox|boxed|underline|emph|bm
            |boldsymbol|operatorname) \s*+ \{ ((?:[^{}\\]|\\\$)*+) \}
      | \\[cdt]?frac \s*+ (?: \{ \s*+ ([+\-−–]?+[0-9.,]++) \s*+ \} | ([0-9]) )
                     \s*+ (?: \{ \s*+ ([0-9.,]++) \s*+ \} | ([0-9]) )
      | \\[cdt]?frac \s*+ \{ \s*+ ([^\W\d_][\w\ ^·-]*+) \} \s*+ \{ \s*+ ([^\W\d_][\w\ ^·-]*+) \}   # km over h
      | \\(?:overline|overrightarrow|bar|vec|hat|tilde|widehat) \s*+ \{ ([A-Za-z][^{}\\]*+) \}
      | \^ \s*+ \{ \s*+ ([+\-−]?+[0-9]{1,4}+) \s*+ \}
    )
    """,
    re.VERBOSE,
)


def plain_tex(text: str) -> str:
    """The text without the TeX that is set around numbers and their units."""
    text = _DOUBLED.sub(r"\\", text)  # as it is in JSON, and in what models copy from there
    text = _THOUSANDS.sub(",", text)
    text = _DEGREES.sub("°", text)
    text = _SYMBOL.sub(lambda match: _SYMBOLS.get(match[0], match[0]), text)
    for _ in range(_MOST_NESTED):
        text, undone = _INNER.subn(_undone, text)
        if not undone:
            break
    return text


def _undone(match: re.Match[str]) -> str:
    content, above, digit_above, below, digit_below, unit_above, unit_below, barred, exponent = match.groups()
    if content is not None or barred is not None:
        return content or barred or ""
    # the space keeps what follows from becoming part of it: 3/4 and a 5 are not 3/45
    if exponent is not None:
        return f"^{exponent} "
    return f" {above or digit_above or unit_above}/{below or digit_below or unit_below} "
