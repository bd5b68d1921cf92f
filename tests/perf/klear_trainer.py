"""The project's RL loop on a model folder and prompts, as a process: the other side of trl_trainer.py.

python klear_trainer.py SETTINGS.json → {"tokens": …, "seconds": …}
"""

from __future__ import annotations

import json
import sys
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from klear_repro.config import Config
from klear_repro.device import choose_device
from klear_repro.engines.base import chat_ids
from klear_repro.files import read_rows
from klear_repro.models import find_model, load
from klear_repro.rewards import Rollout, Score
from klear_repro.sections import RLConfig
from klear_repro.training.prompts import Prompt
from klear_repro.training.rl import train_rl
from klear_repro.training.start import Start


class Coin:
    """The reward of both sides: a hash of the text, ±1."""

    def score(self, rollouts: Sequence[Rollout]) -> list[Score]:
        values = [zlib.crc32(rollout.response.encode()) % 2 * 2.0 - 1.0 for rollout in rollouts]
        return [Score(value, float(value > 0), "coin") for value in values]


def train(settings: dict[str, Any]) -> dict[str, float]:
    """Our side: all groups are trained, flat ones too, as TRL does; without the first round."""
    device = choose_device("cpu", "float32", settings["threads"])
    model, tokenizer = load(find_model(settings["model"]), device)
    prompts = [Prompt(chat_ids(tokenizer, [{"role": "user", "content": text}]), "coin", "") for text in settings["questions"]]
    config = RLConfig(
        steps=settings["rounds"], prompts_per_step=settings["prompts"], train_prompts=settings["prompts"],
        mini_batch_prompts=settings["mini_batch"], samples_per_prompt=settings["group"], max_new_tokens=settings["budget"],
        lr=settings["lr"], warmup_steps=0, filter_by="none", alpha=0.0, slots=settings["prompts"] * settings["group"],
        micro_batch_tokens=settings["micro_batch_tokens"], save_every=settings["rounds"], keep_rollouts=0, stop_entropy=0.0,
    )  # fmt: skip
    folder = Path(settings["folder"])
    base = Config()
    start = Start(model, tokenizer, folder, settings["seed"], "rl-math", device, base.runtime, base.model)
    rewards: Any = Coin()
    train_rl(start, config, prompts, rewards)
    rows = read_rows(start.metrics)[1:]
    return {"tokens": sum(row["trained_tokens"] for row in rows), "seconds": sum(row["seconds"] for row in rows)}


if __name__ == "__main__":
    print(json.dumps(train(json.loads(Path(sys.argv[1]).read_text()))))
