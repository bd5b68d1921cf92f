"""TRL's GRPOTrainer on a model folder and prompts, as a process of its own environment: JSON on standard output.

python trl_trainer.py SETTINGS.json → {"tokens": …, "seconds": …}: tokens of prompts and responses that were trained, and the wall
time, both without the first round (compilation, first allocations).
"""

from __future__ import annotations

import json
import sys
import time
import zlib
from pathlib import Path
from typing import Any

import torch
from datasets import Dataset
from transformers import AutoModelForCausalLM, AutoTokenizer, TrainerCallback
from trl import GRPOConfig, GRPOTrainer

settings = json.loads(Path(sys.argv[1]).read_text())
torch.set_num_threads(settings["threads"])
tokens: list[int] = []
ends: list[float] = []


def reward(prompts: list[Any], completions: list[Any], completion_ids: list[list[int]], **kwargs: Any) -> list[float]:
    texts = [one[0]["content"] if isinstance(one, list) else one for one in completions]
    template = {"add_generation_prompt": True, "tokenize": True, "return_dict": False}
    lengths = [len(tokenizer.apply_chat_template(prompt, **template)) for prompt in prompts]
    tokens.append(sum(lengths) + sum(len(ids) for ids in completion_ids))
    return [zlib.crc32(text.encode()) % 2 * 2.0 - 1.0 for text in texts]


class Clock(TrainerCallback):
    def on_step_end(self, *args: Any, **kwargs: Any) -> None:
        ends.append(time.perf_counter())


tokenizer = AutoTokenizer.from_pretrained(settings["model"])
model = AutoModelForCausalLM.from_pretrained(settings["model"], dtype=torch.float32)
updates = settings["prompts"] // settings["mini_batch"]
arguments = GRPOConfig(
    output_dir=settings["folder"], use_cpu=True, bf16=False, report_to=[], disable_tqdm=True, save_strategy="no", logging_strategy="no",
    per_device_train_batch_size=settings["mini_batch"] * settings["group"], gradient_accumulation_steps=1, steps_per_generation=updates,
    num_generations=settings["group"], max_completion_length=settings["budget"], max_steps=settings["rounds"] * updates, num_iterations=1,
    temperature=1.0, beta=0.0, loss_type="dapo", learning_rate=settings["lr"], lr_scheduler_type="constant", weight_decay=0.1,
    epsilon=0.2, epsilon_high=0.28, gradient_checkpointing=False, seed=settings["seed"],
)  # fmt: skip
rows = Dataset.from_list([{"prompt": [{"role": "user", "content": text}]} for text in settings["questions"]])
trainer = GRPOTrainer(model=model, reward_funcs=reward, args=arguments, train_dataset=rows, processing_class=tokenizer, callbacks=[Clock()])
trainer.train()
print(json.dumps({"tokens": sum(tokens[1:]), "seconds": ends[-1] - ends[updates - 1]}))
