"""The text of the embedded model's card, filled in with what its training measured; knows nothing of the training."""

from collections.abc import Mapping

CARD = """---
license: apache-2.0
language: en
library_name: transformers
pipeline_tag: text-generation
---

# The embedded base model

A very small Llama-shaped language model that ships with `orch`, so that every recipe runs from nothing on two
processor cores without a network. It is a *base* model: it continues text. It answers no questions until it is taught.

| | |
|---|---|
| parameters | {parameters:,}, embeddings tied |
| shape | {layers} layers, hidden {hidden}, {heads} heads of {head} ({kv} key-value), context 512 (trained at {row}) |
| vocabulary | {vocabulary}: byte-level BPE, every digit a token of its own, any Unicode text comes back unchanged |
| stored as | bfloat16 safetensors |
| read | {tokens:,} tokens in {minutes} minutes on two processor cores |
| final loss | {loss} (mean of the last fifty steps, nats a token) |
| seed | {seed} |
| licence | Apache-2.0, weights and text alike |

## What it read

Text made by `orchestrator/tiny/corpus.py`, and nothing else, of four kinds. It first read {first_tokens:,} tokens of
the first mix, which teach it to copy and to work, then the rest in the second, which teaches it to multiply:

- 62% (then 30%) prose in which a number and two units come first, in over twenty wordings, and the working follows:
  "The log has 9 meters; the chart is kept in yards. 9 meters to yards: 1 meters = 1.094 yards. 9 * 1.094 = 9.846";
- 18% (then 60%) products, 12% (then 5%) factors between units, each a few in a row;
- 8% (then 5%) rows of words or symbols to copy, to turn round, or to pick from.

The percentages count texts.

It has read no question of the units task, no tag such as `<answer>`, no third party's data, and nothing about people.
A test reads a large sample of the corpus for both.

## Rebuild it

    python -m orchestrator.models.tiny.build

Corpus, tokenizer and training follow from the seed. Another processor or thread count rounds differently, so the
weights come out equal in kind, not in every bit.

## Limits

Its products are right to about two digits, its English is that of a unit table, and beyond {row} tokens it has
never read anything. Use it to try recipes, not to convert units.
"""


def card(facts: Mapping[str, float]) -> str:
    """The card for these measured facts."""
    return CARD.format(**facts)
