"""The `openai` engine: any server with OpenAI's completions call, or several of the same model (vLLM, SGLang, a proxy).

Prompts go out as token ids, made here with the model's own chat template, so that samples have the same keys as those
of the other engines. A bounded number of requests is under way, each at the endpoint with the fewest; what fails for a
reason that may pass (connection, time-out, 408, 425, 429, 5xx, an answer that is none) is repeated there or elsewhere
after a pause that doubles, or that the server names. A sample is given out the moment it is finished, so what fails in
the end loses nothing.
"""

from __future__ import annotations

import asyncio
import os
import queue
import random
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from klear_repro.engines.base import IDLE_S, REPORT_S, Completion, Intake, Request, Sampling, TokenMeter, versions
from klear_repro.engines.chat_format import CLOSE, REASONING, ChatFormat, joined
from klear_repro.engines.turns import stop_ids
from klear_repro.errors import RunError, UserError
from klear_repro.models import ModelSource, load_tokenizer

KEY_VARIABLE = "OPENAI_API_KEY"
ATTEMPTS = 10
DEFAULT_SLOTS = 128
LONGEST_PAUSE_S = 60.0
PASSING = frozenset((408, 425, 429, 500, 502, 503, 504, 529))
FILLS_IN = ("vllm", "sglang")
"""`owned_by` of servers that take top_k, min_p and repetition_penalty from the model's files where a request has none."""
_CONNECT_S = 30.0


class _Passing(Exception):
    """A failure that may not happen again; `pause` is what the server asked for, seconds."""

    def __init__(self, reason: str, pause: float = 0.0) -> None:
        super().__init__(reason)
        self.pause = pause


@dataclass
class _Endpoint:
    url: str
    under_way: int = 0
    failures: int = 0
    """In a row."""


