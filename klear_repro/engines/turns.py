"""The token that ends the assistant's turn, as the chat template writes it: a base model's own end-of-text token is another one.

Found by rendering a short conversation: it is the token that stands behind the assistant's text, special or at least added to the
vocabulary.  What the template puts behind the last turn counts before what it puts between turns: gpt-oss ends its thinking with the latter.
"""

from __future__ import annotations

from typing import Any

from jinja2 import TemplateError

from klear_repro.errors import UserError

_ANSWER = "Fortytwo"
_SYSTEM = {"role": "system", "content": "You are an assistant."}
_TURNS = (
    {"role": "user", "content": "Six times seven?"},
    {"role": "assistant", "content": _ANSWER},
    {"role": "user", "content": "Thanks."},
)


def end_of_turn(tokenizer: Any) -> int | None:
    """Id of that token; None where there is no template, or it puts no token of the kind there."""
    if not getattr(tokenizer, "chat_template", None):
        return None
    for turns in (_TURNS[:2], _TURNS, (_SYSTEM, *_TURNS[:2]), (_SYSTEM, *_TURNS)):
        try:
            text = tokenizer.apply_chat_template(list(turns), tokenize=False)
        except (TemplateError, TypeError, ValueError, KeyError):  # a template that wants other roles, or another form of content
            continue
        _, found, behind = str(text).rpartition(_ANSWER)
        token = _token_at_start(tokenizer, behind.lstrip()) if found else None
        if token is not None:
            return token
    return None


def _token_at_start(tokenizer: Any, text: str) -> int | None:
    known = added_tokens(tokenizer)
    matching = [token for token in known if token and text.startswith(token)]
    return known[max(matching, key=len)] if matching else None


def added_tokens(tokenizer: Any, *, special: bool = False) -> dict[str, int]:
    """Text → id of the tokens that are found in a text before it is cut into others; `special`: those that decoding leaves out."""
    added = {str(token): index for index, token in tokenizer.added_tokens_decoder.items() if token.special or not special}
    return added | {str(token): tokenizer.convert_tokens_to_ids(token) for token in tokenizer.all_special_tokens}


def stop_ids(tokenizer: Any, of_model: Any, named: str = "") -> set[int]:
    """Tokens that end a sample: the model's own (an id, a list or None), the tokenizer's, and the end of turn.

    Args:
        named: the end of turn by name, instead of what the template shows.

    Raises:
        UserError: the tokenizer has no such token.
    """
    turn = end_of_turn(tokenizer) if not named else named_token(tokenizer, named)
    return {*(of_model if isinstance(of_model, (list, tuple)) else [of_model]), tokenizer.eos_token_id, turn} - {None}


def named_token(tokenizer: Any, name: str) -> int:
    """The id of a token.

    Raises:
        UserError: the tokenizer has no such token.
    """
    found = tokenizer.get_vocab().get(name)
    if found is None:
        raise UserError(f"eval.end_of_turn={name!r}: no single token of this model; its special tokens are {', '.join(tokenizer.all_special_tokens[:8])}")
    return int(found)


def require_end_of_turn(tokenizer: Any, name: str, given: str) -> None:
    """Refuse a model under a protocol with chat template where nothing says how its turn ends.

    Raises:
        UserError: so it is.
    """
    if given:
        named_token(tokenizer, given)
    elif end_of_turn(tokenizer) is None:
        raise UserError(
            f"model {name}: its chat template puts no special token behind the assistant's turn, so nothing would end an answer; "
            "name the token with --eval.end_of_turn, or take a prompt without template (--eval.prompt lm-eval)"
        )
