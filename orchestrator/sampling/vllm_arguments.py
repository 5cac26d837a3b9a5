"""vLLM arguments that `engine_args` accepts under their own names.

Names only, so that a recipe is checked without importing vLLM; a test compares them with the installed vLLM.
"""

from types import MappingProxyType

ARGUMENTS = frozenset(
    {
        "all2all_backend",
        "async_scheduling",
        "block_size",
        "compilation_config",
        "cpu_offload_gb",
        "cpu_offload_params",
        "cudagraph_capture_sizes",
        "disable_cascade_attn",
        "disable_custom_all_reduce",
        "distributed_executor_backend",
        "download_dir",
        "enable_chunked_prefill",
        "enable_dbo",
        "enable_expert_parallel",
        "enable_flashinfer_autotune",
        "enable_prefix_caching",
        "enforce_eager",
        "fully_sharded_loras",
        "gpu_memory_utilization",
        "ignore_patterns",
        "kernel_config",
        "kv_cache_memory_bytes",
        "kv_offloading_backend",
        "kv_offloading_size",
        "load_format",
        "long_prefill_token_threshold",
        "max_cpu_loras",
        "max_cudagraph_capture_size",
        "max_num_batched_tokens",
        "max_num_scheduled_tokens",
        "max_num_seqs",
        "max_parallel_loading_workers",
        "model_loader_extra_config",
        "num_gpu_blocks_override",
        "numa_bind",
        "numa_bind_cpus",
        "numa_bind_nodes",
        "offload_backend",
        "offload_group_size",
        "offload_num_in_group",
        "offload_params",
        "offload_prefetch_step",
        "optimization_level",
        "performance_mode",
        "pipeline_parallel_size",
        "prefix_caching_hash_algo",
        "safetensors_load_strategy",
        "scheduling_policy",
        "stream_interval",
    }
)
"""Arguments that affect memory and speed, but not the output."""
CHANGE_TEXTS = frozenset(
    {
        "attention_backend",
        "attention_config",
        "disable_sliding_window",
        "hf_overrides",
        "kv_cache_dtype",
        "kv_cache_dtype_skip_layers",
        "linear_backend",
        "logits_processors",
        "mamba_cache_dtype",
        "mamba_ssm_cache_dtype",
        "max_model_len",
        "model_impl",
        "moe_backend",
        "quantization",
        "quantization_config",
        "speculative_config",
        "use_fp64_gumbel",
    }
)
"""Arguments that change which tokens are sampled, so they are part of a stage's key."""
_REASONS = {
    "the recipe's `model` block decides it": (
        "model",
        "model_weights",
        "tokenizer",
        "tokenizer_mode",
        "tokenizer_revision",
        "revision",
        "code_revision",
        "trust_remote_code",
        "dtype",
        "hf_token",
        "hf_config_path",
    ),
    "every draw has its own seed": ("seed",),
    "the adapter decides it: the smallest rank that fits it": (
        "enable_lora",
        "max_loras",
        "max_lora_rank",
        "lora_dtype",
        "lora_target_modules",
    ),
    "`resources: {gpus: N}` sets how many GPUs share the model": ("tensor_parallel_size",),
    "orch runs as many engines in parallel as there is room for": (
        "data_parallel_size",
        "data_parallel_rank",
        "data_parallel_size_local",
        "data_parallel_backend",
    ),
    "the stage's own settings decide it (temperature, top_p, max_tokens)": (
        "generation_config",
        "override_generation_config",
    ),
    "orch passes token ids in and reads token ids": ("skip_tokenizer_init", "enable_prompt_embeds", "runner"),
}
SET_BY_ORCH = MappingProxyType({name: why for why, names in _REASONS.items() for name in names})
"""Arguments that a recipe may not set, each with the reason."""
