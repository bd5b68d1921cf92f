"""Decoding of private tests, hostile payloads, and extraction of programs."""

from __future__ import annotations

import base64
import contextlib
import json
import os
import pickle
import re
import time
import zlib
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks import BenchmarkError
from benchmarks.livecodebench import PrivateTestsError, code_tests, decode_private_tests, extract_code

TESTS = st.lists(
    st.fixed_dictionaries(
        {"input": st.text(), "output": st.text(), "testtype": st.sampled_from(["stdin", "functional"])}
    )
)


def packed(value: object, protocol: int | None = None) -> str:
    return base64.b64encode(zlib.compress(pickle.dumps(value, protocol))).decode()


@given(TESTS, st.sampled_from([2, 3, 4, 5]))
def test_official_payloads_and_plain_json_decode_to_the_same_tests(
    tests: list[dict[str, str]], protocol: int
) -> None:
    assert decode_private_tests(json.dumps(tests)) == tests
    assert decode_private_tests(packed(json.dumps(tests), protocol)) == tests


def test_the_dictionary_form_of_the_shared_sample_decodes(data: Path) -> None:
    rows = [json.loads(line) for line in (data / "lcb_v1_sample.jsonl").open(encoding="utf-8")]
    decoded = [decode_private_tests(row["test"]) for row in rows]
    assert [len(tests) for tests in decoded] == [5, 14, 15]
    assert decoded[1][0]["testtype"] == "functional" and decoded[1][0]["fn_name"] == "countSeniors"
    converted = code_tests(decoded[1])
    assert converted[0].function == "countSeniors"
    assert converted[0].args == (["7868190130M7522", "5303914400F9211", "9273338290F4010"],)
    assert converted[0].expected == 2
    assert code_tests(decoded[0])[0].input == decoded[0][0]["input"]


class Malicious:
    def __reduce__(self) -> Any:
        return (os.system, ("touch should-not-exist",))


REFUSED = {
    "code": packed(Malicious()),
    "list": packed(["a"]),
    "number": packed(5),
    "huge memo": base64.b64encode(zlib.compress(b"\x80\x04X\x02\x00\x00\x00[]r\xff\xff\xff\xff.")).decode(),
    "cut pickle": base64.b64encode(zlib.compress(pickle.dumps("[]")[:-1])).decode(),
    "cut zlib": base64.b64encode(zlib.compress(os.urandom(500))[:100]).decode(),
    "not zlib": base64.b64encode(b"hello world").decode(),
    "not base64": "???",
    "empty": "",
    "no list": packed('"text"'),
    "no text": packed('[{"input": 1, "output": "2"}]'),
    "deep": packed("[" * 100_000),
    "unequal columns": packed({"input_output": json.dumps({"inputs": ["1"], "outputs": []})}),
    "large": packed("[" + " " * 5_000_000 + "]"),
}


@pytest.mark.parametrize("payload", REFUSED.values(), ids=REFUSED.keys())
def test_bad_payloads_are_refused_and_run_nothing(
    payload: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(PrivateTestsError) as error:
        decode_private_tests(payload, max_bytes=1_000_000)
    assert isinstance(error.value, BenchmarkError) and "\n" not in str(error.value)
    assert list(tmp_path.iterdir()) == []


@given(st.binary(max_size=300))
def test_any_pickle_bytes_give_tests_or_the_error(content: bytes) -> None:
    with contextlib.suppress(PrivateTestsError):
        assert isinstance(decode_private_tests(base64.b64encode(zlib.compress(content)).decode()), list)


def test_all_recorded_extractions_are_reproduced(data: Path) -> None:
    rows = json.loads((data / "lcb_o1_mini_eval_all.json").read_text(encoding="utf-8"))
    pairs = [
        (output, code)
        for row in rows
        for output, code in zip(row["output_list"], row["code_list"], strict=True)
    ]
    assert len(pairs) == 880
    assert sum(extract_code(output) == code for output, code in pairs) == 880


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("```python\na\n```", "a"),
        ("```\na\n```\ntext\n```python\nb\n```", "b"),
        ("```python\na", ""),
        ("", ""),
        ("```a```", ""),
        ("```python\na\n```\nuse ``` often", "use ``` often"[:0]),
    ],
)
def test_lcb_takes_the_lines_between_the_last_two_fences(text: str, code: str) -> None:
    assert extract_code(text, "lcb") == code


FRAGMENTS = st.lists(
    st.sampled_from(
        ["</think>", "<think>", "```python\n", "```python", "\n```", "```", "\n", "a", "```py\n", "x = 1"]
    ),
    max_size=14,
).map("".join)


@given(FRAGMENTS)
def test_klear_finds_what_the_released_pattern_finds(text: str) -> None:
    found = re.search(r"</think>.*```python\n(.*?)\n```", text, re.DOTALL)
    assert extract_code(text, "klear") == (found.group(1) if found else "")


def test_klear_extraction_is_fast_on_megabytes() -> None:
    text = "</think>" + "```python\n" * 200_000
    started = time.monotonic()
    assert extract_code(text, "klear") == "```python"
    assert time.monotonic() - started < 1.0


def test_an_unknown_style_is_refused() -> None:
    with pytest.raises(BenchmarkError, match="allowed: lcb, klear"):
        extract_code("", "last")  # type: ignore[arg-type]
