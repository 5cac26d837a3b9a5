r"""Remove the TeX around a number: `2\frac{1}{2}` becomes `2 1/2`, `1{,}234\,\text{km}` becomes `1,234 km`.

It must not know a number's value. Unknown TeX stays as it is, backslash included. Linear time.
"""

import re

_MOST_NESTED = 4
r"""Maximum nesting depth of wrappers and fractions: `\boxed{\mathbf{\frac{3}{4}}}` is three deep."""

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

# Innermost first: the content of the braces has none itself. `\$` is left to the reader, who tells it from TeX's `$`.
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
    """The text without the TeX around numbers and their units."""
    text = _DOUBLED.sub(r"\\", text)  # as in JSON, and in what models copy from it
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
    # the space keeps what follows from becoming part of it: 3/4 followed by a 5 is not 3/45
    if exponent is not None:
        return f"^{exponent} "
    return f" {above or digit_above or unit_above}/{below or digit_below or unit_below} "
