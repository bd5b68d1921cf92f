"""Both judges against the hand-made cases, recorded scores, the released judge and hostile text."""

from __future__ import annotations

import json
import os
import random
import re
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest
from fair_time import timed
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from released_judge import released_verdict

from benchmarks import BenchmarkError
from benchmarks.grading import GraderPool, grade_math, grade_math_many
from benchmarks.judge_pool import Ending, Server, Worker
from benchmarks.judge_server import OUT_OF_MEMORY, STRICT_CPU_S
from benchmarks.strict.types import ANSWER_TYPES

RELAXED = settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


@pytest.mark.parametrize("grader", ["klear", "strict"])
def test_every_hand_made_case_gets_its_listed_verdict(
    cases: list[dict[str, Any]], pool: GraderPool, grader: Any
) -> None:
    grades = pool.grade_many([(case["response"], case["gold"]) for case in cases], grader)
    wrong = [case["id"] for case, grade in zip(cases, grades, strict=True) if grade.correct != case[grader]]
    assert len(cases) == 52
    assert wrong == []


def test_strict_judges_the_cases_of_public_threads_as_a_mathematician_would(data: Path, pool: GraderPool) -> None:
    file = data.parent / "cases" / "math_strict_2.jsonl"
    cases = [json.loads(line) for line in file.open(encoding="utf-8")]
    grades = pool.grade_many([(case["response"], case["gold"]) for case in cases])
    assert len(cases) == 754
    assert [case["id"] for case, grade in zip(cases, grades, strict=True) if grade.correct != case["strict"]] == []


def test_strict_agrees_with_recorded_scores_of_a_real_model(data: Path, pool: GraderPool) -> None:
    """But for eight responses to one problem: they say 4:30 p.m., as the gold does, and the record calls that wrong."""
    rows = [json.loads(line) for line in (data / "math_cot_real_outputs.jsonl").open(encoding="utf-8")]
    items = [(response, row["answer"]) for row in rows for response in row["response"]]
    scores = [score for row in rows for score in row["score"]]
    grades = pool.grade_many(items)
    assert len(items) == 400
    differ = [(gold, grade) for (_, gold), grade, score in zip(items, grades, scores, strict=True) if grade.correct != score]
    record_is_wrong = [grade for gold, grade in differ if grade.correct and _letters(str(grade.extracted)) == _letters(gold)]
    assert len(differ) - len(record_is_wrong) <= 1
    assert len(record_is_wrong) <= 8


def _letters(text: str) -> str:
    return re.sub(r"\\text|[^\w:]", "", text)


def test_klear_equals_the_released_judge_on_cases_and_real_outputs(
    data: Path, cases: list[dict[str, Any]], pool: GraderPool
) -> None:
    rows = [json.loads(line) for line in (data / "math_cot_real_outputs.jsonl").open(encoding="utf-8")]
    items = [(case["response"], case["gold"]) for case in cases]
    items += [(response, row["answer"]) for row in rows for response in row["response"]]
    grades = pool.grade_many(items, "klear")
    assert [grade.correct for grade in grades] == [released_verdict(*item) for item in items]


PIECES = st.sampled_from(
    [
        "$", "\\boxed{", "}", "{", "\\frac{1}{2}", "204", "1,037", " or ", "=", "x", "\\sqrt2", "\\text{",
        "<think>", "</think>", "answer is ", "−7", ".5", "\\pm", "(", ")", "[", "]", "\\(", "\\)", "和",
        "\ud800", "3!", "\n", "%",
    ]
)  # fmt: skip
RESPONSES = st.lists(PIECES | st.text(max_size=5), max_size=25).map("".join)
GOLDS = st.sampled_from(["204", "33", "\\frac{1}{2}", "8\\sqrt{10}", "-984", "1, 2"])


@RELAXED
@given(st.lists(st.tuples(RESPONSES, GOLDS), min_size=1, max_size=8))
def test_klear_equals_the_released_judge_on_made_up_responses(
    pool: GraderPool, items: list[tuple[str, str]]
) -> None:
    grades = pool.grade_many(items, "klear")
    assert [grade.correct for grade in grades] == [released_verdict(*item) for item in items]


