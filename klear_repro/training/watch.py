"""What stops an RL run that cannot get better, with the reason; a pure function of the last rows of its metrics.

So a resumed run stops where one that was never interrupted would.  Neither paper nor release has such a stop.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from klear_repro.errors import RunError
from klear_repro.sections import RLConfig


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
    if all(not row["updates"] and row["accuracy"] != 1 for row in last):
        return f"{steps} no group was left to train on ({_dropped(last[-1], config)}); other prompts, more samples_per_prompt, or another filter may help"
    return ""


def stop_if_hopeless(rows: Sequence[dict[str, Any]], config: RLConfig, label: str) -> None:
    """Raises RunError with the reason where the last of these steps should have stopped the run, or did."""
    if why := hopeless(rows, config):
        raise RunError(f"{label}: stopped after step {rows[-1]['step']}: {why}", everywhere=True)


def _dropped(row: dict[str, Any], config: RLConfig) -> str:
    """What became of the groups of a step that trained on none."""
    flat, rest = row["groups_flat"], row["groups"] - row["groups_flat"]
    found = [f"{flat} flat, without rewards that differ"] if flat else []
    if rest:
        acc = ["filter_by=acc, for which all answers of a group are equally right"] if config.filter_by == "acc" else []
        overlong = [f"overlong_filter, which left out the {row['truncated']:.0%} of rollouts at the length limit"] if config.overlong_filter else []
        found.append(f"{rest} dropped by {' and '.join(acc + overlong) or f'filter_by={config.filter_by}'}")
    verdicts = ", ".join(f"{name} {count}" for name, count in row["details"].items())
    return f"of the {row['groups']} of the last: {', '.join(found)}; verdicts: {verdicts}"
