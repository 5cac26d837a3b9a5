"""Rebuild the embedded base model from scratch: `python -m orchestrator.models.tiny.build [--share S] [--out DIR]`.

Corpus, tokenizer, training and saving, all from one seed. Needs two processor cores and no network; a C++ compiler
makes it faster. Knows nothing of tasks' questions: the training text is defined in `corpus.py` alone.
"""

import argparse
import json
import math
import shutil
import time
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import GenerationConfig, LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from orchestrator.models.tiny.card import card
from orchestrator.models.tiny.corpus import FIRST_MIX, SECOND_MIX, Mix, documents

SEED = 0
MODEL_DIR = Path(__file__).parent / "model"
FIRST_TOKENS, SECOND_TOKENS = 5_999_616, 17_998_848
VOCABULARY = 640
EOS, PAD = "<|end|>", "<|pad|>"
ROW, ROWS = 256, 12
FIRST_RATE, SECOND_RATE, WARMUP_STEPS = 4e-3, 2.5e-3, 100


def build_tokenizer() -> PreTrainedTokenizerFast:
    """Byte-level BPE trained on the corpus; every digit is a separate token, and any text round-trips unchanged."""
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
    """The untrained network: about 1.7 million parameters."""
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


def batches(tokenizer: PreTrainedTokenizerFast, seed: int, mix: Mix) -> Iterator[torch.Tensor]:
    """An endless stream of (ROWS, ROW) token ids: texts one after another, each followed by the end token."""
    texts = documents(seed, mix)
    ids: list[int] = []
    while True:
        for one in tokenizer.backend_tokenizer.encode_batch_fast(list(islice(texts, 2_000))):
            ids += [*one.ids, tokenizer.eos_token_id]
        whole = len(ids) // (ROWS * ROW)
        rows = torch.tensor(ids[: whole * ROWS * ROW]).view(whole, ROWS, ROW)
        ids = ids[whole * ROWS * ROW :]
        yield from rows


def train(model: LlamaForCausalLM, read: Iterator[torch.Tensor], tokens: int, top_rate: float, compiled: bool) -> float:
    """Train in place on `tokens` tokens, by next-token prediction; returns the mean loss of the last fifty steps."""
    steps = max(1, tokens // (ROWS * ROW))
    matrices = [p for p in model.parameters() if p.dim() > 1]
    scales = [p for p in model.parameters() if p.dim() == 1]
    groups = [{"params": matrices, "weight_decay": 0.05}, {"params": scales, "weight_decay": 0.0}]
    optimizer = torch.optim.AdamW(groups, lr=top_rate, betas=(0.9, 0.98), fused=True)

    def loss_of(ids: torch.Tensor) -> torch.Tensor:
        with torch.autocast("cpu", torch.bfloat16):
            logits = model(input_ids=ids, use_cache=False).logits
        return torch.nn.functional.cross_entropy(logits[:, :-1].float().flatten(0, 1), ids[:, 1:].flatten())

    forward = torch.compile(loss_of) if compiled else loss_of
    model.train()
    losses: list[float] = []
    started = time.monotonic()
    for step, ids in enumerate(islice(read, steps)):
        rate = top_rate * min((step + 1) / WARMUP_STEPS, 0.5 * (1 + math.cos(math.pi * step / steps)))
        for group in optimizer.param_groups:
            group["lr"] = rate
        loss = forward(ids)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()
        losses.append(loss.item())
        if step % 50 == 0:
            recent = losses[-50:]
            print(
                f"step {step}/{steps} loss {sum(recent) / len(recent):.4f} {time.monotonic() - started:.0f} s",
                flush=True,
            )
    model.eval()
    return sum(losses[-50:]) / len(losses[-50:])


def save(model: LlamaForCausalLM, tokenizer: PreTrainedTokenizerFast, out: Path, facts: dict[str, float]) -> None:
    """Write everything next to `out` first and move it file by file, so that a reader never sees a partial file."""
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
        file.replace(out / file.name)
    draft.rmdir()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--share", type=float, default=1.0, help="share of the full training to run; 0.01 for a quick try"
    )
    parser.add_argument("--out", type=Path, default=MODEL_DIR, help="output folder of the model")
    parser.add_argument("--eager", action="store_true", help="train without a C++ compiler")
    arguments = parser.parse_args()
    tokenizer = build_tokenizer()
    model = build_model(tokenizer)
    started = time.monotonic()
    phases = ((FIRST_TOKENS, FIRST_RATE, FIRST_MIX), (SECOND_TOKENS, SECOND_RATE, SECOND_MIX))
    loss, read = 0.0, 0
    for number, (tokens, rate, mix) in enumerate(phases, 1):
        part = int(tokens * arguments.share)
        loss = train(model, batches(tokenizer, SEED + number, mix), part, rate, compiled=not arguments.eager)
        read += part
    facts = {
        "seed": SEED,
        "parameters": sum(p.numel() for p in model.parameters()),
        "vocabulary": len(tokenizer),
        "tokens": read,
        "first_tokens": int(FIRST_TOKENS * arguments.share),
        "minutes": round((time.monotonic() - started) / 60, 1),
        "loss": round(loss, 4),
    }
    save(model, tokenizer, arguments.out, facts)
    print(json.dumps(facts))


if __name__ == "__main__":
    main()
