"""Runs untrusted Python programs on tests, in isolation, and says what became of them.

Standard library only. `Executor` is trusted and compares; what runs programs never sees an expected output.
See docs/sandbox.md for the threat model and what each tier guarantees.
"""

from .executor import Executor
from .model import (
    MODES,
    TIERS,
    Cancelled,
    IsolationUnavailable,
    Limits,
    Result,
    SandboxError,
    Test,
    TestResult,
    Verdict,
)

__all__ = [
    "MODES",
    "TIERS",
    "Cancelled",
    "Executor",
    "IsolationUnavailable",
    "Limits",
    "Result",
    "SandboxError",
    "Test",
    "TestResult",
    "Verdict",
]