@RELAXED
@given(st.lists(st.tuples(RESPONSES, GOLDS), min_size=1, max_size=8), st.text(max_size=200))
def test_strict_does_not_change_when_thinking_is_added(
    pool: GraderPool, items: list[tuple[str, str]], thought: str
) -> None:
    thinking = f"<think>{thought.replace('</think>', '')} \\boxed{{204}} or \\boxed{{33}}</think>"
    items = [(text.replace("think>", ""), gold) for text, gold in items]
    bare = pool.grade_many(items)
    assert pool.grade_many([(thinking + text, gold) for text, gold in items]) == bare


@RELAXED
@given(
    st.integers(0, 999),
    st.integers(0, 999),
    st.sampled_from(["{}", "{:03d}", "{}.0", "\\text{{{}}}", "n = {}"]),
)
def test_strict_decides_integers_by_their_value(pool: GraderPool, gold: int, given_: int, form: str) -> None:
    grade = pool.grade(f"so $\\boxed{{{form.format(given_)}}}$", str(gold))
    assert grade.correct == (gold == given_)


@RELAXED
@given(st.integers(-50, 50), st.integers(1, 50), st.integers(1, 9), st.booleans())
def test_strict_decides_fractions_by_their_value(
    pool: GraderPool, top: int, bottom: int, factor: int, right: bool
) -> None:
    gold = f"\\frac{{{top}}}{{{bottom}}}"
    answer = f"\\dfrac{{{top * factor + (0 if right else 1)}}}{{{bottom * factor}}}"
    assert pool.grade(f"$\\boxed{{{answer}}}$", gold).correct == right


THINKING = [
    ("a <think> b \\boxed{5}", "auto", None, "truncated"),
    ("<think> a </think> \\boxed{5}", "auto", None, "correct"),
    ("thoughts </think> \\boxed{5}", "auto", None, "correct"),
    ("thoughts </think> \\boxed{5}", "required", None, "correct"),
    ("\\boxed{5}", "auto", None, "correct"),
    ("\\boxed{5}", "required", None, "truncated"),
    ("<think>\\boxed{5}</think>", "auto", None, "no answer"),
    ("<think>\\boxed{5}</think> \\boxed{6}", "auto", None, "wrong"),
    ("a</think>\\boxed{6}</think>\\boxed{5}", "required", None, "correct"),
    ("<think> a </think> \\boxed{5}", "auto", "length", "truncated"),
    ("<think> a </think> \\boxed{5}", "auto", "stop", "correct"),
    ("a </think> b <think> \\boxed{5}", "auto", None, "truncated"),
]


@pytest.mark.parametrize(("text", "thinking", "finish", "reason"), THINKING)
def test_strict_follows_the_thinking_rules(
    pool: GraderPool, text: str, thinking: Any, finish: Any, reason: str
) -> None:
    assert pool.grade(text, "5", "strict", thinking, finish).reason == reason


def test_klear_ignores_thinking_rule_and_finish_reason(pool: GraderPool) -> None:
    assert pool.grade("<think> it is \\boxed{5}", "5", "klear", "required", "length").correct


