"""What stops an RL run that cannot get better, with the reason; a pure function of the last rows of its metrics.

So a resumed run stops where one that was never interrupted would.  Neither paper nor release has such a stop.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from klear_repro.config import RLConfig


def hopeless(rows: Sequence[dict[str, Any]], config: RLConfig) -> str:
    """Why to stop after these steps, empty to go on.

    Args:
        rows: metrics of the last steps, oldest first; fewer than `config.patience` never stop a run.
    """
    if len(rows) < config.patience:
        return ""
    last = rows[-config.patience :]
    steps = f"in each of the last {config.patience} steps"
    if all(row["updates"] and row["skipped_updates"] == row["updates"] for row in last):
        return f"{steps} no update had a finite gradient; a lower lr, or float32, may help"
    if all(row["groups_flat"] == row["groups"] and row["accuracy"] == 0 for row in last):
        reasons = ", ".join(f"{name} {count}" for name, count in last[-1]["details"].items())
        return (
            f"{steps} every group was flat and no answer right (verdicts of the last: {reasons}): there is nothing to learn from; "
            "see the rollouts that were kept, choose easier prompts, or a reward that fits the model (reward=short-answer asks for no thinking)"
        )
    if config.overlong_filter and all(row["groups_kept"] == 0 and row["truncated"] == 1 for row in last):
        return f"{steps} every rollout hit the length limit, and overlong_filter left all of them out; a larger max_new_tokens may help"
    entropies = [row["rollout_entropy"] for row in last if row["rollout_entropy"] is not None]
    if config.stop_entropy and len(entropies) == len(last) and max(entropies) < config.stop_entropy and last[-1]["accuracy"] != 1:
        return f"{steps} the entropy of the rollouts was below stop_entropy={config.stop_entropy} nats (now {entropies[-1]:.2g}): the policy has collapsed to one answer"
    return ""
