"""A checkpoint of Saccade's own training, of any family that ships, opened from its folder."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from engine.catalogue import MODELS
from engine.errors import ConfigError, WeightsMissing
from engine.model_card import Family, ModelCard
from engine.weights import CONFIG, WEIGHTS, read_json, sha256_of

if TYPE_CHECKING:
    from engine.huggingface.source import Located
    from engine.loading import Model

VOCABULARIES: Mapping[Family, str] = {
    "transformer": "tokenizer.model",
    "seq2seq": "tokenizer.model",
    "gpt": "tokenizer.model",
    "bert": "tokenizer.model",
    "char-lm": "alphabet.json",
    "autocomplete": "words.txt",
}
"""The file that tells what token ids mean, by family."""


def open_checkpoint(located: Located, device: str = "auto") -> Model:
    """Load a folder with weights.safetensors, config.json and the file of the vocabulary.

    Raises:
        WeightsMissing, WeightsDamaged, ConfigError, DeviceError: each says what to do.
    """
    from engine.loading import load_any

    return load_any(card_of(located.folder, located.name), device)


def card_of(folder: Path, name: str) -> ModelCard:
    """What is known of a checkpoint before it is loaded: its family by its configuration's keys.

    Raises:
        WeightsMissing: a file is not there.
        ConfigError: no family has such a configuration.
    """
    config = read_json(folder / CONFIG)
    family = family_of(config)
    files = (WEIGHTS, VOCABULARIES[family], CONFIG)
    if missing := [file for file in files if not (folder / file).is_file()]:
        raise WeightsMissing(f"{name} has no {missing[0]}. Put the one of the same training run into its folder.")
    shipped = like(family, config)
    return ModelCard(
        name=name,
        family=family,
        title=name,
        summary=f"A checkpoint of the kind of {shipped.name}.",
        sha256={file: sha256_of(folder / file) for file in files},
        supports=shipped.supports,
        longest=int(config.get("context", shipped.longest) if family in ("gpt", "bert") else shipped.longest),
        data=(),
        licence="",
        limits=(),
        path=folder,
    )


def family_of(config: Mapping[str, Any]) -> Family:
    """The family whose configurations have such keys.

    Raises:
        ConfigError: none has.
    """
    if "cell" in config:
        return "autocomplete"
    if "attention" in config:
        return "seq2seq"
    if "encoder_layers" in config:
        return "transformer"
    if "context" in config and "heads" in config:
        return "bert" if "norm" in config else "gpt"
    if "characters" in config:
        return "char-lm"
    raise ConfigError("The configuration is of no model that Saccade trains. Give the folder of a finished run.")


def like(family: Family, config: Mapping[str, Any]) -> ModelCard:
    """The card of a model that ships and is of the same kind, down to its cell or its attention."""
    kind = config.get("cell", config.get("attention"))
    alike = [card for card in MODELS.values() if card.family == family]
    return next((card for card in alike if kind and card.name.endswith(f"-{kind}")), alike[0])
