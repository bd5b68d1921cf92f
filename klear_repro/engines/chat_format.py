"""What a tokenizer's chat template does, found out by rendering, and conversations as token ids and back.

The special tokens of an encoded conversation are those that the template writes.  Text that only looks like one, such as
`<|im_end|>` in a question about chat templates, stays text: the tokens that the tokenizer has for it with `split_special_tokens`.
The thinking tags are the exception.  They are tags wherever they stand, and stay in decoded texts where they are special tokens.
"""

from __future__ import annotations

import copy
import re
from collections.abc import Mapping, Sequence
from itertools import count
from typing import Any

from jinja2 import TemplateError

from klear_repro.engines.turns import added_tokens, end_of_turn
from klear_repro.errors import UserError

OPEN, CLOSE = "<think>", "</think>"
REASONING = ("reasoning_content", "reasoning", "thinking")
"""Fields beside `content` that hold a message's thinking, in data, chat templates and the replies of servers."""
_ALIASES = 0xF0000
"""First code point of a plane for private use: names of special tokens that no text has."""
_TAIL_TOKENS = 32
"""Tokens at the end of a prompt that are looked at for thinking tags."""


class ChatFormat:
    """A tokenizer with its chat template.

    Args:
        tokenizer: in the interface of transformers; its template and its tokens are read once.
    """

    def __init__(self, tokenizer: Any) -> None:
        self.tokenizer = tokenizer
        end = end_of_turn(tokenizer)
        self.end = tokenizer.eos_token_id if end is None else end
        """The token that ends the assistant's turn: the template's, else the tokenizer's `eos_token`; None if there is neither."""
        special = added_tokens(tokenizer, special=True)
        self.special_tags = tuple(tag for tag in (OPEN, CLOSE) if tag in special)
        """Thinking tags that are special tokens."""
        self._as_it_is = not self.special_tags and end in (None, *special.values())
        """Whether the tokenizer's own way to leave special tokens out of a text is the right one."""
        if end is not None:  # it need not be special
            special[tokenizer.convert_ids_to_tokens(end)] = end
        self._tags = {tag: special.pop(tag) for tag in self.special_tags}
        self._control = {text: index for text, index in special.items() if text}
        self._pattern = _any_of(self._control)
        self._coder: Any = None

    @property
    def end_text(self) -> str:
        """The token `end` as it is written."""
        return "" if self.end is None else str(self.tokenizer.convert_ids_to_tokens(self.end))

    def prompt_ids(self, messages: Sequence[Mapping[str, Any]], **template: Any) -> tuple[int, ...]:
        """Token ids of a conversation, ready for the answer; `template`: variables of the template.

        Raises:
            UserError: the template refuses it, such as a role that it does not know.
        """
        hidden = self.hide(messages)
        return self.encode(self.render(hidden.messages(messages), **template), hidden)

    def render(self, messages: Sequence[Mapping[str, Any]], *, generation: bool = True, **template: Any) -> str:
        """The text that the template makes of a conversation.

        Raises:
            UserError: it refuses.
        """
        try:
            return str(self.tokenizer.apply_chat_template(list(messages), add_generation_prompt=generation, tokenize=False, **template))
        except TemplateError as error:
            roles = ", ".join(message["role"] for message in messages)
            raise UserError(f"the model's chat template refuses a conversation with the roles {roles}: {error}") from None

    def hide(self, messages: Sequence[Mapping[str, Any]], *more: str) -> Hidden:
        """What stands for the special tokens in the texts of a conversation, and in more, while the template is rendered."""
        return Hidden(self._pattern, [*more, *(text for message in messages for text in message.values() if isinstance(text, str))])

    def encode(self, rendered: str, hidden: Hidden) -> tuple[int, ...]:
        """Token ids of a rendered text, in which the tokens that are text are hidden."""
        if not hidden.texts:
            return tuple(self.tokenizer.encode(rendered, add_special_tokens=False))
        every = self._control | self._tags
        first = next(start for start in count(_ALIASES, len(every)) if not any(start <= ord(char) < start + len(every) for char in rendered))
        aliases = {text: chr(first + number) for number, text in enumerate(every)}
        written = hidden.shown(_any_of(every).sub(lambda found: aliases[found.group()], rendered))
        coder = self._coder_with(aliases)
        names = {coder.convert_tokens_to_ids(alias): every[text] for text, alias in aliases.items()}
        return tuple(names.get(index, index) for index in coder.encode(written, add_special_tokens=False, split_special_tokens=True))

    def _coder_with(self, aliases: Mapping[str, str]) -> Any:
        """The tokenizer with further names for its special tokens, which `split_special_tokens` leaves whole."""
        from tokenizers import AddedToken

        if self._coder is None or set(aliases.values()) - set(self._coder.get_vocab()):
            self._coder = copy.deepcopy(self.tokenizer)
            known = {str(token): token for token in self.tokenizer.added_tokens_decoder.values()}
            self._coder.add_tokens([AddedToken(text, special=True, normalized=False) for text in self._control], special_tokens=True)
            strips = {text: {"lstrip": known[text].lstrip, "rstrip": known[text].rstrip} if text in known else {} for text in aliases}
            self._coder.add_tokens([AddedToken(alias, special=False, normalized=False, **strips[text]) for text, alias in aliases.items()])
        return self._coder

    def decode(self, ids: Sequence[int]) -> str:
        """The text of generated tokens: without special tokens and the end of turn, but with the thinking tags."""
        if self._as_it_is:
            return str(self.tokenizer.decode(list(ids), skip_special_tokens=True))
        left_out = set(self._control.values())
        return str(self.tokenizer.decode([index for index in ids if index not in left_out]))

    def without_ends(self, text: str) -> str:
        """A server's text without the special tokens at its end."""
        while found := next((token for token in self._control if text.endswith(token)), ""):
            text = text.removesuffix(found)
        return text

    def thinking_before(self, prompt: Sequence[int]) -> str:
        """The tags that a prompt ends with: what it has of the response's thinking (`thinking_at_end`)."""
        return thinking_at_end(str(self.tokenizer.decode(list(prompt[-_TAIL_TOKENS:]))))


