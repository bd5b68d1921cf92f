"""Names that vLLM's options may have, read from the source of the vLLM that is installed, which takes 15 seconds to import.

A plug-in of vLLM may add names; where one is installed, and where the source has another form, nothing is refused here.
"""

from __future__ import annotations

import ast
from collections.abc import Mapping
from importlib.metadata import entry_points
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from klear_repro.errors import UserError

PLACES = {
    "quantization": ("model_executor/layers/quantization/__init__.py", "QuantizationMethods"),
    "kv_cache_dtype": ("config/cache.py", "CacheDType"),
    "attention_backend": ("v1/attention/backends/registry.py", "AttentionBackendEnum"),
}
"""Option → file of the package, and the `Literal` or `Enum` in it that lists the names."""


def check_names(options: Mapping[str, Any]) -> None:
    """Refuse a name that this vLLM does not know.

    Raises:
        UserError: it does not; the names that it knows are in the message.
    """
    spec = find_spec("vllm")
    if spec is None or spec.origin is None or entry_points(group="vllm.general_plugins"):
        return
    for option in PLACES.keys() & options.keys():
        names, given = known_names(Path(spec.origin).parent, option), str(options[option])
        if names and given not in names and not (option == "attention_backend" and given.upper() in names):
            raise UserError(f"eval.{option}={given!r}: this vLLM knows {', '.join(names)}")


def known_names(package: Path, option: str) -> list[str]:
    """The names of an option in vLLM's package folder; empty where they are not found."""
    file, name = PLACES[option]
    try:
        tree = ast.parse((package / file).read_text(encoding="utf-8"))
    except (OSError, ValueError, SyntaxError):
        return []
    for node in tree.body:
        if isinstance(node, ast.ClassDef) and node.name == name:
            fields = (one.targets[0] for one in node.body if isinstance(one, ast.Assign))
            return [one.id for one in fields if isinstance(one, ast.Name) and not one.id.startswith("_")]
        if isinstance(node, ast.Assign) and any(isinstance(one, ast.Name) and one.id == name for one in node.targets):
            return [one.value for one in ast.walk(node.value) if isinstance(one, ast.Constant) and isinstance(one.value, str)]
    return []