READINGS = [
    ("$\\boxed{203}$ or $\\boxed{204}$", "204", "hedged"),
    ("$\\boxed{204}$, or maybe $\\boxed{205}$", "204", "hedged"),
    ("$\\boxed{203}$ and $\\boxed{204}$", "204", "hedged"),
    ("$\\boxed{204}$, or maybe $205$.", "204", "hedged"),
    ("either 203 or $\\boxed{204}$", "204", "hedged"),
    ("$\\boxed{203 \\text{ or } 204}$", "204", "hedged"),
    ("$\\boxed{203, 204}$", "204", "hedged"),
    ("The answer is 203 or 204.", "204", "hedged"),
    ("$\\boxed{204}$ or, the same, $\\boxed{204}$", "204", "correct"),
    ("$\\boxed{204}$\n\n$\\boxed{204}$", "204", "correct"),
    ("$\\boxed{\\frac{1}{2}}$ or $\\boxed{0.5}$", "\\frac{1}{2}", "correct"),
    ("$\\boxed{1}$ and $\\boxed{2}$", "1, 2", "correct"),
    ("$\\boxed{x = 2 \\text{ or } x = 1}$", "1, 2", "correct"),
    ("$\\boxed{1}$ and $\\boxed{3}$", "1, 2", "wrong"),
    ("$\\boxed{1, 1}$", "1, 2", "wrong"),
    ("using 1 or 2 steps we get 204", "204", "correct"),
    ("", "204", "no answer"),
    ("$\\boxed{}$", "204", "no answer"),
    ("$\\boxed{204", "204", "truncated"),
    ("\\boxed{\\boxed{204}}", "204", "correct"),
    ("$\\boxed{204.0000001}$", "204", "wrong"),
    ("$\\boxed{0.388889}$", "\\frac{7}{18}", "wrong"),
    ("$\\boxed{\\frac{7}{18} \\approx 0.389}$", "\\frac{7}{18}", "correct"),
    ("$\\boxed{4.472135955}$", "2\\sqrt{5}", "wrong"),
    ("$\\boxed{\\sqrt{20}}$", "2\\sqrt{5}", "correct"),
    ("$\\boxed{-\\sqrt{20}}$", "2\\sqrt{5}", "wrong"),
    ("$\\boxed{2^{25} \\times 26!}$", "2^{25} \\cdot 26!", "correct"),
    ("$\\boxed{2^{26} \\cdot 26!}$", "2^{25} \\cdot 26!", "wrong"),
    ("$\\boxed{14 + 4\\sqrt{37}}$", "14+4\\sqrt{37}", "correct"),
    ("$\\boxed{x^2+1}$", "204", "wrong"),
    ("$\\boxed{204\\ \\mathrm{cm}^2}$", "204", "correct"),
    ("$\\boxed{\\text{Answer: } 204}$", "204", "correct"),
    ("$\\boxed{\\Large{204},}$", "204", "correct"),
    ("$\\boxed{204 \\text{ or more}}$", "204", "hedged"),
    ("$\\boxed{2²}$", "4", "correct"),
    ("$\\boxed{2²}$", "22", "wrong"),
    ("$\\boxed{(2, 1)}$", "(1, 2)", "wrong"),
    ("$\\boxed{\\text{not }204}$", "204", "wrong"),
    ("答案：204", "204", "correct"),
    ("$\\boxed{50}$", "50\\%", "correct"),
    ("$\\boxed{\\text{4:30 PM}}$", "\\text{4:30 p.m.}", "correct"),
    ("$\\boxed{]\\text{\\int\\frac{1}{2}x\\sqrt2}²}$", "\\frac{1}{2}", "wrong"),
]


@pytest.mark.parametrize(("text", "gold", "reason"), READINGS)
def test_strict_reads_boxes_lists_and_hedges(pool: GraderPool, text: str, gold: str, reason: str) -> None:
    assert pool.grade(text, gold).reason == reason


HOSTILE = [
    "\\boxed{9^{9^{9^9}}}",
    "so it is $9^{9^{9^9}}$",
    "\\boxed{((((10!)!)!)!)!}",
    "\\boxed{" * 50_000,
    "\\boxed{" + "\\frac{1}{" * 150 + "2" + "}" * 151,
    "{" * 1_000_000,
    "$" * 1_000_000,
    "<think>" + "x = 1, " * 500_000 + "</think>\\boxed{204}",
    "7 " * 1_000_000,
    "\\boxed{5\ud800}",
    "\x00\\boxed{\x00}",
    "\\boxed{" + "9" * 5_000 + "}",
    "\\boxed{\\frac{1}{0}}",
]


@pytest.mark.parametrize("text", HOSTILE, ids=lambda text: ascii(text[:20]))
def test_strict_survives_hostile_text_in_under_two_seconds(pool: GraderPool, text: str) -> None:
    pool.grade("warm \\boxed{1}", "1")
    spent, grade = timed(lambda: pool.grade(text, "204"), 2.0)
    assert spent < 2.0
    assert grade.correct == text.endswith("\\boxed{204}")
    grade.model_dump_json()


