"""Generation with vLLM (the `vllm` extra; needs a GPU)."""

from typing import Any

from orchestrator.errors import StageError
from orchestrator.models.loading import dtype, load_tokenizer
from orchestrator.models.reference import ModelRef
from orchestrator.sampling.engine import Decoding, Generated, Request

_MAX_LORA_RANK = 256


class VllmEngine:
    """A model held by vLLM in this process, its adapter applied as a LoRA request."""

    def __init__(self, ref: ModelRef) -> None:
        try:
            from vllm import LLM
            from vllm.lora.request import LoRARequest
        except ImportError as error:
            raise StageError(
                f"engine: vllm cannot be imported ({error}); install it with `pip install 'orch-rft[vllm]'`"
            ) from None
        self.tokenizer = load_tokenizer(ref.base)
        lora: dict[str, Any] = {"enable_lora": True, "max_lora_rank": _MAX_LORA_RANK} if ref.adapter else {}
        self.llm = LLM(
            model=ref.base.read_from,
            revision=ref.base.revision,
            trust_remote_code=ref.base.trust_remote_code,
            dtype=str(dtype(ref.base.dtype)).removeprefix("torch."),
            enable_prefix_caching=True,
            **lora,
        )
        self.lora = LoRARequest(ref.name, 1, ref.adapter) if ref.adapter else None

    def generate(self, requests: list[Request], decoding: Decoding) -> list[Generated]:
        """Complete every request, in order; each has a seed of its own, so engines beside each other never agree."""
        from vllm import SamplingParams

        outputs = self.llm.generate(
            [{"prompt_token_ids": list(r.prompt)} for r in requests],
            [
                SamplingParams(
                    temperature=decoding.temperature,
                    top_p=decoding.top_p,
                    max_tokens=decoding.max_tokens,
                    seed=r.seed >> 1,  # vLLM takes 63 bits
                    stop=list(decoding.stop),
                    include_stop_str_in_output=True,
                    detokenize=bool(decoding.stop),  # stop texts are looked for in the text
                )
                for r in requests
            ],
            lora_request=self.lora,
            use_tqdm=False,
        )
        return [self._cut(output.outputs[0]) for output in outputs]

    def _cut(self, made: Any) -> Generated:
        ids = list(made.token_ids)
        if made.finish_reason == "length":
            return Generated(tuple(ids), "length")
        while ids and ids[-1] in self.tokenizer.all_special_ids:
            ids.pop()
        return Generated(tuple(ids), "stop")
