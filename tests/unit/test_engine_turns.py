"""The end of a turn in chat templates of the kinds that models have."""

from __future__ import annotations

from typing import Any

import pytest
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast

from klear_repro.engines.turns import end_of_turn, require_end_of_turn, stop_ids
from klear_repro.errors import UserError

CHATML = (
    "{% for m in messages %}{{ '<|im_start|>' + m.role + '\n' + m.content + '<|im_end|>' + '\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
QWEN3 = (
    "{% for m in messages %}{% set c = m.content.split('</think>')[-1].lstrip('\n') if '</think>' in m.content else m.content %}"
    "{{ '<|im_start|>' + m.role + '\n' + ('<think>\n\n</think>\n\n' if m.role == 'assistant' and loop.last else '') + c + '<|im_end|>\n' }}"
    "{% endfor %}"
)
LLAMA3 = (
    "{{ bos_token }}{% for m in messages %}{{ '<|start_header_id|>' + m.role + '<|end_header_id|>\n\n' + m.content | trim + '<|eot_id|>' }}"
    "{% endfor %}"
)
GEMMA = (
    "{{ bos_token }}{% if messages[0].role == 'system' %}{{ raise_exception('System role not supported') }}{% endif %}"
    "{% for m in messages %}{% if (m.role == 'user') != (loop.index0 % 2 == 0) %}{{ raise_exception('roles must alternate') }}{% endif %}"
    "{{ '<start_of_turn>' + ('model' if m.role == 'assistant' else m.role) + '\n' + m.content | trim + '<end_of_turn>\n' }}{% endfor %}"
)
R1 = (
    "{{ bos_token }}{% for m in messages %}{% if m.role == 'user' %}{{ '<｜User｜>' + m.content }}{% else %}"
    "{{ '<｜Assistant｜>' + m.content.split('</think>')[-1] + '<｜end▁of▁sentence｜>' }}{% endif %}{% endfor %}"
)
LLAMA2 = (
    "{% for m in messages %}{% if m.role == 'user' %}{{ bos_token + '[INST] ' + m.content + ' [/INST]' }}"
    "{% else %}{{ ' ' + m.content + ' ' + eos_token }}{% endif %}{% endfor %}"
)
GLM = "[gMASK]{% for m in messages %}{{ '<|' + m.role + '|>' + '\n' + m.content }}{% endfor %}"
HARMONY = (
    "{% for m in messages %}{{ '<|start|>' + m.role + '<|message|>' + m.content }}"
    "{{ '<|return|>' if loop.last and m.role == 'assistant' else '<|end|>' }}{% endfor %}"
)
OPEN = "{% for m in messages %}{{ m.content + ('' if loop.last else '<|im_end|>') }}{% endfor %}"
VICUNA = "{% for m in messages %}{{ m.role | upper + ': ' + m.content + '\n' }}{% endfor %}"
ONE_TURN = (
    "{% if messages | length > 2 %}{{ raise_exception('one turn') }}{% endif %}"
    "{% for m in messages %}{{ m.content + '<|im_end|>' }}{% endfor %}"
)
SPECIAL = [
    "<s>", "</s>", "<|endoftext|>", "<|im_start|>", "<|im_end|>", "<|im_end|>x", "<|eot_id|>", "<|start_header_id|>", "<|end_header_id|>",
    "<start_of_turn>", "<end_of_turn>", "<｜User｜>", "<｜Assistant｜>", "<｜end▁of▁sentence｜>", "<|user|>", "<|assistant|>", "<|start|>",
    "<|message|>", "<|end|>", "<|return|>",
]  # fmt: skip


def tokenizer(template: str | None) -> Any:
    raw = Tokenizer(models.WordLevel({"[UNK]": 0, "four": 1}, unk_token="[UNK]"))
    raw.pre_tokenizer = pre_tokenizers.Whitespace()
    made = PreTrainedTokenizerFast(tokenizer_object=raw, bos_token="<s>", eos_token="<|endoftext|>", unk_token="[UNK]")
    made.add_special_tokens({"additional_special_tokens": SPECIAL})
    made.chat_template = template
    return made


@pytest.mark.parametrize(
    ("template", "end"),
    [
        (CHATML, "<|im_end|>"), (QWEN3, "<|im_end|>"), (LLAMA3, "<|eot_id|>"), (GEMMA, "<end_of_turn>"), (R1, "<｜end▁of▁sentence｜>"),
        (LLAMA2, "<|endoftext|>"), (GLM, "<|user|>"), (HARMONY, "<|return|>"), (OPEN, "<|im_end|>"), (ONE_TURN, "<|im_end|>"),
        (VICUNA, None), (None, None), ("{{ raise_exception('never') }}", None), ("{{ messages[0].content }}", None),
    ],
)  # fmt: skip
def test_the_end_of_a_turn_is_what_the_template_puts_behind_it(template: str | None, end: str | None) -> None:
    made = tokenizer(template)
    assert end_of_turn(made) == (made.convert_tokens_to_ids(end) if end else None)


def test_a_sample_stops_at_the_models_ends_the_tokenizers_and_the_turns() -> None:
    made = tokenizer(CHATML)
    base, turn, other = (made.convert_tokens_to_ids(name) for name in ("<|endoftext|>", "<|im_end|>", "<|eot_id|>"))
    for of_model, expected in ((None, {base, turn}), (other, {base, turn, other}), ([base, other], {base, turn, other})):
        assert stop_ids(made, of_model) == expected
    assert stop_ids(made, None, "<|eot_id|>") == {base, other}


def test_a_template_that_shows_no_end_is_refused_in_one_line_unless_the_token_is_named() -> None:
    made = tokenizer(VICUNA)
    with pytest.raises(UserError, match=r"model vicuna: its chat template puts no special token .* --eval.end_of_turn") as error:
        require_end_of_turn(made, "vicuna", "")
    assert "\n" not in str(error.value)
    require_end_of_turn(made, "vicuna", "</s>")
    require_end_of_turn(tokenizer(CHATML), "qwen", "")
    with pytest.raises(UserError, match=r"eval.end_of_turn='</z>': no single token of this model; its special tokens are"):
        require_end_of_turn(made, "vicuna", "</z>")
