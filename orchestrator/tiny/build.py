"""Rebuild the embedded base model from nothing: `python -m orchestrator.tiny.build [--tokens N] [--out DIR]`.

Corpus, tokenizer, training and saving, all from one seed. Needs two processor cores and no network; a C++ compiler
makes it faster. Knows nothing of tasks' questions: what the model reads is decided in `corpus.py` alone.
"""

import argparse
import json
import math
import os
import shutil
import time
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import GenerationConfig, LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from orchestrator.tiny.card import card
from orchestrator.tiny.corpus import documents

SEED = 0
MODEL_DIR = Path(__file__).parent / "model"
TOKENS = 30_000_000
VOCABULARY = 640
EOS, PAD = "<|end|>", "<|pad|>"
ROW, ROWS = 256, 12
LEARNING_RATE, WARMUP_STEPS = 4e-3, 150


def build_tokenizer() -> PreTrainedTokenizerFast:
    """Byte-level BPE learned on the corpus; every digit is a token of its own, and any text comes back unchanged."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)]
    )
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY,
        special_tokens=[EOS, PAD],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(islice(documents(SEED), 40_000), trainer)
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        eos_token=EOS,
        pad_token=PAD,
        model_max_length=512,
        clean_up_tokenization_spaces=False,
    )


def build_model(tokenizer: PreTrainedTokenizerFast) -> LlamaForCausalLM:
    """The untrained network: about 1.6 million parameters."""
    torch.manual_seed(SEED)
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=192,
        intermediate_size=512,
        num_hidden_layers=4,
        num_attention_heads=6,
        num_key_value_heads=3,
        head_dim=32,
        max_position_embeddings=512,
        tie_word_embeddings=True,
        bos_token_id=None,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    return LlamaForCausalLM(config)


def batches(tokenizer: PreTrainedTokenizerFast, seed: int) -> Iterator[torch.Tensor]:
    """An endless stream of (ROWS, ROW) token ids: texts one after another, each closed by the end token."""
    texts = documents(seed)
    ids: list[int] = []
    while True:
        encoded = tokenizer.backend_tokenizer.encode_batch_fast(list(islice(texts, 5_000)))
        for one in encoded:
            ids += [*one.ids, tokenizer.eos_token_id]
        whole = len(ids) // (ROWS * ROW)
        rows = torch.tensor(ids[: whole * ROWS * ROW]).view(whole, ROWS, ROW)
        ids = ids[whole * ROWS * ROW :]
        yield from rows


def train(model: LlamaForCausalLM, tokenizer: PreTrainedTokenizerFast, tokens: int, compiled: bool) -> float:
    """Next-token training in place on `tokens` tokens; returns the mean loss over the last hundredth."""
    steps = max(1, tokens // (ROWS * ROW))
    decayed = [p for p in model.parameters() if p.dim() > 1]
    plain = [p for p in model.parameters() if p.dim() == 1]
    groups = [{"params": decayed, "weight_decay": 0.05}, {"params": plain, "weight_decay": 0.0}]
    optimizer = torch.optim.AdamW(groups, lr=LEARNING_RATE, betas=(0.9, 0.98), fused=True)

    def loss_of(ids: torch.Tensor) -> torch.Tensor:
        with torch.autocast("cpu", torch.bfloat16):
            logits = model(input_ids=ids, use_cache=False).logits
        return torch.nn.functional.cross_entropy(logits[:, :-1].float().flatten(0, 1), ids[:, 1:].flatten())

    forward = torch.compile(loss_of) if compiled else loss_of
    model.train()
    last: list[float] = []
    started = time.monotonic()
    for step, ids in enumerate(islice(batches(tokenizer, SEED + 1), steps)):
        rate = LEARNING_RATE * min((step + 1) / WARMUP_STEPS, 0.5 * (1 + math.cos(math.pi * step / steps)))
        for group in optimizer.param_groups:
            group["lr"] = rate
        loss = forward(ids)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()
        if step >= steps * 0.99 or step % 100 == 0:
            last = (last if step >= steps * 0.99 else []) + [loss.item()]
        if step % 100 == 0:
            print(f"step {step}/{steps} loss {loss.item():.4f} {time.monotonic() - started:.0f} s", flush=True)
    model.eval()
    return sum(last) / len(last)


def save(model: LlamaForCausalLM, tokenizer: PreTrainedTokenizerFast, out: Path, facts: dict[str, float]) -> None:
    """Write everything beside `out` first and move it file by file, so that a reader never meets a half model."""
    draft = out.with_name(out.name + ".draft")
    shutil.rmtree(draft, ignore_errors=True)
    tokenizer.save_pretrained(draft)
    model.to(torch.bfloat16).save_pretrained(draft)
    GenerationConfig(eos_token_id=tokenizer.eos_token_id, pad_token_id=tokenizer.pad_token_id).save_pretrained(draft)
    shape = model.config
    (draft / "README.md").write_text(
        card(
            {
                **facts,
                "row": ROW,
                "layers": shape.num_hidden_layers,
                "hidden": shape.hidden_size,
                "heads": shape.num_attention_heads,
                "kv": shape.num_key_value_heads,
                "head": shape.head_dim,
            }
        )
    )
    (draft / "training.json").write_text(json.dumps(facts, indent=2) + "\n")
    out.mkdir(parents=True, exist_ok=True)
    for file in draft.iterdir():
        os.replace(file, out / file.name)
    draft.rmdir()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tokens", type=int, default=TOKENS, help="how much to read")
    parser.add_argument("--out", type=Path, default=MODEL_DIR, help="where the model goes")
    parser.add_argument("--eager", action="store_true", help="train without a C++ compiler")
    arguments = parser.parse_args()
    tokenizer = build_tokenizer()
    model = build_model(tokenizer)
    started = time.monotonic()
    loss = train(model, tokenizer, arguments.tokens, compiled=not arguments.eager)
    facts = {
        "seed": SEED,
        "parameters": sum(p.numel() for p in model.parameters()),
        "vocabulary": len(tokenizer),
        "tokens": arguments.tokens,
        "minutes": round((time.monotonic() - started) / 60, 1),
        "loss": round(loss, 4),
    }
    save(model, tokenizer, arguments.out, facts)
    print(json.dumps(facts))


if __name__ == "__main__":
    main()
