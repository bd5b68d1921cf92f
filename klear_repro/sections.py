"""The sections of the configuration, one frozen pydantic model each.

The description of a field is its `--help`; bounds and units are part of it.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, PositiveFloat, model_validator

Count = Annotated[int, Field(ge=0)]
Positive = Annotated[int, Field(ge=1)]
Share = Annotated[float, Field(ge=0, le=1)]
Decay = Annotated[float, Field(ge=0, lt=1)]
Unset = BeforeValidator(lambda value: None if isinstance(value, str) and value.lower() in ("", "none") else value)
"""An empty text or `none`, in TOML or on the command line, says that a field is not set."""


class Section(BaseModel):
    """Base of all sections: frozen, unknown keys refused, no silent conversions of type."""

    model_config = ConfigDict(frozen=True, extra="forbid", defer_build=True)  # --help builds no validator


class RuntimeConfig(Section):
    """The machine and the seed."""

    seed: Count = Field(0, description="seed of every random choice of the run")
    threads: Count = Field(0, description="CPU threads of torch; 0: one a core")
    device: Literal["auto", "cpu", "cuda"] = Field("auto", description="where to compute; auto: CUDA where there is one")
    dtype: Literal["auto", "float32", "bfloat16"] = Field("auto", description="of the weights; auto: bfloat16 on CUDA, else float32")
    workers: Count = Field(0, description="processes that grade answers and run programs, for each process of torchrun; 0: its part of the cores, at most 32", le=512)
    gradient_checkpointing: bool = Field(False, description="training: compute activations twice and keep few of them")
    keep_checkpoints: Positive = Field(2, description="checkpoints of a stage that stay on disk, the newest ones; with 1 there is none to fall back to when it is damaged")
    trackers: tuple[Literal["tensorboard", "wandb", "trackio"], ...] = Field((), description="where training metrics go besides metrics/*.jsonl: tensorboard, wandb, trackio, comma-separated")
    tier: Literal["auto", "root", "userns", "landlock", "unsafe"] = Field("auto", description="isolation of the sandbox; auto: the strongest of root, userns, landlock")


class ModelConfig(Section):
    """The base model: a small one made on the spot, or one to load."""

    path: str = Field("", description="base model: folder, GGUF file, Hub id or package:NAME; empty: a new small Qwen3 with the sizes below")
    revision: str = Field("", description="Hub revision of `path`; empty: main")
    hidden_size: Positive = Field(192, description="width")
    layers: Positive = Field(3, description="decoder layers")
    heads: Positive = Field(4, description="attention heads")
    kv_heads: Positive = Field(2, description="key-value heads; divides heads")
    head_dim: Positive = Field(32, description="dimension of a head")
    intermediate_size: Positive = Field(384, description="width of the feed-forward layer")
    vocab_size: int = Field(512, ge=300, le=65536, description="tokens of the small tokenizer")
    max_position: Positive = Field(512, description="longest prompt and answer together, tokens")
    initializer_range: float = Field(0.06, gt=0, le=1, description="standard deviation of the first weights")
    positions: Count = Field(0, description="positions of a loaded model where the recipe wants more than its configuration says, prompt and answer together, tokens; 0: as it says")
    lora_rank: Count = Field(0, description="train LoRA matrices of this rank instead of the weights; 0: the weights")
    lora_alpha: Positive = Field(32, description="LoRA: the change is scaled by alpha / rank")
    lora_targets: tuple[str, ...] = Field(("all-linear",), description="LoRA: layers by name, comma-separated, such as q_proj,v_proj; all-linear: all but the output head")

    @model_validator(mode="after")
    def _heads_divide(self) -> Self:
        if self.heads % self.kv_heads:
            raise ValueError(f"kv_heads={self.kv_heads}: must divide heads={self.heads}")
        return self


class DataConfig(Section):
    """Training data and held-out problems of the smoke profile."""

    source: Literal["synthetic", "words", "files", "none"] = Field("synthetic", description="synthetic: integer problems and programs for a new model; words: word problems for a pretrained one; files: each stage names its own; none: nothing to train on")
    sft_math_problems: Count = Field(4500, description="integer problems that the teacher answers")
    sft_math_answers: Positive = Field(1, description="answers to each of them")
    sft_code_problems: Count = Field(200, description="programming problems that the teacher answers")
    sft_code_answers: Positive = Field(8, description="answers to each of them")
    rl_math_problems: Positive = Field(1500, description="problems of math RL")
    rl_code_problems: Positive = Field(160, description="problems of code RL")
    heldout_math: Positive = Field(40, description="problems of mini-aime or mini-words")
    heldout_code: Positive = Field(40, description="problems of mini-lcb")
    steps: int = Field(1, ge=1, le=2, description="operations of an integer problem, at most")
    digits: int = Field(2, ge=1, le=3, description="digits of its numbers")
    tests: int = Field(8, ge=1, le=64, description="tests of a program")
    math_error_rate: Share = Field(0.5, description="how often the teacher forgets a carry or borrow")
    code_error_rate: Share = Field(0.5, description="how often the teacher overlooks a case of a program")

    @model_validator(mode="after")
    def _something(self) -> Self:
        if not self.sft_math_problems and not self.sft_code_problems:
            raise ValueError("sft_math_problems=0: with sft_code_problems=0 there is nothing to train on; one must be above 0")
        return self


class SFTConfig(Section):
    """Supervised fine-tuning (paper §3.1)."""

    data: str = Field("", description="what to train on: .parquet or .jsonl file, or Hub data set, with `messages` or `prompt` and `response`; empty: the data stage's")
    data_revision: str = Field("", description="Hub revision of `data`; empty: main")
    max_skipped: Share = Field(0.1, description="share of the rows of `data` that may be skipped because they cannot be learned from; with more, or if none is left, the data is refused")
    max_length: Count = Field(0, description="longest prompt and response together, tokens; longer ones are left out and counted; 0: what the model takes")
    epochs: Count = Field(0, description="passes over the data, instead of steps; 0: steps")
    steps: Count = Field(400, description="optimiser steps; 0: no SFT, RL starts from the base model")
    batch_size: Positive = Field(32, description="sequences a step")
    lr: float = Field(3e-3, gt=0, lt=1, description="peak learning rate")
    lr_end: float = Field(3e-4, ge=0, lt=1, description="learning rate at the end of the cosine")
    warmup_steps: Count = Field(20, description="steps of linear warm-up")
    weight_decay: float = Field(0.01, ge=0, le=1, description="AdamW")
    betas: tuple[Decay, Decay] = Field((0.9, 0.98), description="AdamW")
    grad_clip: float = Field(1.0, gt=0, description="largest gradient norm")
    micro_batch_tokens: Positive = Field(4096, description="tokens a forward pass; sequences are packed without padding")
    save_every: Positive = Field(20, description="steps between checkpoints")

    @model_validator(mode="after")
    def _falls(self) -> Self:
        if self.lr_end > self.lr:
            raise ValueError(f"lr_end={self.lr_end}: must be at most lr={self.lr}")
        return self


class RLConfig(Section):
    """Reinforcement learning with group-relative advantages (paper §3.2, Eq. 4–14)."""

    steps: Count = Field(16, description="rollout steps; 0: the stage is left out")
    prompts_per_step: Positive = Field(24, description="prompts that are sampled each step")
    train_prompts: Positive = Field(24, description="kept groups that are trained on each step, at most; surplus is discarded")
    mini_batch_prompts: Positive = Field(8, description="groups an optimiser update")
    samples_per_prompt: int = Field(8, ge=2, description="size of a group")
    max_new_tokens: Positive = Field(96, description="budget of a response, tokens")
    temperature: float = Field(1.0, gt=0, le=10, description="of rollouts")
    top_p: float = Field(1.0, gt=0, le=1, description="of rollouts")
    slots: Positive = Field(128, description="rollouts that are generated side by side")
    lr: float = Field(3e-4, gt=0, lt=1, description="learning rate, constant after warm-up")
    warmup_steps: Count = Field(3, description="updates of linear warm-up")
    weight_decay: float = Field(0.1, ge=0, le=1, description="AdamW")
    betas: tuple[Decay, Decay] = Field((0.9, 0.999), description="AdamW")
    grad_clip: float = Field(1.0, gt=0, description="largest gradient norm; a non-finite one skips the update")
    loss: Literal["gppo", "ce_gppo", "clip", "cispo", "gspo"] = Field("gppo", description="policy loss")
    eps_low: float = Field(0.2, ge=0, lt=1, description="clip range below 1")
    eps_high: float = Field(0.28, ge=0, description="clip range above 1")
    beta_low: float = Field(1.0, allow_inf_nan=False, ge=0, description="ce_gppo: factor of the gradient kept below the range")
    beta_high: float = Field(1.0, allow_inf_nan=False, ge=0, description="ce_gppo: factor of the gradient kept above the range")
    alpha: float = Field(0.1, allow_inf_nan=False, ge=0, description="weight of the LM loss on correct samples (Eq. 14)")
    reward: Literal["paper", "release", "short-answer"] = Field("paper", description="scores of the verifiers (rewards.py)")
    std: Literal["population", "unbiased", "none"] = Field("population", description="standard deviation of a group")
    aggregation: Literal["token_mean", "sequence_mean", "klear_microbatch"] = Field("token_mean", description="how token losses become one")
    dual_clip_c: float = Field(0.0, ge=0, description="dual clip; 0: off, else above 1")
    filter_by: Literal["acc", "reward", "none"] = Field("reward", description="what makes a group count as flat; flat groups are dropped")
    max_tests: Positive = Field(16, description="tests of a program that are run for a reward, drawn with a seed")
    cpu_s: float = Field(2.0, gt=0, le=600, description="CPU seconds of a program and test; a row's own timeout may shorten them")
    wall_s: float = Field(5.0, gt=0, le=600, description="seconds of a program and test; shortened in proportion")
    memory_mb: int = Field(256, ge=64, le=65536, description="MiB of a program and test")
    stop_after_tle: Count = Field(3, description="a program that runs out of time on this many tests, those with the shortest inputs, is not run on its others, which count as failed; 0: it is run on all")
    micro_batch_tokens: Positive = Field(4096, description="tokens a forward pass; sequences are packed without padding")
    save_every: Positive = Field(1, description="steps between checkpoints")
    data: str = Field("", description="prompts: .parquet or .jsonl file, or Hub data set, in the released format; empty: the data stage's")
    data_revision: str = Field("", description="Hub revision of `data`; empty: main")
    max_prompt_tokens: Count = Field(0, description="longer prompts are left out and counted, tokens; 0: none are")
    max_skipped: Share = Field(0.1, description="share of the rows of `data`, and of `heldout`, that may be skipped because they cannot be trained on; with more, or if none is left, the data is refused")
    engine: Literal["hf", "vllm", "vllm-server"] = Field("hf", description="what generates rollouts: transformers on the live weights, vLLM in this process, or vLLM servers; the two take over the weights before each step")
    endpoints: tuple[str, ...] = Field((), description="engine vllm-server: base addresses such as http://127.0.0.1:8000/v1, comma-separated (docs/training.md says how servers are started)")
    transfer_folder: str = Field("", description="engine vllm-server: where weights are written for the servers, seen by them under the same path, best in memory such as /dev/shm/NAME; empty: weights/ in the run folder")
    old_logp: Literal["auto", "engine", "trainer"] = Field("auto", description="who computes log π_old; auto: the engine if it is hf, else the trainer once more")
    logprob_tolerance: float = Field(0.05, gt=0, description="mean |log π of trainer − of engine| over a step's trained tokens (engine hf: over those of its first update), nats, above which the run stops")
    rollout_cap: float = Field(0.0, ge=0, description="truncated importance sampling: token losses are weighted with min(π_old / π_rollout, cap); 0: off")
    refill_rounds: Count = Field(0, description="more rounds of prompts a step, at most, while kept groups are fewer than train_prompts; 0: no refill")
    overlong_filter: bool = Field(False, description="leave out rollouts that hit the length limit, before advantages")
    overlong_penalty_tokens: Count = Field(0, description="the last tokens of the budget, over which a penalty grows from 0 to −1 (DAPO Eq. 13); 0: none")
    positive_by: Literal["accuracy", "reward"] = Field("accuracy", description="what makes a sample correct for the LM loss: the verifier, or a reward of exactly 1.0 after penalties")
    verifier_retries: Count = Field(2, description="how often a rollout is scored again after its verifier failed; then it is left out and counted")
    max_verifier_failures: Share = Field(0.5, description="share of a step's rollouts without a score above which the run stops")
    patience: Positive = Field(5, description="steps in a row that are hopeless (all groups flat at the floor, no group left to train on, entropy collapsed, no finite gradient) before the run stops")
    stop_entropy: float = Field(0.0005, ge=0, description="entropy of the rollouts, mean −log π of their tokens, nats, that counts as collapsed; 0: never")
    keep_rollouts: Count = Field(8, description="rollouts of a step that are kept in rollouts/STAGE.jsonl")
    eval_every: Count = Field(0, description="steps between evaluations on held-out problems with the stage's own verifier; 0: none")
    heldout: str = Field("", description="problems of those evaluations: .parquet or .jsonl file, or Hub data set, in the format of `data`; empty: the data stage's")
    heldout_revision: str = Field("", description="Hub revision of `heldout`; empty: main")
    eval_problems: Count = Field(0, description="held-out problems of those evaluations; 0: all")
    eval_samples: Positive = Field(1, description="samples a problem of those evaluations, at temperature 0.6 and top_p 0.95")
    controls: tuple[Literal["clip", "sft"], ...] = Field((), description="controls from the same start: the clip loss, and more SFT for the same time")

    @model_validator(mode="after")
    def _possible(self) -> Self:
        if self.dual_clip_c and self.dual_clip_c <= 1:
            raise ValueError(f"dual_clip_c={self.dual_clip_c}: must be above 1, or 0 for off")
        if self.dual_clip_c and self.loss == "cispo":
            raise ValueError(f"dual_clip_c={self.dual_clip_c}: must be 0 with loss=cispo, whose ratio is bounded already")
        if self.mini_batch_prompts > self.train_prompts:
            raise ValueError(f"mini_batch_prompts={self.mini_batch_prompts}: must be at most train_prompts={self.train_prompts}")
        if self.train_prompts > self.prompts_per_step and not self.refill_rounds:
            raise ValueError(f"train_prompts={self.train_prompts}: must be at most prompts_per_step={self.prompts_per_step}, or refill_rounds above 0")
        if self.overlong_penalty_tokens > self.max_new_tokens:
            raise ValueError(f"overlong_penalty_tokens={self.overlong_penalty_tokens}: must be at most max_new_tokens={self.max_new_tokens}")
        if 0 < self.rollout_cap < 1:
            raise ValueError(f"rollout_cap={self.rollout_cap}: must be at least 1, or 0 for off")
        if self.endpoints and self.engine != "vllm-server":
            raise ValueError(f"endpoints={','.join(self.endpoints)!r}: for engine=vllm-server, and for no other")
        if self.engine != "hf" and self.top_p < 1:
            raise ValueError(f"top_p={self.top_p}: must be 1 with engine={self.engine}, which gives no log-probabilities before top_p")
        if self.rollout_cap and self.old_logp == "engine":
            raise ValueError("old_logp='engine': must be trainer or auto with rollout_cap, which compares the two")
        return self


VLLM_OPTIONS = (
    "gpu_memory_utilization", "max_num_seqs", "max_num_batched_tokens", "kv_cache_memory_bytes", "kv_cache_dtype", "quantization", "cpu_offload_gb",
    "block_size", "attention_backend", "enforce_eager", "enable_prefix_caching", "disable_custom_all_reduce",
)  # fmt: skip
"""Fields of `EvalConfig` that go to vLLM as they are."""


class EvalConfig(Section):
    """Evaluation of checkpoints (paper §4.1)."""

    model: str = Field("", description="what to evaluate: folder, GGUF file, Hub id, or package:NAME, several comma-separated; empty: the checkpoints of this run")
    revision: str = Field("", description="Hub revision of the model; empty: main, resolved and recorded")
    note: str = Field("", description="what must stand beside the results of this model")
    benchmarks: tuple[str, ...] = Field(("mini-aime", "mini-lcb"), description="comma-separated names")
    benchmark_path: str = Field("", description="folder or JSONL file with the problems; empty: this run's data, or the Hub")
    benchmark_revision: str = Field("", description="Hub revision of the problems; empty: the one that the project pins, or main, resolved and recorded")
    protocol: str = Field("", description="protocol name or TOML file; empty: TO of an attribution, smoke-math or smoke-code for the stand-ins, else klear-paper-32k")
    prompt: str = Field("", description="prompt by name, such as lcb-generic, lcb-r1, lcb-qwen, boxed; empty: the protocol's")
    attribute: tuple[str, ...] = Field((), description="two protocols, FROM,TO: which of their differences changes the score, and by how much")
    attribute_model: str = Field("", description="evaluate all models first, then attribute this one of them, by its name in the report; empty: attribute each model instead of evaluating it")
    samples: Count = Field(0, description="samples a problem; 0: what the protocol says")
    limit: Count = Field(0, description="only the first N problems; 0: all")
    max_new_tokens: Count = Field(0, description="budget of a response, tokens; 0: what the protocol says")
    temperature: Annotated[float | None, Unset] = Field(None, ge=0, le=10, allow_inf_nan=False, description="of sampling, 0 for greedy; empty: what the protocol says")
    top_p: Annotated[float | None, Unset] = Field(None, gt=0, le=1, allow_inf_nan=False, description="sample from the likeliest tokens with this share, 1 for off; empty: what the protocol says")
    top_k: Annotated[int | None, Unset] = Field(None, ge=-1, description="sample from this many likeliest tokens, 0 or -1 for off; empty: what the protocol says")
    min_p: Annotated[float | None, Unset] = Field(None, ge=0, le=1, allow_inf_nan=False, description="leave out tokens less likely than this share of the likeliest one, 0 for off; empty: what the protocol says")
    repetition_penalty: Annotated[float | None, Unset] = Field(None, gt=0, le=10, allow_inf_nan=False, description="divides the logits of tokens that were there before, 1 for off; empty: what the protocol says")
    context: Literal["", "off", "model"] = Field("", description="context extension: off for none, model for that of the checkpoint's configuration; empty: what the protocol says")
    canary: Count = Field(4, description="samples that must come to a good end before the rest is queued, on problems of their own; 0: none")
    engine: Literal["hf", "vllm", "openai"] = Field("hf", description="what generates")
    endpoints: tuple[str, ...] = Field((), description="engine openai: base addresses such as http://127.0.0.1:8000/v1, comma-separated")
    served_name: str = Field("", description="engine openai: the model's name at the endpoints; empty: the only one that they serve")
    vouched: bool = Field(False, description="engine openai: you say that the servers run the evaluated weights, not quantised and with the protocol's context extension, which servers do not tell; without it no verdict is given, with it the report names it as your word")
    request_s: PositiveFloat = Field(7200, description="engine openai: time limit of one request, seconds")
    silent_s: Annotated[float, Field(ge=0, allow_inf_nan=False)] = Field(1800, description="a worker that starts or has samples under way and makes no token for this long is ended, seconds; 0: never (engine openai: request_s bounds its requests instead)")
    slots: Count = Field(0, description="samples that are generated side by side; 0: what memory holds, for engine openai 128 requests")
    max_model_len: Count = Field(0, description="prompt and answer together, tokens; 0: what the protocol or the model says")
    data_parallel: Positive = Field(1, description="workers that take samples from one queue, each a process with its own copy of the model", le=64)
    tensor_parallel: Positive = Field(1, description="engine vllm: GPUs that one copy of the model is spread over", le=64)
    end_of_turn: str = Field("", description="token that ends the assistant's turn, for a chat template that shows none; empty: what the template puts there")
    gpu_memory_utilization: Annotated[float | None, Unset] = Field(None, gt=0, le=1, allow_inf_nan=False, description="engine vllm: share of a GPU's memory that it may take; empty: 0.9")
    max_num_seqs: Annotated[int | None, Unset] = Field(None, ge=1, description="engine vllm: sequences in one step; empty: as slots")
    max_num_batched_tokens: Annotated[int | None, Unset] = Field(None, ge=1, description="engine vllm: tokens in one step; empty: vLLM's default")
    kv_cache_memory_bytes: Annotated[int | None, Unset] = Field(None, ge=1, description="engine vllm: size of the key-value cache, bytes for each GPU; empty: what gpu_memory_utilization leaves")
    kv_cache_dtype: str = Field("", description="engine vllm: type of the key-value cache, such as fp8, which blocks a verdict; empty: the model's type")
    quantization: str = Field("", description="engine vllm: method by which weights are quantised, such as fp8, which blocks a verdict; empty: as the checkpoint says")
    cpu_offload_gb: Annotated[float | None, Unset] = Field(None, ge=0, allow_inf_nan=False, description="engine vllm: GiB of weights that stay in main memory, for each GPU; empty: none")
    block_size: Annotated[int | None, Unset] = Field(None, ge=1, description="engine vllm: tokens in a block of the key-value cache; empty: vLLM's default")
    attention_backend: str = Field("", description="engine vllm: attention kernels by vLLM's name, such as FLASH_ATTN or FLASHINFER; empty: vLLM's choice")
    enforce_eager: bool = Field(False, description="engine vllm: no compilation and no CUDA graphs: starts faster, generates slower")
    enable_prefix_caching: bool = Field(True, description="engine vllm: compute a prompt once for all its samples")
    disable_custom_all_reduce: bool = Field(False, description="engine vllm: plain NCCL between GPUs, where vLLM's own kernel hangs")
    shard: str = Field("", description="I/N: the I-th of about N commands that take samples from the queue of one run folder; grades nothing")
    code_mode: Literal["auto", "native", "lcb_compat", "both"] = Field("auto", description="how programs are judged; auto: both modes for LiveCodeBench, else native")
    soft_tests: Count = Field(16, description="tests that the soft score of a failing program is measured on, drawn from all; 0: all of them")

    @model_validator(mode="after")
    def _shaped(self) -> Self:
        if not self.benchmarks:
            raise ValueError("benchmarks='': must be at least one name")
        if self.endpoints and self.engine != "openai":
            raise ValueError(f"endpoints={','.join(self.endpoints)!r}: for engine=openai, and engine is {self.engine}")
        if self.vouched and self.engine != "openai":
            raise ValueError(f"vouched=True: for engine=openai, and engine is {self.engine}")
        if self.attribute and len(self.attribute) != 2:
            raise ValueError(f"attribute={','.join(self.attribute)!r}: must be two protocols, FROM,TO")
        if self.attribute_model and not self.attribute:
            raise ValueError(f"attribute_model={self.attribute_model!r}: only with attribute, which names the two protocols")
        if self.shard and self.attribute:
            raise ValueError(f"shard={self.shard!r}: not with attribute")
        index, _, count = self.shard.partition("/")
        if self.shard and not (index.isdecimal() and count.isdecimal() and 1 <= int(index) <= int(count)):
            raise ValueError(f"shard={self.shard!r}: must be I/N with I from 1 to N, such as 1/4")
        if self.engine != "vllm" and (given := self.vllm_options()):
            name, value = next(iter(given.items()))
            raise ValueError(f"{name}={value!r}: only with engine='vllm', not {self.engine!r}; leave it out")
        return self

    def measured(self, model: str) -> tuple[str, ...]:
        """Names of the protocols that a model is measured under; "" is the evaluation's own."""
        evaluation = ("",) if self.evaluates else ()
        return (*evaluation, *self.attribute) if self.attribute_model in ("", model) else evaluation

    @property
    def evaluates(self) -> bool:
        """Whether models are evaluated; else they are only attributed."""
        return bool(self.attribute_model or not self.attribute)

    def vllm_options(self) -> dict[str, Any]:
        """The options of vLLM that differ from their defaults, under vLLM's own names."""
        return {name: value for name in VLLM_OPTIONS if (value := getattr(self, name)) != type(self).model_fields[name].default}


