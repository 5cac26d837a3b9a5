"""The tokens with which chat models end a turn, where they are in a text as letters: `<|im_end|>`, `</s>`."""

import re

_TOKEN = re.compile(
    r"""
    <[|｜] [^<>|｜\n]{1,40} [|｜]>
    | </s> | <(?: eos | pad | end_of_turn | end_of_text | eot | im_end ) >
    | \[/INST\] | \[EOS\]
    """,
    re.VERBOSE,
)
# Those after which a model has nothing more to say; others may stand before its answer.
_END = re.compile(
    r"""
    <[|｜] (?: im_end | endoftext | end_of_text | eot_id | eot | eos | end_of_turn | end[▁_]of[▁_]sentence
             | return | EOT | END_OF_TURN_TOKEN ) [|｜]>
    | <[|] end [|]> (?! \s*+ <[|] start [|]> )
    | </s> | <(?: eos | end_of_turn | end_of_text | eot | im_end ) > | \[EOS\]
    """,
    re.VERBOSE,
)
_AT_FIRST = re.compile(rf"\s*+ (?: (?: {_END.pattern} ) \s*+ )*+", re.VERBOSE)


def before_end(text: str) -> str:
    """A text up to the first token that ends a turn, those with which it begins aside."""
    # how each of them begins; most texts have none, and this takes a sixth of the time of the pattern
    if not ("<|" in text or "<｜" in text or "</s>" in text or "<e" in text or "<im_end>" in text or "[EOS]" in text):
        return text
    found = _END.search(text)
    if found is not None and (begins := _AT_FIRST.match(text)) is not None and found.start() < begins.end():
        found = _END.search(text, begins.end())
    return text if found is None else text[: found.start()]


def before_token(text: str) -> str:
    """A text up to the first such token: what follows was not written as part of it."""
    if "<" not in text and "[" not in text:
        return text
    found = _TOKEN.search(text)
    return text if found is None else text[: found.start()]