def test_a_grade_that_never_ends_is_a_judge_time_out_and_the_rest_is_graded() -> None:
    items = [("\\boxed{5}", "5"), ("\\boxed{9^{9^{9^9}}}", "5"), ("\\boxed{5}", "5")] * 2
    with GraderPool(
        workers=2, klear_limit_s=0.5
    ) as own:  # shorter than math-verify's own alarm: the parent kills
        reasons = [grade.reason for grade in own.grade_many(items, "klear")]
    assert reasons == ["correct", "judge time-out", "correct"] * 2


def numbered(start: int, size: int) -> list[tuple[str, str]]:
    """Different pairs, every third one wrong."""
    return [(f"\\boxed{{{n if n % 3 else -n - 1}}}", str(n)) for n in range(start, start + size)]


def verdicts_of_numbered(items: list[tuple[str, str]]) -> list[str]:
    return ["correct" if int(gold) % 3 else "wrong" for _, gold in items]


def test_idle_workers_that_died_cost_no_task_anything() -> None:
    with GraderPool(workers=2) as own:
        own.grade_many(numbered(0, 8))
        for wait_s in (0.2, 0.0):  # dead for a while, and not quite dead yet
            idle = [worker.pid for worker in own._alive]
            for pid in idle:
                os.kill(pid, signal.SIGKILL)
            time.sleep(wait_s)
            items = numbered(10, 1 if wait_s else 30)
            assert [grade.reason for grade in own.grade_many(items)] == verdicts_of_numbered(items)
            assert not {worker.pid for worker in own._alive} & set(idle)
            own.grade_many(numbered(0, 8))
            assert len(own._alive) == 2


def test_one_hard_task_survives_ten_kills_of_its_worker() -> None:
    """Whoever kills workers says nothing about the task."""
    killed = set()
    slow = "\\boxed{" + "+".join(f"\\sqrt{{{n}}}" for n in range(2, 60)) + "}"
    with GraderPool(workers=1) as own:
        own.grade("\\boxed{1}", "1")
        results: list[str] = []
        grading = threading.Thread(target=lambda: results.append(own.grade(slow, "5", "klear").reason))
        grading.start()
        while grading.is_alive() and len(killed) < 10:
            for worker in list(own._alive):
                if worker.tasks and worker.pid not in killed:
                    time.sleep(0.005)
                    os.kill(worker.pid, signal.SIGKILL)
                    killed.add(worker.pid)
            time.sleep(0.001)
        grading.join()
    assert (results, len(killed)) == (["wrong"], 10)


def test_twenty_kills_of_idle_and_busy_workers_lose_and_change_no_grade() -> None:
    rng = random.Random(0)
    killed: dict[int, str] = {}
    graded = threading.Event()

    def kill(state: str, count: int) -> None:
        while count and len(killed) < 20 and not graded.is_set():
            for worker in list(own._alive):
                if count and worker.pid not in killed and bool(worker.tasks) == (state == "busy"):
                    os.kill(worker.pid, signal.SIGKILL)
                    killed[worker.pid] = state
                    count -= 1
            time.sleep(0.001 if state == "busy" else 0)

    with GraderPool(workers=2) as own:
        batch = 0
        while len(killed) < 20:
            own.grade_many(numbered(0, 8))
            kill("idle", rng.randint(0, len(own._alive)))
            items = numbered(1000 * batch, 500)
            killer = threading.Thread(target=kill, args=("busy", rng.randint(0, 3)))
            killer.start()
            grades = own.grade_many(items)
            graded.set()
            killer.join()
            graded.clear()
            assert [grade.reason for grade in grades] == verdicts_of_numbered(items)
            batch += 1
    states = list(killed.values())
    assert len(states) == 20
    assert min(states.count("idle"), states.count("busy")) >= 4