class Hidden:
    """Marks that stand in texts for the special tokens that they have in letters, so that a template is rendered without them.

    Args:
        pattern: finds the special tokens.
        texts: all texts of a conversation.
    """

    def __init__(self, pattern: re.Pattern[str], texts: Sequence[str]) -> None:
        self.texts: dict[str, str] = {}
        """Mark → the token in letters."""
        self._pattern = pattern
        found = sorted({one for text in texts for one in pattern.findall(text)}, key=len, reverse=True)
        if found:
            name = next(name for name in (f"Qz{number}q" for number in count()) if not any(name in text for text in texts))
            self.texts = {f"{name}{number}z": one for number, one in enumerate(found)}

    def hidden(self, text: str) -> str:
        """A text with marks."""
        marks = {one: mark for mark, one in self.texts.items()}
        return self._pattern.sub(lambda found: marks[found.group()], text) if marks else text

    def shown(self, text: str) -> str:
        """A text with what the marks stand for."""
        for mark, one in self.texts.items():
            text = text.replace(mark, one)
        return text

    def messages(self, messages: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
        """A conversation with marks."""
        return [
            {name: self.hidden(text) if isinstance(text, str) and name != "role" else text for name, text in message.items()}
            for message in messages
        ]


def thinking_at_end(prompt: str) -> str:
    """`<think>` for a prompt that opens the thinking, `<think></think>` for one that closes it too, else nothing."""
    end = prompt.rstrip()
    return OPEN + CLOSE if end.endswith(CLOSE) else OPEN if end.endswith(OPEN) else ""


def joined(reasoning: str, content: str, before: str = "") -> str:
    """A response from a thinking and a content that were kept apart.

    Args:
        content: empty where the response ended before it: the thinking stays open then.
        before: the tags of the prompt (`thinking_at_end`), which are not repeated.
    """
    opened = "" if before == OPEN else f"{OPEN}\n"
    return f"{opened}{reasoning.strip()}\n{CLOSE}\n\n{content}" if content else f"{opened}{reasoning}"


def _any_of(texts: Mapping[str, object]) -> re.Pattern[str]:
    """Matches each of the texts, the longest where several begin; nothing if there are none."""
    return re.compile("|".join(map(re.escape, sorted(texts, key=len, reverse=True))) or r"(?!)")