class OpenAIEngine:
    """Generates through HTTP servers that all serve the same model.

    Args:
        source: where the tokenizer is; the weights are the servers'.
        endpoints: base addresses, such as `http://127.0.0.1:8000/v1`.
        model: the name that the servers know the model by; empty: the only one that they serve.
        slots: requests under way at a time, over all endpoints; 0: `DEFAULT_SLOTS`.
        request_s: seconds that one request may take.
        pause_s: the first pause before a request is repeated; it doubles.
        section: of the configuration, for messages about its fields.
        end_of_turn: the token that ends a turn, by name; empty: what the chat template shows.
        vouched: the user says that the servers run the evaluated weights, unquantised and with the protocol's context extension.

    Raises:
        UserError: an address that is none, no answer from any endpoint, or a model that is not served.
    """

    name = "openai"

    def __init__(
        self, source: ModelSource, *, endpoints: Sequence[str], model: str = "", slots: int = 0,
        request_s: float = 7200.0, pause_s: float = 0.5, section: str = "eval", end_of_turn: str = "",
        vouched: bool = False,
    ) -> None:  # fmt: skip
        self._section = section
        self.tokenizer = load_tokenizer(source)
        self._chat = ChatFormat(self.tokenizer)
        self.endpoints = [_Endpoint(_address(endpoint, section)) for endpoint in endpoints]
        if not self.endpoints:
            raise UserError(f"{section}.endpoints: needed by the engine {self.name}; addresses such as http://127.0.0.1:8000/v1, comma-separated")
        self.slots = slots or DEFAULT_SLOTS
        self.stop_ids = stop_ids(self.tokenizer, None, end_of_turn)
        self.request_s = request_s
        self.pause_s = pause_s
        self.vouched = vouched
        self.served: set[str] = set()
        """What the servers call the model: the name, and the folder or Hub id that it was loaded from."""
        self.retries = 0
        key = os.environ.get(KEY_VARIABLE)
        self._headers = {"Authorization": f"Bearer {key}"} if key else {}
        self.defaults_of_model = False
        """Whether a server is one that fills fields that are not sent from the model's generation_config.json."""
        self.model, self.max_model_len = asyncio.run(self._ask_models(model))

    def encode_chat(self, messages: Sequence[dict[str, str]], **template: object) -> tuple[int, ...]:
        """Token ids of a conversation after the chat template, ready for the answer."""
        return self._chat.prompt_ids(messages, **template)

    def settings(self, sampling: Sampling) -> dict[str, Any]:
        """What the samples are made with (`Engine.settings`), as far as the servers say."""
        body = self._body(Request(None, (), 0), sampling)
        sent = {name: value for name, value in body.items() if name not in ("prompt", "seed")}
        return {
            "name": self.name, "endpoints": len(self.endpoints), "max_model_len": self.max_model_len or None, "sent": sent,
            "served": sorted(self.served), "vouched": self.vouched,
            "versions": versions("transformers", "tokenizers"),
        }  # fmt: skip

    async def _ask_models(self, wanted: str) -> tuple[str, int]:
        """The model's name at the servers, and its length there in tokens (0: they do not say)."""
        import aiohttp

        names: set[str] = set()
        lengths = []
        async with aiohttp.ClientSession(headers=self._headers, timeout=aiohttp.ClientTimeout(total=_CONNECT_S)) as session:
            for endpoint in self.endpoints:
                try:
                    async with session.get(f"{endpoint.url}/models") as answer:
                        body = await answer.json(content_type=None)
                        if answer.status != 200:
                            raise UserError(f"{self._section}.endpoints: {endpoint.url} answers {answer.status} to /models: {_short(body)}")
                        rows = {str(row["id"]): row for row in body["data"]}
                        known = {name: int(row.get("max_model_len") or 0) for name, row in rows.items()}
                except (aiohttp.ClientError, TimeoutError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
                    if isinstance(error, UserError):
                        raise
                    raise UserError(f"{self._section}.endpoints: {endpoint.url} gives no list of models ({type(error).__name__}: {_short(error)})") from None
                if wanted and wanted not in rows:
                    raise UserError(f"{self._section}.served_name={wanted!r}: {endpoint.url} serves {', '.join(sorted(rows)[:5])}")
                names.update([wanted] if wanted else rows)
                self.served.update(str(row[field])[:200] for name, row in rows.items() if name in names for field in ("id", "root") if row.get(field))
                self.defaults_of_model |= any(row.get("owned_by") in FILLS_IN for row in rows.values())
                lengths += [length for name, length in known.items() if name in names]
        if len(names) != 1:
            raise UserError(f"{self._section}.served_name: needed, for the endpoints serve {', '.join(sorted(names)[:5])}")
        return names.pop(), min(lengths, default=0)

    def generate(
        self, requests: Iterable[Request | None], sampling: Sampling, on_tokens: Callable[[int], None] | None = None
    ) -> Iterator[Completion]:
        """`Engine.generate`; a caller that stops early ends the others, and tokens are reported when a sample is done.

        Raises:
            UserError: a prompt that leaves no room for the budget, or a request that the servers refuse.
            RunError: a request that failed ATTEMPTS times.
        """
        intake = Intake(requests, sampling, self.max_model_len, "the endpoints'")
        meter = TokenMeter(on_tokens)
        done: queue.SimpleQueue[Completion | BaseException | None] = queue.SimpleQueue()
        loop = asyncio.new_event_loop()
        orders: asyncio.Queue[Request] = asyncio.Queue()
        work = loop.create_task(self._work(orders, sampling, done))
        thread = threading.Thread(target=_run, args=(loop, work, done), name="openai engine", daemon=True)
        thread.start()
        under_way = 0
        try:
            while True:
                for request in intake.pull(self.slots - under_way):
                    loop.call_soon_threadsafe(orders.put_nowait, request)
                    under_way += 1
                if not under_way:
                    if intake.ended:
                        break
                    time.sleep(IDLE_S)
                    continue
                try:  # with a free slot and nothing to fill it, the caller is asked again in a while
                    item = done.get(timeout=None if intake.ended or under_way == self.slots else REPORT_S)
                except queue.Empty:
                    continue
                if not isinstance(item, Completion):
                    raise item or RuntimeError("the requests were given up")
                under_way -= 1
                meter.add(item.token_count)
                yield item
            meter.close()
        finally:
            loop.call_soon_threadsafe(work.cancel)
            thread.join()
            loop.close()

    async def _work(self, orders: asyncio.Queue[Request], sampling: Sampling, done: queue.SimpleQueue[Any]) -> None:
        """Post what is ordered, until the task is cancelled; one that fails for good ends all."""
        import aiohttp

        timeout = aiohttp.ClientTimeout(total=self.request_s, sock_connect=_CONNECT_S)
        connector = aiohttp.TCPConnector(limit=0)
        async with aiohttp.ClientSession(headers=self._headers, timeout=timeout, connector=connector) as session:

            async def post(request: Request) -> None:
                done.put(await self._sample(session, request, sampling))

            async with asyncio.TaskGroup() as group:
                while True:
                    group.create_task(post(await orders.get()))

    async def _sample(self, session: Any, request: Request, sampling: Sampling) -> Completion:
        pause, reason = self.pause_s, ""
        for attempt in range(ATTEMPTS):
            if attempt:
                self.retries += 1
            endpoint = min(self.endpoints, key=lambda e: (e.under_way + 16 * min(e.failures, 8), random.random()))
            endpoint.under_way += 1
            try:
                completion = await self._post(session, endpoint.url, request, sampling)
            except _Passing as error:
                endpoint.failures += 1
                reason = f"{endpoint.url}: {error}"
                wait = error.pause or pause * random.uniform(0.5, 1.5)
                pause = min(2 * pause, LONGEST_PAUSE_S)
            else:
                endpoint.failures = 0
                return completion
            finally:
                endpoint.under_way -= 1
            if attempt < ATTEMPTS - 1:
                await asyncio.sleep(min(wait, LONGEST_PAUSE_S))
        raise RunError(f"a request failed {ATTEMPTS} times, at last with {reason}; finished samples are kept, run the same command again")

    async def _post(self, session: Any, url: str, request: Request, sampling: Sampling) -> Completion:
        import aiohttp

        began = time.monotonic()
        try:
            async with session.post(f"{url}/completions", json=self._body(request, sampling)) as answer:
                if answer.status in PASSING:
                    raise _Passing(f"status {answer.status}", _seconds(answer.headers.get("Retry-After")))
                body = await answer.json(content_type=None)
                if answer.status != 200:
                    raise UserError(f"{self._section}.endpoints: {url} refuses a request with {answer.status}: {_short(body)}")
        except (aiohttp.ClientError, TimeoutError) as error:
            raise _Passing(f"{type(error).__name__} {_short(error)}".strip()) from None
        except UserError:
            raise
        except (ValueError, RecursionError):
            raise _Passing("an answer that is not JSON") from None
        return self._completion(request, sampling, body, time.monotonic() - began)

    def _body(self, request: Request, sampling: Sampling) -> dict[str, Any]:
        """What is asked; what goes beyond OpenAI's own fields where the protocol asks for it, or the server has its own mind."""
        body: dict[str, Any] = {
            "model": self.model, "prompt": list(request.prompt_ids), "max_tokens": sampling.max_new_tokens,
            "temperature": sampling.temperature, "top_p": sampling.top_p, "seed": request.seed, "n": 1, "stream": False,
        }  # fmt: skip
        beyond = {"top_k": (sampling.top_k, 0), "min_p": (sampling.min_p, 0.0), "repetition_penalty": (sampling.repetition_penalty, 1.0)}
        if self.defaults_of_model and not sampling.top_k:
            beyond["top_k"] = (-1, 0)
        if self.defaults_of_model:  # those of the model's files come on top
            body["stop_token_ids"] = sorted(self.stop_ids)
        if self._chat.special_tags:  # a server would leave them out of the text
            body["skip_special_tokens"] = False
        return body | {name: value for name, (value, off) in beyond.items() if value != off or self.defaults_of_model}

    def _completion(self, request: Request, sampling: Sampling, body: Any, seconds: float) -> Completion:
        """Raises _Passing for an answer that is not a whole sample."""
        try:
            (choice,) = body["choices"]
            text, reason, count = self._text(request, choice), choice["finish_reason"], body["usage"]["completion_tokens"]
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise _Passing(f"an answer without a sample ({type(error).__name__}: {_short(error)})") from None
        whole = isinstance(count, int) and not isinstance(count, bool) and 0 <= count <= sampling.max_new_tokens
        if not isinstance(text, str) or reason not in ("stop", "length") or not whole:
            raise _Passing(f"an answer that cannot be (finish_reason {reason!r}, {count!r} tokens)")
        return Completion(
            tag=request.tag, token_ids=(), logprobs=(), text=text.encode("utf-8", "replace").decode(), finish_reason=reason, seconds=seconds, tokens=count
        )


    def _text(self, request: Request, choice: Any) -> Any:
        """The text of a sample: where a server has put the thinking into a field of its own, it comes before the rest, as the model wrote it."""
        message = choice.get("message") or choice
        text = choice["text"] if "text" in choice else message["content"]
        thought = next((one for name in REASONING for one in (choice.get(name), message.get(name)) if isinstance(one, str) and one), "")
        if self._chat.special_tags and isinstance(text, str):
            text = self._chat.without_ends(text)
        if not thought or not isinstance(text or "", str) or CLOSE in (text or ""):
            return text
        return joined(thought, text or "", self._chat.thinking_before(request.prompt_ids))


def _run(loop: asyncio.AbstractEventLoop, work: asyncio.Task[None], done: queue.SimpleQueue[Any]) -> None:
    """The thread of one call of `generate`: hands over the error that ends it, or None at its end."""
    asyncio.set_event_loop(loop)
    loop.run_until_complete(asyncio.wait([work]))
    error = None if work.cancelled() else work.exception()
    done.put(error.exceptions[0] if isinstance(error, BaseExceptionGroup) else error)


def _address(text: str, section: str) -> str:
    parts = urlsplit(text.strip())
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.username or parts.query or parts.fragment:
        raise UserError(f"{section}.endpoints: {text!r} is not allowed; an address such as http://127.0.0.1:8000/v1 (a key goes into {KEY_VARIABLE})")
    return text.strip().rstrip("/")


def _seconds(header: str | None) -> float:
    """Retry-After in seconds; a date, or nonsense, is 0."""
    return float(header) if header is not None and header.isdigit() else 0.0


def _short(value: object) -> str:
    return " ".join(str(value).split())[:200]
