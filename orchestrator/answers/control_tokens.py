"""The tokens with which chat models end a turn, where they stand in a text as letters: `<|im_end|>`, `</s>`."""

import re

_TOKEN = re.compile(
    r"""
    <[|｜] [^<>|｜\n]{1,40} [|｜]>
    | </s> | <(?: eos | pad | end_of_turn | end_of_text | eot | im_end ) >
    | \[/INST\] | \[EOS\]
    """,
    re.VERBOSE,
)


def before_token(text: str) -> str:
    """A text up to the first such token: what follows was not written as part of it."""
    if "<" not in text and "[" not in text:
        return text
    found = _TOKEN.search(text)
    return text if found is None else text[: found.start()]
