"""Formatting of figures, wherever they appear: p-values, differences in points, intervals, times."""


def p_value(p: float) -> str:
    """`< 0.001`, `0.034`, `0.12`."""
    return "< 0.001" if p < 0.001 else f"{p:.2f}" if p >= 0.1 else f"{p:.3f}"


def p_equals(p: float) -> str:
    """`p < 0.001`, `p = 0.034`."""
    text = p_value(p)
    return f"p {text}" if text.startswith("<") else f"p = {text}"


def points(share: float, sign: bool = False) -> str:
    """A difference between shares in percentage points, without the unit: `9.4`, `+9.4`."""
    rounded = round(100 * share, 1) + 0.0  # no -0.0
    return f"{rounded:+.1f}" if sign else f"{rounded:.1f}"


def questions_told(n: int, each: int = 1) -> str:
    """`500 questions`, `500 questions with 8 answers each`."""
    return f"{n:,} questions" + (f" with {each} answers each" if each > 1 else "")


def value_text(value: object) -> str:
    """A setting's value as text; a float has at most four significant digits."""
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def interval(low: float, high: float, sign: bool = False) -> str:
    """An interval of shares: `[0.575, 0.660]`, `[-0.104, -0.023]`."""
    return f"[{low:+.3f}, {high:+.3f}]" if sign else f"[{low:.3f}, {high:.3f}]"


def clock(seconds: float) -> str:
    """`12.3 s`, `4:16`, `1:02:03`."""
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