class TracesConfig(Section):
    """Responses that were generated elsewhere, for the stage import."""

    paths: tuple[str, ...] = Field((), description="files or folders of outputs, comma-separated, all of one model (docs/evaluation.md has the formats)")
    format: Literal["auto", "klear", "lm-eval", "lighteval", "lcb", "qwen-math", "nemo-skills", "inspect", "evalscope", "generic"] = Field("auto", description="of the files")
    model: str = Field("", description="name of the checkpoint that they come from, with or without an organisation; empty: the first file's name")
    fields: tuple[str, ...] = Field((), description="where the files have what, as NAME=FIELD, comma-separated: NAME is one of the documented row (problem, id, response, answer, correct, finish_reason, tokens, sample), FIELD the file's own name for it, such as response=raw_output; a dot goes into an object; empty: known names")
    only: str = Field("", description="where rows or folders are of several models: the name of the one that is meant, as it stands there")
    thinking: Literal["auto-by-format", "auto", "required"] = Field("auto-by-format", description="where strict looks for the end of the thinking; auto-by-format: required for released traces, else auto")
    max_skipped: Share = Field(0.25, description="share of a file's rows that may be skipped, because they are broken or of a problem that is not known and has no answer beside it; one row may, unless this is 0; with more the import is refused")

    @property
    def named_fields(self) -> dict[str, str]:
        """Field of the documented row → the file's own name for it."""
        return {name.strip(): field.strip() for name, _, field in (one.partition("=") for one in self.fields)}

    @model_validator(mode="after")
    def _known_fields(self) -> Self:
        known = ("problem", "id", "response", "answer", "correct", "finish_reason", "tokens", "sample")
        for one in self.fields:
            name, _, field = (part.strip() for part in one.partition("="))
            if name not in known or not field:
                raise ValueError(f"fields={one!r}: must be NAME=FIELD, where NAME is one of {', '.join(known)}")
        return self

    @model_validator(mode="after")
    def _a_name(self) -> Self:
        parts = self.model.split("/")
        is_name = all(part and part.isprintable() and "\\" not in part and not part.startswith(".") and len(part) <= 96 for part in parts)
        if self.model and not (is_name and len(parts) <= 2):
            raise ValueError(f"model={self.model!r}: must be NAME or ORGANISATION/NAME, each of at most 96 characters that can be seen, not beginning with a dot")
        return self


class ReportConfig(Section):
    """The report."""

    examples: Count = Field(6, description="sample generations shown for each benchmark")
    viewer: bool = Field(True, description="the page has a viewer of all samples; false: a small report without their texts")
    published: tuple[str, ...] = Field((), description="TOML files of published numbers beside the built-in ones, comma-separated (docs/reports.md)")
