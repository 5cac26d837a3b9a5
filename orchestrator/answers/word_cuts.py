"""Where a text may be cut into words without a change to its tokens; knows what tokenizers do, and no model.

A cut lies before a space that has a visible character on either side. Tokenizers of the GPT-2 and the Llama 3 family
match words by a pattern in which nothing holds a visible character followed by a space, and which looks back at nothing
and ahead at nothing but the end of spaces. So a word ends there in any case, and what is on one side of the cut decides
nothing on the other. Of any other tokenizer it is not known, and its texts are not to be cut.
"""

import json
import re
from typing import Any

CUT = re.compile(r" (?=[!-~\w])(?<=[!-~\w] )")
"""The space behind a cut. Letters, digits and what ASCII prints: no definition of a space has these."""

_LAST = r"[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
_PATTERNS = frozenset(
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|" + words + _LAST
    for words in (
        r"[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+",  # Llama 3
        r"[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+",  # Qwen 2 to 3
        r"[^\r\n\p{L}\p{N}]?[\p{L}\p{M}]+|\p{N}| ?[^\s\p{L}\p{M}\p{N}]+",  # Qwen 3.5
    )
)


def keeps_words_apart(backend: Any) -> bool:
    """Whether the tokens of any text are those of its parts, cut at each `CUT`, one after the other.

    `backend` is a `tokenizers.Tokenizer`, and no special tokens are added. False where it is not certain.
    """
    try:
        whole = json.loads(backend.to_str())
    except Exception:  # the library's own type: a part written in Python has no such form
        return False
    return (
        whole["model"].get("type") == "BPE"
        and not whole["model"].get("dropout")
        and (whole["normalizer"] or {"type": "NFC"})["type"] == "NFC"
        and not any(_reaches_over(token) for token in whole["added_tokens"])
        and _splits_at_cuts(whole["pre_tokenizer"])
    )


def _reaches_over(token: dict[str, Any]) -> bool:
    """Whether a token that is found before words are may lie on both sides of a cut, or depend on the other side."""
    return token["rstrip"] or token["single_word"] or re.search(r"\S\s", token["content"]) is not None


def _splits_at_cuts(step: dict[str, Any] | None) -> bool:
    steps = [] if step is None else step["pretokenizers"] if step["type"] == "Sequence" else [step]
    match [one for one in steps if one["type"] != "Digits"]:  # digits that are set apart hold no space
        case [{"type": "ByteLevel", "add_prefix_space": False, "use_regex": True}]:
            return True
        case [
            {"type": "Split", "pattern": {"Regex": pattern}, "behavior": "Isolated", "invert": False},
            {"type": "ByteLevel", "add_prefix_space": False, "use_regex": False},
        ]:
            return pattern in _PATTERNS
    return False