def test_a_worker_that_crashes_twice_on_its_task_is_a_judge_time_out() -> None:
    crashed = []
    with GraderPool(workers=1) as own:
        own.grade("\\boxed{1}", "1")

        def crash() -> None:
            while len(crashed) < 2:
                for worker in list(own._alive):
                    if worker.tasks and worker.pid not in crashed:
                        os.kill(worker.pid, signal.SIGSEGV)  # as a stack overflow in a C library does
                        crashed.append(worker.pid)
                time.sleep(0.0005)

        crasher = threading.Thread(target=crash)
        crasher.start()
        assert own.grade("\\boxed{9^{9^{9^9}}}", "5", "klear").reason == "judge time-out"
        crasher.join()
        assert own.grade("\\boxed{5}", "5", "klear").correct


def test_a_killed_worker_blames_its_task_only_if_it_had_grown_or_crashed() -> None:
    assert Ending(signal.SIGKILL, 1 << 20).from_outside()
    assert Ending(signal.SIGTERM, 1 << 20).from_outside()
    assert not Ending(signal.SIGKILL, 1 << 30).from_outside()  # the kernel, for its memory
    assert not Ending(signal.SIGABRT, 1 << 20).from_outside()
    assert not Ending(OUT_OF_MEMORY << 8, 0).from_outside()
    server = Server()
    worker = server.spawn()
    ending = server.kill(worker.pid)
    assert ending.from_outside()
    assert abs(ending.grown_bytes) < 64 << 20
    worker.stream.close()
    server.close()


@pytest.mark.parametrize("resumed", [True, False])
def test_a_worker_that_does_not_get_the_processor_makes_no_time_out(resumed: bool) -> None:
    with GraderPool(workers=2, strict_limit_s=0.4) as own:
        own.grade_many(numbered(0, 8))
        stopped = [worker.pid for worker in own._alive]
        for pid in stopped:
            os.kill(pid, signal.SIGSTOP)
        timers = [threading.Timer(0.3, os.kill, (pid, signal.SIGCONT)) for pid in stopped if resumed]
        for timer in timers:
            timer.start()
        items = [*numbered(10, 40), ("<think>" + "x" * 3_000_000 + "</think>\\boxed{7}", "7")]
        grades = own.grade_many(items)
        items.append(("x" * 3_000_000 + "\\boxed{8}", "7"))  # more than a socket buffers
        grades += own.grade_many(items[-1:])
        assert [grade.reason for grade in grades] == [*verdicts_of_numbered(items[:40]), "correct", "wrong"]
        assert ({worker.pid for worker in own._alive} == set(stopped)) == resumed


def test_a_stopped_worker_with_a_large_task_does_not_stop_the_caller() -> None:
    with GraderPool(workers=1, klear_limit_s=1.0) as own:
        own.grade("\\boxed{1}", "1", "klear")
        os.kill(own._alive[0].pid, signal.SIGSTOP)
        assert own.grade("x" * 3_000_000 + "\\boxed{7}", "7", "klear").correct


def test_a_judge_server_that_is_killed_loses_no_grade() -> None:
    with GraderPool(workers=2) as own:
        own.grade_many(numbered(0, 8))
        items = numbered(0, 600)

        def kill() -> None:
            while not any(worker.tasks for worker in list(own._alive)):
                time.sleep(0.001)
            busy = [worker.pid for worker in own._alive]
            own._server.process.kill()
            for pid in busy:
                os.kill(pid, signal.SIGKILL)

        killer = threading.Thread(target=kill)
        killer.start()
        grades = own.grade_many(items)
        killer.join()
    assert [grade.reason for grade in grades] == verdicts_of_numbered(items)


def test_a_time_out_has_had_the_whole_time_twice() -> None:
    with GraderPool(workers=1) as own:
        own.grade("\\boxed{1}", "1")
        first = own._alive[0].pid
        started = time.monotonic()
        grade = own.grade("\\boxed{\\int_0^1 9^{9^{9^9}} dx}", "5")
        assert time.monotonic() - started >= 2 * STRICT_CPU_S
        assert grade.reason == "judge time-out"
        assert own._alive[0].pid != first  # the second time on a fresh worker
        assert own.grade("\\boxed{5}", "5").correct


