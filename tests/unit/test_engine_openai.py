"""The openai engine against real servers that answer with a tiny real model, and that fail in every way servers do."""

from __future__ import annotations

import itertools
import json
import random
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from transformers import AutoTokenizer

from klear_repro.data.tokenizer import train_tokenizer
from klear_repro.engines import openai
from klear_repro.engines.base import Request, Sampling
from klear_repro.engines.hf import HFEngine
from klear_repro.engines.openai import OpenAIEngine
from klear_repro.errors import RunError, UserError
from klear_repro.models import ModelSource, new_model
from klear_repro.sections import ModelConfig

WORDS = "Find 12 + 34. A shop sells 7 pens. <think>\n2+4=6 so 46\n</think>\n\n\\boxed{46}"
GREEDY = Sampling(0.0, 1.0, 0, 0.0, 1.0, 16)


@pytest.fixture(scope="module")
def local(tmp_path_factory: pytest.TempPathFactory) -> tuple[ModelSource, HFEngine]:
    """A tiny model in Hub format, and the hf engine with it."""
    folder = tmp_path_factory.mktemp("model")
    tokenizer = train_tokenizer([WORDS], 320)
    config = ModelConfig(hidden_size=64, layers=2, heads=4, kv_heads=2, head_dim=16, intermediate_size=128, vocab_size=320,
                         max_position=256, initializer_range=0.2)  # fmt: skip
    model = new_model(config, tokenizer, 3).eval()
    tokenizer.save_pretrained(folder)
    return ModelSource("tiny", folder, "", "r"), HFEngine(model, tokenizer, slots=8)


class Server(ThreadingHTTPServer):
    """Serves completions of the tiny model; `fault` may answer instead, and returns whether it has."""

    daemon_threads = True
    request_queue_size = 512

    def __init__(self, engine: HFEngine) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.engine = engine
        self.lock = threading.Lock()
        self.fault: Callable[[Handler, int], bool] = lambda handler, number: False
        self.number = itertools.count()
        self.asked: list[dict[str, Any]] = []
        self.under_way = self.most_under_way = 0
        self.models = [{"id": "served", "max_model_len": 256}]
        self.key: str | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/v1"


class Handler(BaseHTTPRequestHandler):
    """One request."""

    protocol_version = "HTTP/1.1"
    server: Server
    asked: dict[str, Any]

    def log_message(self, format: str, *args: object) -> None:
        """Quiet."""

    def answer(self, body: Any, status: int = 200, **headers: str) -> bool:
        """Sends JSON, or bytes as they are."""
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        self.send_response(status)
        for name, value in {"Content-Length": str(len(content)), **headers}.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        self.wfile.write(content)
        return True

    def do_GET(self) -> None:
        """The list of models."""
        self.answer({"data": self.server.models})

    def do_POST(self) -> None:
        """A completion."""
        server = self.server
        asked = self.asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        with server.lock:
            server.under_way += 1
            server.most_under_way = max(server.most_under_way, server.under_way)
            server.key = self.headers.get("Authorization")
        try:
            if server.fault(self, next(server.number)):
                return
            with server.lock:
                server.asked.append(asked)
                request = Request(0, tuple(asked["prompt"]), asked["seed"])
                how = Sampling(asked["temperature"], asked["top_p"], 0, 0.0, 1.0, asked["max_tokens"])
                (made,) = server.engine.generate([request], how)
            choice = {"index": 0, "text": made.text, "finish_reason": made.finish_reason}
            self.answer({"choices": [choice], "usage": {"completion_tokens": made.token_count}})
        except (BrokenPipeError, ConnectionResetError):
            self.close_connection = True
        finally:
            with server.lock:
                server.under_way -= 1


@contextmanager
def serving(engine: HFEngine) -> Iterator[Server]:
    server = Server(engine)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()


@pytest.fixture
def server(local: tuple[ModelSource, HFEngine]) -> Iterator[Server]:
    with serving(local[1]) as made:
        yield made


def requests(engine: Any, count: int) -> list[Request]:
    prompts = [engine.encode_chat([{"role": "user", "content": text}]) for text in ("1", "Find 12 + 34.", WORDS[:30])]
    return [Request(index, prompt, 2**62 + index) for index, prompt in zip(range(count), itertools.cycle(prompts), strict=False)]


def test_samples_are_those_of_the_model_behind_the_server(local, server):
    engine = OpenAIEngine(local[0], endpoints=[server.url], slots=4)
    asked = requests(engine, 12)
    assert [r.prompt_ids for r in asked] == [r.prompt_ids for r in requests(local[1], 12)]
    here = {c.tag: (c.text, c.finish_reason, c.token_count) for c in local[1].generate(asked, GREEDY)}
    there = {c.tag: (c.text, c.finish_reason, c.token_count) for c in engine.generate(asked, GREEDY)}
    assert there == here
    assert server.most_under_way <= 4 and engine.retries == 0
    assert {row["seed"] for row in server.asked} == {request.seed for request in asked}


