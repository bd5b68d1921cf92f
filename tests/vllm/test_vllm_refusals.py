"""What the vllm engine says where it cannot run; needs no vLLM."""

from __future__ import annotations

from importlib.machinery import ModuleSpec
from pathlib import Path

import pytest

from klear_repro.device import choose_device
from klear_repro.engines import vllm as engine
from klear_repro.errors import UserError
from klear_repro.models import ModelSource


@pytest.mark.parametrize("spec", [None, ModuleSpec("vllm", None)], ids=["nothing", "a folder of that name"])
def test_without_the_package_one_line_says_what_to_install(spec: ModuleSpec | None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine, "find_spec", lambda name: spec)
    with pytest.raises(UserError) as refused:
        engine.VLLMEngine(ModelSource("m", Path("m"), "", ""), device=choose_device("cpu", "auto", 0))
    message = str(refused.value)
    assert "\n" not in message
    for part in ("'.[cuda]'", "'.[vllm-cpu]'", "--engine hf"):
        assert part in message


def test_gguf_weights_are_refused() -> None:
    with pytest.raises(UserError, match="Hub format, not GGUF; use --engine hf"):
        engine.VLLMEngine(ModelSource("m", Path("m"), "m.gguf", ""), device=choose_device("cpu", "auto", 0))
