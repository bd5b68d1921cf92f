"""A protocol with sampling from the command line: the report names it as changed, says what was changed, and blocks the verdict."""

from __future__ import annotations

from typing import Any

import pytest

from benchmarks.protocols import load_protocol
from klear_repro.names import resolved
from klear_repro.sections import EvalConfig
from reports.against_published import comparisons
from reports.load import load_run
from reports.render import write_report

Builder = Any
"""`RunBuilder` of conftest.py."""

CHANGES = {"temperature": 0.7, "top_p": 0.9, "top_k": 0, "min_p": 0.05, "repetition_penalty": 1.0}


def measured(builder: Builder, model: str, **changes: float) -> None:
    protocol = resolved(EvalConfig.model_validate(changes), load_protocol("klear-release-64k"))
    builder.manifest["stand_in"] = False
    builder.measure("aime24", model, [58] * 30, 64, protocol=protocol.model_dump(mode="json"), graders=("klear",))


@pytest.mark.parametrize("name", CHANGES)
def test_a_changed_field_blocks_the_verdict_as_another_protocol_and_is_named(builder: Builder, name: str) -> None:
    measured(builder, "Klear-Reasoner-8B", **{name: CHANGES[name]})
    (found,) = comparisons(load_run(builder.write()))
    assert found.verdict.label == "inconclusive"
    (blocker,) = [reason for reason in found.verdict.blockers if reason.startswith("other protocol")]
    assert f"sampling.{name} {CHANGES[name]} instead of" in blocker, blocker


def test_the_report_has_the_changed_name_and_the_value(builder: Builder) -> None:
    measured(builder, "Klear-Reasoner-8B", temperature=0.7)
    text = write_report(builder.write()).with_name("report.md").read_text()
    assert "klear-release-64k+changed" in text and "sampling.temperature 0.7 instead of 0.6" in text


def test_of_a_model_without_published_numbers_the_lead_says_what_was_changed(builder: Builder) -> None:
    measured(builder, "mine", temperature=0.7, top_p=0.9)
    text = write_report(builder.write()).with_name("report.md").read_text()
    lead = text.split("\n## ")[0]
    assert "| mine | klear-release-64k+changed |" in text
    changed = "sampling.temperature 0.7 instead of 0.6, sampling.top\\_p 0.9 instead of 0.95"
    assert f"Protocol klear-release-64k was changed: {changed} (aime24)." in lead


def test_a_protocol_as_it_is_gets_no_such_sentence(builder: Builder) -> None:
    measured(builder, "mine")
    assert "was changed" not in write_report(builder.write()).with_name("report.md").read_text()