def test_only_what_the_protocol_asks_for_goes_beyond_openais_fields(local, server):
    engine = OpenAIEngine(local[0], endpoints=[server.url])
    list(engine.generate(requests(engine, 1), GREEDY))
    list(engine.generate(requests(engine, 1), Sampling(0.6, 0.95, 20, 0.1, 1.05, 4)))
    plain, full = server.asked
    assert set(plain) == {"model", "prompt", "max_tokens", "temperature", "top_p", "seed", "n", "stream"}
    assert {name: full[name] for name in set(full) - set(plain)} == {"top_k": 20, "min_p": 0.1, "repetition_penalty": 1.05}


def _drop(handler: Handler, partly: bytes = b"") -> bool:
    handler.wfile.write(partly)
    handler.close_connection = True
    handler.connection.shutdown(2)
    return True


def _stall(handler: Handler) -> bool:
    time.sleep(10)
    handler.close_connection = True
    return True


WHOLE = {"choices": [{"text": "x", "finish_reason": "stop"}], "usage": {"completion_tokens": 1}}
FAULTS: dict[str, Callable[[Handler], bool]] = {
    "429": lambda h: h.answer({}, 429),
    "429-names-a-pause": lambda h: h.answer({}, 429, Retry_After="1"),
    "429-nonsense": lambda h: h.answer({}, 429, Retry_After="Thu, 1 Jan"),
    "500": lambda h: h.answer(b"<html>", 500),
    "503": lambda h: h.answer({}, 503),
    "dropped": _drop,
    "dropped-half-way": lambda h: _drop(h, b"HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\n{"),
    "not-http": lambda h: _drop(h, b"\x00\x01\x02 nonsense\r\n\r\n"),
    "not-json": lambda h: h.answer(b"{nonsense"),
    "not-utf8": lambda h: h.answer(b"\xff\xfe"),
    "a-list": lambda h: h.answer([]),
    "no-choices": lambda h: h.answer({**WHOLE, "choices": []}),
    "two-choices": lambda h: h.answer({**WHOLE, "choices": WHOLE["choices"] * 2}),
    "no-usage": lambda h: h.answer({"choices": WHOLE["choices"]}),
    "no-text": lambda h: h.answer({**WHOLE, "choices": [{"text": None, "finish_reason": "stop"}]}),
    "aborted": lambda h: h.answer({**WHOLE, "choices": [{"text": "x", "finish_reason": "abort"}]}),
    "too-many-tokens": lambda h: h.answer({**WHOLE, "usage": {"completion_tokens": 10**9}}),
    "stalled": _stall,
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_server_that_fails_costs_retries_and_not_samples(local, server, fault):
    server.fault = lambda handler, number: number % 3 == 0 and number < 12 and FAULTS[fault](handler)
    engine = OpenAIEngine(local[0], endpoints=[server.url], slots=4, request_s=4 if fault == "stalled" else 60, pause_s=0.01)
    asked = requests(engine, 9)
    here = {c.tag: c.text for c in local[1].generate(asked, GREEDY)}
    there = [(c.tag, c.text) for c in engine.generate(asked, GREEDY)]
    assert len(there) == 9 and dict(there) == here
    assert engine.retries >= 3


def test_samples_go_where_a_server_answers(local, server):
    with serving(local[1]) as broken:
        broken.fault = lambda handler, number: handler.answer({}, 500)
        engine = OpenAIEngine(local[0], endpoints=[broken.url, server.url + "/"], slots=4, pause_s=0.01)
        assert len(list(engine.generate(requests(engine, 24), GREEDY))) == 24
        assert len(server.asked) == 24 and next(broken.number) < 24


def test_two_servers_share_the_work(local, server):
    with serving(local[1]) as other:
        engine = OpenAIEngine(local[0], endpoints=[server.url, other.url], slots=8)
        assert len(list(engine.generate(requests(engine, 24), GREEDY))) == 24
        assert min(len(server.asked), len(other.asked)) >= 6


def test_when_nothing_helps_the_finished_samples_are_out_and_the_error_says_so(local, server, monkeypatch):
    monkeypatch.setattr(openai, "ATTEMPTS", 3)
    server.fault = lambda handler, number: number >= 5 and handler.answer({}, 503)
    engine = OpenAIEngine(local[0], endpoints=[server.url], slots=1, pause_s=0.01)
    out = []
    with pytest.raises(RunError, match="a request failed 3 times, at last with http://.*: status 503; finished samples are kept"):
        for completion in engine.generate(requests(engine, 9), GREEDY):
            out.append(completion)
    assert len(out) == 5


def test_a_refused_request_is_not_repeated(local, server):
    server.fault = lambda handler, number: handler.answer({"error": {"message": "no\nsuch"}}, 400)
    engine = OpenAIEngine(local[0], endpoints=[server.url])
    with pytest.raises(UserError, match="refuses a request with 400: ") as error:
        list(engine.generate(requests(engine, 1), GREEDY))
    assert "\n" not in str(error.value) and engine.retries == 0


def test_requests_that_trickle_in_are_pulled_in_the_callers_thread_into_free_slots_alone(local, server):
    engine = OpenAIEngine(local[0], endpoints=[server.url], slots=3)
    asked, taken, threads, reports = requests(engine, 12), [], set(), []

    def trickle() -> Iterator[Request | None]:
        for index, request in enumerate(asked):
            threads.add(threading.current_thread())
            yield from [None] * (index % 3)
            taken.append(request)
            yield request

    done = []
    for one in engine.generate(trickle(), GREEDY, reports.append):
        done.append(one)
        assert len(taken) - len(done) < engine.slots
    here = {c.tag: c.text for c in local[1].generate(asked, GREEDY)}
    assert {one.tag: one.text for one in done} == here and threads == {threading.current_thread()}
    assert sum(reports) == sum(one.token_count for one in done) and server.most_under_way <= 3


def test_a_caller_that_leaves_ends_the_others(local, server):
    server.fault = lambda handler, number: number > 0 and _stall(handler)
    engine = OpenAIEngine(local[0], endpoints=[server.url], slots=4)
    stream = engine.generate(requests(engine, 8), GREEDY)
    next(stream)
    began = time.monotonic()
    stream.close()
    assert time.monotonic() - began < 5
    assert not [thread for thread in threading.enumerate() if thread.name == "openai engine"]


def test_the_key_comes_from_the_environment_and_goes_to_the_server_alone(local, server, monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "secret-key")
    engine = OpenAIEngine(local[0], endpoints=[server.url])
    list(engine.generate(requests(engine, 1), GREEDY))
    assert server.key == "Bearer secret-key" and "secret" not in str(server.asked)


def test_the_length_that_the_server_states_is_respected(local, server):
    engine = OpenAIEngine(local[0], endpoints=[server.url])
    with pytest.raises(UserError, match="max_new_tokens=250: with a prompt of .* and the endpoints' length is 256"):
        list(engine.generate(requests(engine, 1), Sampling(0.0, 1.0, 0, 0.0, 1.0, 250)))


@pytest.mark.parametrize(("endpoints", "named", "said"), [
    ([], "", "eval.endpoints: needed by the engine openai"),
    (["localhost:8000"], "", "eval.endpoints: 'localhost:8000' is not allowed; an address such as"),
    (["http://user:pass@host/v1"], "", "is not allowed; an address such as"),
    (["http://127.0.0.1:9/v1"], "", "eval.endpoints: http://127.0.0.1:9/v1 gives no list of models"),
    (["SERVER"], "other", "eval.served_name='other': http://.* serves served"),
])  # fmt: skip
def test_what_cannot_work_is_said_in_one_line(local, server, endpoints, named, said):
    with pytest.raises(UserError, match=said) as error:
        OpenAIEngine(local[0], endpoints=[server.url if e == "SERVER" else e for e in endpoints], model=named)
    assert "\n" not in str(error.value)


def test_several_served_models_must_be_chosen_from(local, server):
    server.models = [{"id": "a"}, {"id": "b"}]
    with pytest.raises(UserError, match="eval.served_name: needed, for the endpoints serve a, b"):
        OpenAIEngine(local[0], endpoints=[server.url])
    assert OpenAIEngine(local[0], endpoints=[server.url], model="b").model == "b"


def test_a_random_mixture_of_faults_loses_and_doubles_nothing(local, server):
    kinds = [name for name in FAULTS if name not in ("stalled", "429-names-a-pause")]
    draw = random.Random(5)
    plans = {2**62 + index: draw.choices(kinds, k=draw.randint(0, openai.ATTEMPTS - 1)) for index in range(60)}
    left = {seed: list(plan) for seed, plan in plans.items()}

    def fault(handler: Handler, number: int) -> bool:
        with server.lock:
            plan = left[handler.asked["seed"]]
            kind = plan.pop() if plan else None
        return kind is not None and FAULTS[kind](handler)

    server.fault = fault
    engine = OpenAIEngine(local[0], endpoints=[server.url], slots=8, pause_s=0.001)
    found = Counter(completion.tag for completion in engine.generate(requests(engine, 60), GREEDY))
    assert found == Counter(range(60))
    assert engine.retries == sum(map(len, plans.values())) and {kind for plan in plans.values() for kind in plan} == set(kinds)


def test_the_engine_is_reached_from_the_command_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from klear_repro.config import load_config

    config = load_config("smoke", {"eval.engine": "openai", "eval.endpoints": "http://a/v1,http://b/v1", "eval.request_s": "5"})
    assert config.eval.endpoints == ("http://a/v1", "http://b/v1") and config.eval.request_s == 5


def test_an_unexpected_error_is_raised_and_not_taken_for_the_end(local, server, monkeypatch):
    async def breaks(*arguments: Any) -> None:
        raise LookupError("nobody foresaw this")

    engine = OpenAIEngine(local[0], endpoints=[server.url])
    for name in ("_sample", "_work"):
        with monkeypatch.context() as patch:
            patch.setattr(engine, name, breaks)
            with pytest.raises(LookupError, match="nobody foresaw this"):
                list(engine.generate(requests(engine, 4), GREEDY))


@pytest.mark.parametrize("owner", ["vllm", "sglang", "somebody"])
def test_servers_that_fill_in_what_is_not_said_are_told_that_nothing_is_to_be_filtered(local, server, owner):
    server.models = [{"id": "served", "max_model_len": 256, "owned_by": owner}]
    engine = OpenAIEngine(local[0], endpoints=[server.url], slots=4)
    plain = Sampling(1.0, 1.0, 0, 0.0, 1.0, 4)
    assert len(list(engine.generate(requests(engine, 2), plain))) == 2
    beyond = {name: server.asked[0].get(name) for name in ("top_k", "min_p", "repetition_penalty")}
    fills_in = owner != "somebody"
    assert beyond == ({"top_k": -1, "min_p": 0.0, "repetition_penalty": 1.0} if fills_in else dict.fromkeys(beyond))
    assert engine.settings(plain)["sent"].get("top_k") == (-1 if fills_in else None)
    assert server.asked[0].get("stop_token_ids") == (sorted(engine.stop_ids) if fills_in else None)
    assert engine.stop_ids == {engine.tokenizer.eos_token_id}


def test_slots_that_are_not_named_are_128_requests(local, server):
    assert OpenAIEngine(local[0], endpoints=[server.url]).slots == 128


@pytest.mark.parametrize("name", ["reasoning_content", "reasoning", "thinking"])
@pytest.mark.parametrize("place", ["beside the text", "in a message"])
def test_thinking_that_a_server_keeps_apart_is_in_the_text(local, server, name, place):
    replies = {  # reasoning, content, finish reason → text
        ("2 and 4", "\\boxed{6}", "stop"): "<think>\n2 and 4\n</think>\n\n\\boxed{6}",
        ("2 and", None, "length"): "<think>\n2 and",
        ("2 and", "", "length"): "<think>\n2 and",
        (None, "\\boxed{6}", "stop"): "\\boxed{6}",
        ("2 and 4", "<think>2 and 4</think>\\boxed{6}", "stop"): "<think>2 and 4</think>\\boxed{6}",
    }
    engine = OpenAIEngine(local[0], endpoints=[server.url])
    prompt = engine.encode_chat([{"role": "user", "content": "2 + 4?"}])
    opened = (*prompt, *engine.tokenizer.encode("<think>\n", add_special_tokens=False))
    for (thought, content, reason), text in replies.items():
        apart = {"message": {"content": content, name: thought}} if place == "in a message" else {"text": content, name: thought}
        body = {"choices": [{**apart, "finish_reason": reason}], "usage": {"completion_tokens": 3}}
        server.fault = lambda handler, number, body=body: handler.answer(body)
        for ids, wanted in ((prompt, text), (opened, text if content and "<think>" in content else text.removeprefix("<think>\n"))):
            (sample,) = engine.generate([Request(0, ids, 0)], GREEDY)
            assert (sample.text, sample.finish_reason) == (wanted, reason)


def test_thinking_tags_that_are_special_tokens_are_asked_for_and_ends_of_turns_left_out(local, server, tmp_path):
    from tokenizers import AddedToken

    tokenizer = AutoTokenizer.from_pretrained(local[0].folder)
    tokenizer.add_tokens([AddedToken(tag, special=True, normalized=False) for tag in ("<think>", "</think>")], special_tokens=True)
    tokenizer.save_pretrained(tmp_path)
    engine = OpenAIEngine(ModelSource("tiny", tmp_path, "", "r"), endpoints=[server.url])
    body = {"choices": [{"text": "<think>\n2</think>6<|im_end|><|endoftext|>", "finish_reason": "stop"}], "usage": {"completion_tokens": 3}}
    server.fault = lambda handler, number: not server.asked.append(handler.asked) and handler.answer(body)
    (sample,) = engine.generate(requests(engine, 1), GREEDY)
    assert sample.text == "<think>\n2</think>6"
    assert server.asked[-1]["skip_special_tokens"] is False