def test_equal_pairs_are_judged_once(pool: GraderPool, monkeypatch: pytest.MonkeyPatch) -> None:
    sent: list[bytes] = []
    send = Worker.send
    monkeypatch.setattr(Worker, "send", lambda self, task, limit: (sent.append(task.packed), send(self, task, limit))[1])
    items = [("<think>one</think>\\boxed{5}", "5"), ("<think>two</think>\\boxed{5}", "5"), ("\\boxed{5}", "6")] * 20
    items.append(("<think>cut", "5"))
    reasons = ["correct", "correct", "wrong"] * 20 + ["truncated"]
    assert [grade.reason for grade in pool.grade_many(items)] == reasons
    assert len(sent) == len(set(sent)) == 2
    sent.clear()
    assert [grade.correct for grade in pool.grade_many(items[:3], "klear")] == [True, True, False]
    assert len(sent) == 3  # `klear` reads the thinking
    assert pool.grade_many([]) == []


def test_grading_works_from_threads_and_in_a_forked_child() -> None:
    results: list[bool] = []
    threads = [
        threading.Thread(target=lambda: results.append(grade_math("\\boxed{5}", "5").correct))
        for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert results == [True] * 4
    child = os.fork()
    if child == 0:
        os._exit(0 if grade_math("\\boxed{5}", "5").correct else 1)
    assert os.waitpid(child, 0)[1] == 0
    assert grade_math("\\boxed{5}", "5").correct


def test_grading_works_when_the_main_program_is_not_a_file_and_leaves_no_process() -> None:
    root = Path(__file__).resolve().parents[2]
    program = (
        "import sys\nfrom benchmarks.grading import grade_math, _shared_pool\n"
        "reason = grade_math('\\\\boxed{5}', '5').reason\n"
        "print(reason, _shared_pool()._server.process.pid, 'torch' in sys.modules)\n"
    )
    done = subprocess.run(
        [sys.executable], input=program, check=False, capture_output=True, text=True, cwd=root, timeout=60
    )
    reason, pid, torch = done.stdout.split()
    assert (reason, torch, done.stderr) == ("correct", "False", "")
    assert not Path(f"/proc/{pid}").exists()


def test_order_is_kept_and_grades_name_their_grader(pool: GraderPool) -> None:
    items = [(f"\\boxed{{{n % 7}}}", "3", "length" if n % 5 == 0 else None) for n in range(200)]
    grades = grade_math_many(items, pool=pool)
    expected = ["truncated" if n % 5 == 0 else "correct" if n % 7 == 3 else "wrong" for n in range(200)]
    assert [grade.reason for grade in grades] == expected
    assert {(grade.grader, grade.score) for grade in grades} == {("strict", 0.0), ("strict", 1.0)}
    assert grade_math_many([], pool=pool) == []


def test_wrong_names_are_refused_in_one_line(pool: GraderPool) -> None:
    with pytest.raises(BenchmarkError, match="unknown grader 'lenient'; allowed: strict, klear"):
        pool.grade("1", "1", "lenient")  # type: ignore[arg-type]
    with pytest.raises(BenchmarkError, match="allowed: auto, required"):
        pool.grade("1", "1", "strict", "always")  # type: ignore[arg-type]
    with pytest.raises(BenchmarkError, match="unknown answer type 'number'; allowed: integer, rational, .*, choice, text$"):
        grade_math("\\boxed{1}", "1", answer_type="number")
    with pytest.raises(BenchmarkError, match="unknown answer type ''"):
        grade_math_many([], pool=pool, answer_type="")
    with pytest.raises(BenchmarkError, match="at least 1"):
        GraderPool(workers=0)


def test_every_answer_type_is_accepted_by_both_graders(pool: GraderPool) -> None:
    assert len(ANSWER_TYPES) == 15
    for answer_type in (None, "integer"):
        assert grade_math("\\boxed{5}", "5", answer_type=answer_type).correct
    for answer_type in ANSWER_TYPES:
        assert pool.grade("\\boxed{5}", "5", answer_type=answer_type).reason in ("correct", "wrong")
        assert grade_math_many([("\\boxed{5}", "5")], "klear", pool=pool, answer_type=answer_type)[0].correct
