"""Protocol files, overrides, hashes and differences."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from benchmarks import BenchmarkError
from benchmarks.protocols import Prompt, load_protocol, protocol_diff, protocol_names

NAMES = [
    "klear-issue2-64k",
    "klear-paper-32k",
    "klear-release-64k",
    "short-answer",
    "smoke-code",
    "smoke-math",
]


def test_every_protocol_file_loads_under_its_own_name() -> None:
    assert set(NAMES) <= set(protocol_names())
    for name in protocol_names():
        assert load_protocol(name).name == name


def test_the_release_protocol_is_the_released_script() -> None:
    release = load_protocol("klear-release-64k")
    sampling = release.sampling
    assert (sampling.temperature, sampling.top_p, sampling.top_k, sampling.repetition_penalty) == (
        0.6,
        0.95,
        20,
        1.05,
    )
    assert (release.max_new_tokens, release.max_model_len, release.samples) == (65_536, 81_920, 64)
    assert release.rope is not None and release.rope.factor == 2.5
    assert release.rope.original_max_position_embeddings == 32_768
    assert release.prompt.messages("P") == [{"role": "user", "content": "P"}]
    assert release.judges[0] == "klear" and release.thinking == "required"


def test_the_difference_names_what_the_paper_omits() -> None:
    a, b = load_protocol("klear-release-64k"), load_protocol("klear-issue2-64k")
    assert protocol_diff(a, b) == {
        "sampling.top_k": (20, 0),
        "sampling.repetition_penalty": (1.05, 1.0),
        "max_new_tokens": (65_536, 64_000),
    }
    assert protocol_diff(a, a) == {}
    assert protocol_diff(a, load_protocol("klear-paper-32k"))["rope.factor"] == (2.5, None)


def test_an_unknown_protocol_lists_the_allowed_names() -> None:
    with pytest.raises(
        BenchmarkError, match=r"unknown protocol 'fast'; allowed: .*klear-release-64k.*smoke-math"
    ):
        load_protocol("fast")


def test_overrides_change_the_name_and_are_checked() -> None:
    smoke = load_protocol("smoke-math")
    changed = smoke.resolve({"samples": 4, "sampling.top_k": 20})
    assert (changed.samples, changed.sampling.top_k, changed.name) == (4, 20, "smoke-math+changed")
    assert smoke.resolve({}) is smoke
    assert smoke.resolve({"samples": 16}) == smoke
    assert load_protocol("klear-release-64k").resolve({"rope": None, "max_model_len": None}).rope is None
    refused: list[tuple[dict[str, Any], str]] = [
        ({"samples": -1}, "samples: Input should be greater than 0"),
        ({"sampling.topk": 1}, "no field 'sampling.topk'"),
        ({"rope.factor": 2}, "no field 'rope.factor'"),
        ({"max_model_len": 100}, "leaves no room for a prompt"),
        ({"judges": ()}, "must name one or two different judges"),
    ]
    for overrides, message in refused:
        with pytest.raises(BenchmarkError, match=message) as error:
            smoke.resolve(overrides)
        assert "\n" not in str(error.value)


def test_the_sampling_hash_covers_what_changes_text_and_nothing_else() -> None:
    smoke = load_protocol("smoke-math")
    assert smoke.sampling_hash(0) == smoke.resolve({"samples": 3, "thinking": "auto"}).sampling_hash(0)
    changes: list[dict[str, Any]] = [
        {"sampling.top_k": 1},
        {"max_new_tokens": 161},
        {"max_model_len": 500},
        {"sampling.min_p": 0.1},
    ]
    hashes = {smoke.resolve(change).sampling_hash(0) for change in changes}
    assert len(hashes | {smoke.sampling_hash(0), smoke.sampling_hash(1)}) == 6


def test_protocols_are_frozen_and_a_file_of_ones_own_is_read(tmp_path: Path) -> None:
    with pytest.raises(ValidationError):
        load_protocol("smoke-math").samples = 2  # type: ignore[misc]
    file = tmp_path / "own.toml"
    file.write_text('name = "own"\ndescription = ""\nmax_new_tokens = 5\nsamples = 1\n')
    assert load_protocol(file).sampling.temperature == 1.0
    for text, message in [
        ("name = ", "not TOML"),
        ('name = "own"', "description: Field required"),
        (file.read_text() + "sample = 2\n", "sample: Extra inputs"),
        (file.read_text() + '[prompt]\nuser = "x"\n', "must contain {statement}"),
    ]:
        file.write_text(text)
        with pytest.raises(BenchmarkError, match=message):
            load_protocol(file)
        file.write_text('name = "own"\ndescription = ""\nmax_new_tokens = 5\nsamples = 1\n')


@given(st.text(), st.text())
def test_a_statement_enters_the_prompt_unchanged(statement: str, code: str) -> None:
    prompt = Prompt(system="S", user="A {statement} B {starter_code} C")
    system, user = prompt.messages(statement, code)
    assert system == {"role": "system", "content": "S"}
    assert user["content"] == f"A {statement} B {code or '# YOUR CODE HERE'} C"
