"""Protocol files, overrides, hashes and differences."""

from __future__ import annotations

import hashlib
import re
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from benchmarks import BenchmarkError
from benchmarks.protocols import Prompt, Protocol, load_protocol, protocol_diff, protocol_names

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
    fewer = smoke.resolve({"samples": 2})
    assert (fewer.name, fewer.samples, fewer.sampling_hash(0)) == ("smoke-math", 2, smoke.sampling_hash(0))
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


QUESTION = "Given {n} stones, print {statement}.\n\nInput: `n`"
STARTER = "class Solution:\n    def count(self, n: int) -> int:\n        "
OFFICIAL = {
    ("lcb-generic", ""): "e4be43e490cee5ea",
    ("lcb-generic", STARTER): "b6748b3e6b400f27",
    ("lcb-qwen", ""): "e1a4748e7e7492a4",
    ("lcb-qwen", STARTER): "fb217d8a9a9f39b5",
    ("lcb-r1", ""): "b4163ac105b1d1d5",
    ("lcb-r1", STARTER): "d18281a25058d1f6",
}
"""SHA-256 (16 digits) of system message, newline and user turn as LiveCodeBench at 28fef95 makes them, special tokens removed."""


@pytest.mark.parametrize(("name", "starter"), list(OFFICIAL))
def test_the_prompts_of_livecodebench_are_the_official_ones_letter_for_letter(name: str, starter: str) -> None:
    prompt = Prompt.model_validate(name)
    text = f"{prompt.system}\n{prompt.user_message(QUESTION, starter)}"
    assert hashlib.sha256(text.encode()).hexdigest()[:16] == OFFICIAL[name, starter]


def test_the_generic_prompt_is_that_of_the_published_package() -> None:
    spec = find_spec("livecodebench")
    if spec is None or spec.origin is None:
        pytest.skip("the package nvidia-livecodebench is not installed")
    source = (Path(spec.origin).parent / "prompts" / "code_generation.py").read_text()
    system = re.search(r'SYSTEM_MESSAGE_GENERIC = f?"(.*)"', source)
    texts = re.findall(r'FORMATTING_\w+ = f?"(.*)"', source)
    prompt = Prompt.model_validate("lcb-generic")
    assert system and prompt.system == system[1]
    assert len(texts) >= 2 and prompt.with_starter.startswith(texts[0]) and prompt.without_starter.startswith(texts[1])


def test_on_programs_a_protocol_takes_its_part_for_programs() -> None:
    release = load_protocol("klear-release-64k")
    code, maths = release.for_benchmark("lcb_v5", "code"), release.for_benchmark("aime24", "math")
    assert (code.samples, code.prompt.name, code.code) == (8, "lcb-plain", None)
    assert (maths.samples, maths.prompt.name, maths.code) == (64, "bare", None)
    assert release.for_benchmark("humaneval", "code").prompt.name == "humaneval"
    assert code.sampling == release.sampling and code.sampling_hash(0) == release.sampling_hash(0)


def test_a_prompt_that_does_not_exist_is_named_with_those_that_do(tmp_path: Path) -> None:
    file = tmp_path / "p.toml"
    file.write_text('name = "p"\ndescription = ""\nmax_new_tokens = 1\nsamples = 1\nprompt = "nothing"\n')
    with pytest.raises(BenchmarkError, match="no prompt 'nothing'; allowed: bare, boxed"):
        load_protocol(file)


HASHES = {
    "deepseek-r1": "72986d8eaabc3198", "klear-issue2-64k": "4544675579472037", "klear-paper-32k": "72986d8eaabc3198",
    "klear-release-64k": "b8a4ded3a1e5e867", "lighteval": "72986d8eaabc3198",
    "lm-eval": "5305585e95e120e4",
    "qwen3": "dbde1fe08018cbf2",
    "short-answer": "db5596d01961b4d3",
    "smoke-code": "978976f75ae4d766", "smoke-math": "978976f75ae4d766", "smoke-words": "978976f75ae4d766",
}  # fmt: skip
"""With seed 0, as in run folders of before protocols had `context`."""


@pytest.mark.parametrize("name", list(HASHES))
def test_the_hash_of_a_protocol_is_the_one_that_samples_have_in_run_folders(name: str) -> None:
    assert load_protocol(name).sampling_hash(0) == HASHES[name]


def test_every_protocol_file_says_what_it_wants_of_context_extension() -> None:
    for file in (Path(__file__).resolve().parents[2] / "benchmarks" / "protocols").glob("*.toml"):
        assert "\ncontext = " in file.read_text(), file.name
    wanted = {"klear-paper-32k": "off", "qwen3": "off", "klear-release-64k": "yarn", "klear-issue2-64k": "yarn", "deepseek-r1": "model"}
    assert {name: load_protocol(name).context for name in wanted} == wanted


def test_a_protocol_of_before_there_was_context_still_loads() -> None:
    for name, expected in (("klear-release-64k", "yarn"), ("klear-paper-32k", "model")):
        values = load_protocol(name).model_dump(mode="json")
        del values["context"]
        assert Protocol.model_validate(values).context == expected


def test_context_and_rope_go_together() -> None:
    paper, release = load_protocol("klear-paper-32k"), load_protocol("klear-release-64k")
    assert release.resolve({"context": "off"}).rope is None
    assert release.resolve({"rope": None}).context == "model"
    rope = {"factor": 2.0, "original_max_position_embeddings": 32768}
    assert paper.resolve({"rope": rope}).context == "yarn"
    assert paper.resolve({"context": "yarn", "rope": rope}).context == "yarn"
    refused: list[tuple[dict[str, Any], str]] = [
        ({"context": "yarn"}, "needs .rope."), ({"context": "off", "rope": rope}, "not possible with .rope."),
        ({"context": "ntk"}, "context"),
    ]  # fmt: skip
    for overrides, message in refused:
        with pytest.raises(BenchmarkError, match=message):
            paper.resolve(overrides)
    assert protocol_diff(paper, release)["context"] == ("off", "yarn")
