"""A language model for lm-eval that replays the stored samples of a run: `simple_evaluate(model=ReplayLM(…), tasks=[…])`.

lm-eval asks for a problem as often as its task repeats it, with one and the same request object each time; the answers
are the stored samples in the order of their index.  The tasks are those of `benchmarks/lm_eval`, whose documents name
benchmark and problem.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection
from pathlib import Path
from typing import Any, NoReturn

from lm_eval.api.instance import Instance
from lm_eval.api.model import LM

from benchmarks.records import Generation, read_generations
from klear_repro.errors import UserError


class ReplayLM(LM):
    """Answers from `generations/BENCHMARK/MODEL.jsonl` of a run folder.

    Args:
        run_dir: the run folder.
        model: label of the checkpoint in it.
        sampling_hash, revision, prompt_hashes: which samples, where the folder has those of several protocols,
            checkpoints or prompts (a prompt has one hash a problem).

    Raises:
        UserError: nothing stored for a benchmark, several samplings, or fewer samples than a task asks for.
    """

    def __init__(self, run_dir: Path | str, model: str, sampling_hash: str = "", revision: str = "", prompt_hashes: Collection[str] = ()) -> None:
        super().__init__()
        self._folder = Path(run_dir) / "generations"
        self._model = model
        self._sampling_hash, self._revision, self._prompts = sampling_hash, revision, frozenset(prompt_hashes)
        self._stored: dict[str, dict[str, list[Generation]]] = {}

    def generate_until(self, requests: list[Instance], disable_tqdm: bool = False) -> list[str]:
        """The next stored sample of each request's problem."""
        asked: Counter[tuple[str, str]] = Counter()
        texts = []
        for request in requests:
            benchmark, problem = str(request.doc["benchmark"]), str(request.doc["id"])
            index = asked[benchmark, problem]
            asked[benchmark, problem] += 1
            samples = self._samples(benchmark).get(problem, [])
            if index >= len(samples):
                raise UserError(f"{benchmark}: problem {problem} has {len(samples)} stored samples, the task asks for more; set its repeats to {len(samples)}")
            texts.append(samples[index].text)
        return texts

    def _samples(self, benchmark: str) -> dict[str, list[Generation]]:
        """Problem id → stored samples by their index."""
        if benchmark not in self._stored:
            path = self._folder / benchmark / f"{self._model}.jsonl"
            if not path.is_file():
                raise UserError(f"{path}: nothing is stored there")
            rows, _ = read_generations(path)
            rows = [
                row for row in rows
                if self._sampling_hash in ("", row.sampling_hash)
                and self._revision in ("", row.revision)
                and (not self._prompts or row.prompt_hash in self._prompts)
            ]  # fmt: skip
            for field, values in (("sampling_hash", {row.sampling_hash for row in rows}), ("revision", {row.revision for row in rows})):
                if len(values) > 1:
                    raise UserError(f"{path}: samples of {len(values)} kinds; {field} says which: {', '.join(sorted(values))}")
            if len({(row.problem_id, row.sample_index) for row in rows}) < len(rows):
                raise UserError(f"{path}: samples of several prompts; prompt_hashes says which")
            if failed := sum(row.error is not None for row in rows):
                raise UserError(f"{path}: {failed} samples are failed requests, which have no answer to replay")
            found: dict[str, list[Generation]] = {}
            for row in sorted(rows, key=lambda row: row.sample_index):
                found.setdefault(row.problem_id, []).append(row)
            self._stored[benchmark] = found
        return self._stored[benchmark]

    def loglikelihood(self, requests: list[Instance], disable_tqdm: bool = False) -> NoReturn:
        """Not stored."""
        raise UserError("a stored run has texts and no likelihoods")

    def loglikelihood_rolling(self, requests: list[Instance], disable_tqdm: bool = False) -> NoReturn:
        """Not stored."""
        raise UserError("a stored run has texts and no likelihoods")

    def apply_chat_template(self, chat_history: list[dict[str, str]], add_generation_prompt: bool = True) -> str:
        """The prompt is not looked at."""
        return chat_history[-1]["content"]

    @property
    def tokenizer_name(self) -> str:
        """Of lm-eval's request cache."""
        return "replay"

    def chat_template(self, chat_template: Any = False) -> str:
        """None."""
        return ""
