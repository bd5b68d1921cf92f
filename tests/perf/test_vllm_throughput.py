"""The vllm engine against the loop of the released inference script, on the same engine and model: `tox -e vllm -- -m perf`."""

from __future__ import annotations

import statistics
from importlib.util import find_spec

import pytest

from .queueing import SLOTS, compare, geometric_model, sentence

_SPEC = find_spec("vllm")
pytestmark = [
    pytest.mark.perf,
    pytest.mark.skipif(_SPEC is None or _SPEC.origin is None, reason="vLLM is not installed: tox -e vllm -- -m perf"),
]


def test_queueing_everything_beats_the_loop_of_the_released_script_in_vllm(report, tmp_path):
    from klear_repro.device import choose_device
    from klear_repro.engines.vllm import VLLMEngine
    from klear_repro.models import find_model

    engine = VLLMEngine(find_model(str(geometric_model(tmp_path))), device=choose_device("cpu", "float32", 0), slots=SLOTS)
    ratios, mean = compare(engine)
    engine.close()
    report("engine-queueing-vllm", statistics.median(ratios), "x tokens a second", 1.3, sentence(ratios, mean))
