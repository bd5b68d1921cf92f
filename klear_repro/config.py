"""Configuration: its sections together, TOML profiles, command-line overrides.

Nothing heavy is imported here: a wrong value is refused before torch is loaded.
"""

from __future__ import annotations

import math
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Literal, Self

from pydantic import Field, ValidationError, model_validator
from pydantic.fields import FieldInfo

from klear_repro.sections import (
    DataConfig,
    EvalConfig,
    ModelConfig,
    ReportConfig,
    RLConfig,
    RuntimeConfig,
    Section,
    SFTConfig,
    TracesConfig,
)

PROFILES = Path(__file__).parent / "profiles"


class ConfigError(ValueError):
    """A configuration that cannot be; the message is one line that names field, value and what is allowed."""


class Config(Section):
    """Everything a run depends on."""

    profile: str = Field("smoke", description="name of the profile")
    preset: Literal["paper", "release", "none"] = Field("none", description="named recipe that rl_math and rl_code start from")
    stand_in: bool = Field(False, description="models and problems are synthetic: nothing may be compared with published numbers")
    runtime: RuntimeConfig = RuntimeConfig()
    model: ModelConfig = ModelConfig()
    data: DataConfig = DataConfig()
    sft: SFTConfig = SFTConfig()
    rl_math: RLConfig = RLConfig()
    rl_code: RLConfig = RLConfig()
    eval: EvalConfig = EvalConfig()
    traces: TracesConfig = TracesConfig()
    report: ReportConfig = ReportConfig()

    @model_validator(mode="after")
    def _something_to_start_from(self) -> Self:
        if not self.model.path and not self.sft.steps and not self.sft.epochs and (self.rl_math.steps or self.rl_code.steps):
            raise ValueError("sft.steps=0: must be above 0 where model.path names no model that RL could start from")
        return self

    @model_validator(mode="after")
    def _room(self) -> Self:
        for name, section in (("rl_math", self.rl_math), ("rl_code", self.rl_code)):
            if not self.model.path and section.max_new_tokens >= self.model.max_position:
                raise ValueError(f"{name}.max_new_tokens={section.max_new_tokens}: must be below model.max_position={self.model.max_position}")
        return self


SECTIONS: dict[str, type[Section]] = {
    name: info.annotation
    for name, info in Config.model_fields.items()
    if isinstance(info.annotation, type) and issubclass(info.annotation, Section)
}

PRESETS: dict[str, dict[str, Any]] = {
    "paper": {"reward": "paper", "std": "population", "aggregation": "token_mean", "dual_clip_c": 0.0, "filter_by": "reward", "positive_by": "accuracy"},
    "release": {"reward": "release", "std": "unbiased", "aggregation": "klear_microbatch", "dual_clip_c": 10.0, "filter_by": "acc", "positive_by": "reward"},
}
"""Where the paper and the released code differ (rewards: rewards.py; the rest: training/)."""


def preset_differences() -> dict[str, tuple[Any, Any]]:
    """Field → (paper, release), for the manifest and the report."""
    return {name: (value, PRESETS["release"][name]) for name, value in PRESETS["paper"].items()}


def fields() -> Iterator[tuple[str, str, FieldInfo]]:
    """(section, name, field) of everything that can be set on the command line."""
    for section, model in SECTIONS.items():
        for name, info in model.model_fields.items():
            yield section, name, info


def profile_names() -> list[str]:
    """The profiles that come with the project."""
    return sorted(path.stem for path in PROFILES.glob("*.toml"))


def load_config(profile: str, overrides: Mapping[str, str], stored: Path | None = None) -> Config:
    """Read a profile and apply overrides.

    Args:
        profile: name or TOML file; empty: the configuration at `stored`, a run's `config.toml`.
        overrides: dotted field → text from the command line, such as `sft.lr` → `1e-3`.

    Raises:
        ConfigError: what is wrong, in one line.
    """
    values = _read_toml(stored if not profile and stored else _profile_path(profile or "smoke"))
    if profile:
        values.setdefault("profile", Path(profile).stem)
    preset = values.get("preset", "none")
    if isinstance(preset, str) and preset in PRESETS:
        for section in ("rl_math", "rl_code"):
            if isinstance(values.setdefault(section, {}), dict):
                values[section] = PRESETS[preset] | values[section]
    for dotted, text in overrides.items():
        section, _, name = dotted.partition(".")
        if section not in SECTIONS or name not in SECTIONS[section].model_fields:
            raise ConfigError(f"{dotted}={text!r}: unknown field; {_nearest(section, name)}")
        values.setdefault(section, {})[name] = _parsed(SECTIONS[section].model_fields[name], text)
    try:
        return Config.model_validate(values)
    except ValidationError as error:
        raise ConfigError(_one_line(error)) from None


def _parsed(info: FieldInfo, text: str) -> Any:
    """Command-line text as the field expects it; pydantic checks and converts the scalars."""
    if "tuple" in str(info.annotation):
        return [part.strip() for part in text.split(",") if part.strip()]
    return text


def _profile_path(profile: str) -> Path:
    path = Path(profile)
    if path.suffix == ".toml":
        if not path.is_file():
            raise ConfigError(f"profile={profile!r}: no such file")
        return path
    if profile not in profile_names():
        raise ConfigError(f"profile={profile!r}: allowed are {', '.join(profile_names())}, or a TOML file")
    return PROFILES / f"{profile}.toml"


def _read_toml(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: not TOML ({error})") from None


def _nearest(section: str, name: str) -> str:
    from difflib import get_close_matches

    known = [f"{known_section}.{field}" for known_section, field, _ in fields()]
    close = get_close_matches(f"{section}.{name}", known, n=3)
    if section in SECTIONS and not close:
        return f"section {section} has {', '.join(SECTIONS[section].model_fields)}"
    return f"did you mean {' or '.join(close)}?" if close else f"sections are {', '.join(SECTIONS)}"


def _one_line(error: ValidationError) -> str:
    """The first error of pydantic as `field=value: what is allowed`."""
    first = error.errors()[0]
    where = ".".join(str(part) for part in first["loc"])
    message = first["msg"].removeprefix("Value error, ").removeprefix("Input ")
    if first["type"] == "extra_forbidden":
        section, _, name = where.rpartition(".")
        return f"{where}={first['input']!r}: unknown key; {_nearest(section, name)}"
    if first["type"] == "value_error":
        return f"{where}: {message}" if where else message
    others = f" (and {error.error_count() - 1} more)" if error.error_count() > 1 else ""
    return f"{where}={first['input']!r}: {message}{others}"


def dump_toml(config: Config) -> str:
    """The whole configuration as TOML, every field."""
    lines = []
    values = config.model_dump(mode="json")
    lines += [f"{name} = {_toml(value)}" for name, value in values.items() if not isinstance(value, dict)]
    for section in SECTIONS:
        lines += ["", f"[{section}]"]
        lines += [f"{name} = {_toml(value)}" for name, value in values[section].items()]
    return "\n".join(lines) + "\n"


def _toml(value: Any) -> str:
    import json

    if value is None:
        return '""'  # TOML has no null (`Unset`)
    if isinstance(value, list):
        return "[" + ", ".join(_toml(item) for item in value) + "]"
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)  # inf, nan: not as JSON writes them
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
