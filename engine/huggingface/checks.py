"""Whether the files of a model are safe to load: looked at one by one before any library opens them."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from engine.errors import ConfigError, ModelError, Unsupported, WeightsDamaged, WeightsMissing
from engine.huggingface.files import LARGEST_JSON, check_files, is_there, name_of, read_object
from engine.huggingface.headers import Stored, read_header
from engine.huggingface.hub import INDEX, SINGLE, in_other_formats
from engine.huggingface.source import CONFIG, Place, kind_of

OURS = "weights.safetensors"
LARGEST_CONFIG = 1_000_000  # bytes
MOST_LAYERS, MOST_OF_ANYTHING = 1000, 2**40
COUNTED = 100_000  # the most labels, heads or experts that a config may name
MOST_TENSORS = 200_000  # of all files together
LARGEST_VOCABULARY = 100_000_000  # bytes of a tokenizer.json: room for more than a million pieces
MOST_STEPS = 64  # of what a tokenizer does to a text, one after the other
LONGEST_CONTENT = 16  # characters that a tokenizer puts in place of others
MOST_GROWTH = 256  # how many times as long a text may become by all of them
TOKENIZERS = ("tokenizer*", "vocab*", "*.model", "*.spm", "words.txt", "words.json", "alphabet.json", "spiece*")


@dataclass(frozen=True, slots=True)
class Checked:
    """The files of a model, none of them loaded yet.

    Attributes:
        name: what the model is called on screens.
        folder: where they are.
        kind: who saved them.
        config: what config.json says.
        weights: the safetensors files, in the index's order.
        tensors: dtype and shape of every tensor, by name.
        bytes: of all tensors, as they are stored.
        parameters: elements of all tensors but those of positions and masks, as they are stored: of a quantised model
            several weights can be one.
    """

    name: str
    folder: Path
    kind: Place
    config: Mapping[str, Any]
    weights: tuple[Path, ...]
    tensors: Mapping[str, Stored]
    bytes: int
    parameters: int

    @property
    def dtypes(self) -> tuple[str, ...]:
        """The dtypes of the tensors, that with the most bytes first."""
        sizes: Counter[str] = Counter()
        for tensor in self.tensors.values():
            sizes[tensor.dtype] += tensor.bytes
        return tuple(dtype for dtype, _ in sizes.most_common())

    @property
    def quantised(self) -> str | None:
        """How the weights were quantised ("bitsandbytes", "gptq", …); None where they were not."""
        settings = self.config.get("quantization_config")
        return str(settings.get("quant_method") or "quantised") if isinstance(settings, dict) else None


def check_folder(folder: Path, name: str = "") -> Checked:
    """Look at every file that loading a model would open. Nothing is loaded, no code of the folder is run.

    Args:
        folder: with a config.json, tokenizer files, and safetensors weights in one file or in shards with an index.
        name: what the model is called in messages; without one the folder's name.

    Raises:
        WeightsMissing: no weights, no tokenizer, or a shard is not there.
        WeightsDamaged: a file is not what it should be, or it leads out of the folder.
        Unsupported: only pickled weights, a model that needs code of its own, or an unknown architecture.
        ConfigError: the configuration is no JSON object, too large, or has impossible values.
    """
    name = name or name_of(folder)
    check_files(folder)
    kind = kind_of(folder)
    config = read_object(folder / CONFIG, LARGEST_CONFIG)
    _check_config(config)
    if kind == "huggingface":
        _check_architecture(config, name)
        _check_companions(folder, name)
    files = (folder / OURS,) if kind == "saccade" else shards_of(folder, name)
    tensors = _tensors(folder, files)
    if not any(fnmatchcase(path.name, pattern) for path in folder.iterdir() for pattern in TOKENIZERS):
        raise WeightsMissing(f"{name} has no tokenizer files. Copy its tokenizer beside its weights.")
    return Checked(
        name=name,
        folder=folder,
        kind=kind,
        config=config,
        weights=files,
        tensors=tensors,
        bytes=sum(tensor.bytes for tensor in tensors.values()),
        parameters=sum(tensor.elements for tensor in tensors.values() if tensor.dtype not in ("I64", "BOOL")),
    )


def shards_of(folder: Path, name: str = "") -> tuple[Path, ...]:
    """The safetensors files of a transformers model: model.safetensors, or every shard that the index names.

    Raises:
        WeightsMissing: there are none, or a shard that the index names is not there.
        WeightsDamaged: the index names something that is no file of the folder.
        Unsupported: there are pickled weights only.
    """
    name = name or name_of(folder)
    if is_there(folder / SINGLE):
        return (folder / SINGLE,)
    if not is_there(folder / INDEX):
        raise _without_weights(folder, name)
    shards = tuple(dict.fromkeys(_weight_map(folder).values()))
    for shard in shards:
        if not re.fullmatch(r"[A-Za-z0-9_-][A-Za-z0-9._-]{0,200}\.safetensors", shard, re.ASCII):
            raise WeightsDamaged(
                f"{INDEX} names {shard[:80]!r}, which is no safetensors file of its own folder. "
                f"Copy the model's own {INDEX}."
            )
        if not is_there(folder / shard):
            raise WeightsMissing(f"{INDEX} names {shard}, which is not there. Download the model again.")
    return tuple(folder / shard for shard in shards)


# --- Configuration ----------------------------------------------------------------------------------------------------


def _check_config(config: Mapping[str, Any]) -> None:
    """Counts that no model has would fill the memory before a single weight is read."""
    for key, value in _settings(config):
        if type(value) is int:
            layers = re.search(r"(^|_)(n_)?(layers?|blocks)(_|$)", key) is not None
            counted = re.search(r"(^|_)(num_labels|heads?|experts|groups)(_|$)", key) is not None
            most = MOST_LAYERS if layers else COUNTED if counted else MOST_OF_ANYTHING
            if abs(value) > most:
                raise ConfigError(f"{CONFIG} sets {key[:80]} to an impossible value. Copy the model's own {CONFIG}.")
        if key.strip("_").startswith(("attn_implementation", "experts_implementation")) and "/" in str(value):
            raise Unsupported(f"{CONFIG} asks for code from elsewhere ({key}), which is never run here. Remove {key}.")
        if key == "architectures" and not (value is None or _are_strings(value)):
            raise ConfigError(f"{CONFIG} has architectures that are no list of names. Copy the model's own {CONFIG}.")
        if key == "transformers_weights":
            raise Unsupported(f"{CONFIG} names another file of weights ({key}), which is not followed. Remove {key}.")


def _are_strings(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(item, str) for item in value)


def _settings(values: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """Every key with its value, of nested objects and lists too; lists of numbers under their key."""
    waiting: list[tuple[str, Any]] = list(values.items())
    while waiting:
        key, value = waiting.pop()
        yield key, value
        if isinstance(value, dict):
            waiting += value.items()
        elif isinstance(value, list):
            waiting += [(f"{key}[]", item) for item in value if isinstance(item, dict | list)]


def _check_architecture(config: Mapping[str, Any], name: str) -> None:
    """The architecture is one that the library itself has: code beside the weights is never run."""
    family = config.get("model_type")
    known = _known_families()
    if isinstance(family, str) and family in known:
        return
    if config.get("auto_map"):
        raise Unsupported(
            f"{name} needs code that comes with its weights (auto_map), and such code is never run here. "
            "Choose a model whose architecture transformers has."
        )
    if not isinstance(family, str) or not family:
        raise ConfigError(f"{CONFIG} of {name} has no model_type. Copy the model's own {CONFIG}.")
    raise Unsupported(
        f"{name} is of the architecture {family[:80]!r}, which the installed transformers does not have. "
        "Upgrade it (pip install -U transformers), or choose another model."
    )


def _known_families() -> Mapping[str, object]:
    try:
        from transformers.models.auto.configuration_auto import CONFIG_MAPPING_NAMES
    except ImportError as error:
        message = "Hugging Face models need more packages. Install them: pip install 'saccade[hf]'"
        raise Unsupported(message) from error
    return CONFIG_MAPPING_NAMES


def _check_companions(folder: Path, name: str) -> None:
    """What could make the library open other files: adapters name another model, tokenizers other files."""
    if is_there(folder / "adapter_config.json"):
        raise Unsupported(
            f"{name} is an adapter on top of another model. Merge the two with peft's merge_and_unload, save the whole."
        )
    for file in ("tokenizer_config.json", "generation_config.json", "special_tokens_map.json", "added_tokens.json"):
        if is_there(folder / file):
            settings = read_object(folder / file, LARGEST_JSON)
            names = settings.get("fast_tokenizer_files") or []
            if not isinstance(names, list) or any("/" in str(item) or "\\" in str(item) for item in names):
                raise ConfigError(f"{file} names files outside its folder. Copy the model's own {file}.")
    for path in sorted(folder.glob("tokenizer*.json")):
        if path.name != "tokenizer_config.json":
            _check_growth(path, name)


def _check_growth(path: Path, name: str) -> None:
    """A tokenizer that puts long texts in place of short ones, step after step, would not end."""
    settings = read_object(path, LARGEST_VOCABULARY)
    for part in ("normalizer", "pre_tokenizer", "decoder"):
        steps = list(_steps(settings.get(part)))
        longest = max((len(step["content"]) for step in steps if isinstance(step.get("content"), str)), default=0)
        if len(steps) > MOST_STEPS or longest > LONGEST_CONTENT or math.prod(map(_growth, steps)) > MOST_GROWTH:
            raise ConfigError(
                f"The {part} in {path.name} of {name} could make a text too many times as long. "
                f"Copy the model's own {path.name}, or choose another model."
            )


def _steps(part: Any) -> Iterator[Mapping[str, Any]]:
    """What a part of a tokenizer does, sequences within sequences too."""
    waiting = [part]
    while waiting:
        step = waiting.pop()
        if isinstance(step, list):
            waiting += step
        elif isinstance(step, dict):
            yield step
            waiting += [value for value in step.values() if isinstance(value, list)]


def _growth(step: Mapping[str, Any]) -> int:
    """How many times as long a step may make a text: a pattern may match nothing, between any two characters."""
    if step.get("type") == "ByteLevel":
        return 2
    content, pattern = step.get("content"), step.get("pattern")
    if not isinstance(content, str) or not isinstance(pattern, dict) or not content:
        return 1
    exact = pattern.get("String")
    return -(-len(content) // len(exact)) if isinstance(exact, str) and exact else len(content) + 1


# --- Weights ----------------------------------------------------------------------------------------------------------


def _without_weights(folder: Path, name: str) -> ModelError:
    names = sorted(path.name for path in folder.iterdir())
    if refused := in_other_formats(names, name):
        return refused
    others = [file for file in names if file.endswith(".safetensors")]
    if others:
        return WeightsMissing(f"{name} has {others[0][:80]!r} and no {SINGLE} or {INDEX}. Copy all of its files.")
    return WeightsMissing(f"{name} has no weights. Copy its {SINGLE} beside its {CONFIG}.")


def _weight_map(folder: Path) -> dict[str, str]:
    """Which shard holds which tensor. The library wants the index's metadata too."""
    index = read_object(folder / INDEX, LARGEST_JSON)
    if not isinstance(index.get("metadata"), dict):
        raise WeightsDamaged(f"{INDEX} has no metadata, without which it is not read. Copy the model's own {INDEX}.")
    found = index.get("weight_map")
    if not isinstance(found, dict) or not found or not all(isinstance(shard, str) for shard in found.values()):
        raise WeightsDamaged(f"{INDEX} has no map of its tensors. Copy the file again.")
    return found


def _tensors(folder: Path, files: tuple[Path, ...]) -> dict[str, Stored]:
    """Every tensor of the files, which hold what the index says."""
    found: dict[str, Stored] = {}
    homes: dict[str, str] = {}
    for path in files:
        for tensor, stored in read_header(path).items():
            if tensor in found:
                raise WeightsDamaged(f"{tensor[:80]!r} is in {homes[tensor]} and in {path.name}. Download both again.")
            found[tensor] = stored
            homes[tensor] = path.name
        if len(found) > MOST_TENSORS:
            raise WeightsDamaged(f"There are more than {MOST_TENSORS:,} tensors, as in no model. Copy the model again.")
    if not found:
        raise WeightsDamaged(f"{files[0].name} holds no tensors. Download or copy the file again.")
    if files[0].name in (SINGLE, OURS):
        return found
    for tensor, shard in _weight_map(folder).items():
        if homes.get(tensor) != shard:
            raise WeightsDamaged(f"{shard} does not hold {tensor[:80]!r}, as {INDEX} says. Download both again.")
    return found
