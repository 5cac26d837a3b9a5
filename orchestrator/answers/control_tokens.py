"""The tokens with which chat models end a turn, as they appear in plain text: `<|im_end|>`, `</s>`."""

import re

_TOKEN = re.compile(
    r"""
    <[|｜] [^<>|｜\n]{1,40} [|｜]>
    | </s> | <(?: eos | pad | end_of_turn | end_of_text | eot | im_end ) >
    | \[/INST\] | \[EOS\]
    """,
    re.VERBOSE,
)
# Tokens after which a model has nothing more to say; the others may come before its answer.
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
    """A text up to the first token that ends a turn, not counting those at its beginning."""
    # the beginnings of all these tokens; most texts have none, and this test takes a sixth of the pattern's time
    if not ("<|" in text or "<｜" in text or "</s>" in text or "<e" in text or "<im_end>" in text or "[EOS]" in text):
        return text
    found = _END.search(text)
    if found is not None and (begins := _AT_FIRST.match(text)) is not None and found.start() < begins.end():
        found = _END.search(text, begins.end())
    return text if found is None else text[: found.start()]


def before_token(text: str) -> str:
    """A text up to the first control token; what follows is not part of it."""
    if "<" not in text and "[" not in text:
        return text
    found = _TOKEN.search(text)
    return text if found is None else text[: found.start()]
