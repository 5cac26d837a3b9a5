"""Where a text may be cut into words without changing its tokens. Knows about tokenizers, but not about models.

A cut comes before a space that has a visible character on either side. Tokenizers of the GPT-2 and Llama 3 families
split words by a pattern that matches no visible character followed by a space, never looks behind, and looks ahead only
for the end of spaces. So a word ends at the cut in any case, and the text on one side does not affect the other. Texts
of any other tokenizer must not be cut, since nothing is known about it.
"""

import json
import re
from typing import Any

CUT = re.compile(r" (?=[!-~\w])(?<=[!-~\w] )")
"""The space after a cut. On either side are letters, digits or printable ASCII, which never count as space."""

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
    """Whether the tokens of any text are those of its parts, cut at each `CUT`, concatenated.

    `backend` is a `tokenizers.Tokenizer`, and no special tokens are added. False if this is not certain.
    """
    try:
        whole = json.loads(backend.to_str())
    except Exception:  # the library's own type: a component written in Python cannot be serialized
        return False
    return (
        whole["model"].get("type") == "BPE"
        and not whole["model"].get("dropout")
        and (whole["normalizer"] or {"type": "NFC"})["type"] == "NFC"
        and not any(_reaches_over(token) for token in whole["added_tokens"])
        and _splits_at_cuts(whole["pre_tokenizer"])
    )


def _reaches_over(token: dict[str, Any]) -> bool:
    """Whether an added token, which is matched before words, may span a cut or depend on the text beyond it."""
    return token["rstrip"] or token["single_word"] or re.search(r"\S\s", token["content"]) is not None


def _splits_at_cuts(step: dict[str, Any] | None) -> bool:
    steps = [] if step is None else step["pretokenizers"] if step["type"] == "Sequence" else [step]
    match [one for one in steps if one["type"] != "Digits"]:  # separated digits contain no space
        case [{"type": "ByteLevel", "add_prefix_space": False, "use_regex": True}]:
            return True
        case [
            {"type": "Split", "pattern": {"Regex": pattern}, "behavior": "Isolated", "invert": False},
            {"type": "ByteLevel", "add_prefix_space": False, "use_regex": False},
        ]:
            return pattern in _PATTERNS
    return False
