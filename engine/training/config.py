"""What a training run is made of, as a JSON file."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from engine.errors import ConfigError
from engine.models.translator import NativeConfig, translator_config
from engine.weights import from_json

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

R = TypeVar("R")
MOST_PIECES = 65_535  # tokenized text is kept as 16-bit numbers
CONFIGS = Path(__file__).parent / "configs"


@dataclass(frozen=True, slots=True)
class TrainingConfig:
    """One run of `saccade train`.

    Attributes:
        name: of the model that comes out.
        model: its shape, that of a recurrent translator where it names an attention; `model.vocabulary` is also the
            tokenizer's size.
        mixture: share of sentence pairs drawn from each source of the training file; "pronouns" and "pronouns_who" are
            the pronoun grammar, plain and with the tag that asks for the pronoun's noun.
        batch_tokens: source plus target tokens per step, padding included.
        longest: pairs with more tokens than this on either side are left out.
        peak_rate: AdamW's learning rate after warm-up.
        warmup: share of the run in which the rate rises from 0; it falls linearly to 0 in the rest.
        averaged: share of the run, at its end, whose snapshots are averaged into the result.
        smoothing: label smoothing.
        antecedent_weight: weight of the auxiliary loss (the pronoun's noun, told from the encoder's output at the
            pronoun), times pronouns per sentence of the batch; a recurrent translator has none.
        updates: after which the run ends, if its minutes suffice; 0 for as many as they allow.
        vectors: a shipped model whose tokenizer and token vectors it starts from; "" for its own and random ones.
        seed: of initial weights and order of the data.
    """

    name: str
    model: NativeConfig
    mixture: Mapping[str, float] = field(default_factory=dict)
    batch_tokens: int = 6144
    longest: int = 72
    peak_rate: float = 1e-3
    warmup: float = 0.04
    averaged: float = 0.08
    smoothing: float = 0.1
    antecedent_weight: float = 0.0
    updates: int = 0
    vectors: str = ""
    seed: int = 1

    def __post_init__(self) -> None:
        if not isinstance(self.mixture, Mapping):
            raise ConfigError('mixture: give an object of shares by source, for example {"tatoeba": 1}.')
        if self.model.vocabulary > MOST_PIECES:
            raise ConfigError(f"vocabulary {self.model.vocabulary}: the most is {MOST_PIECES}.")
        if not self.mixture or any(share < 0 for share in self.mixture.values()) or sum(self.mixture.values()) <= 0:
            raise ConfigError("mixture: give at least one source of the training data a share above 0.")
        if not 0 < self.warmup < 1 or not 0 <= self.averaged < 1 or not 0 <= self.smoothing < 1:
            raise ConfigError("warmup, averaged and smoothing are shares between 0 and 1.")
        if self.updates < 0:
            raise ConfigError("updates: give their number, or 0 for as many as the minutes allow.")
        if self.batch_tokens < 2 * self.longest:
            raise ConfigError(f"batch_tokens {self.batch_tokens} cannot hold one pair of {self.longest} tokens a side.")


def read_config(name: str) -> TrainingConfig:
    """The training configuration in a file, or the shipped one of that name.

    Raises:
        ConfigError: no such file, no JSON, unknown keys, impossible values.
    """
    return read_run(name, CONFIGS, translator_config, TrainingConfig)


def read_run(name: str, folder: Path, shape: Callable[[Mapping[str, Any], str], object], run: type[R]) -> R:
    """A run of some family, whose "model" is that family's shape.

    Args:
        name: of a .json file, or of one in the folder without its suffix.
        folder: of the shipped ones.
        shape: gives what "model" becomes, of its values and where they stand.
        run: what the whole becomes.

    Raises:
        ConfigError: no such file, no JSON, unknown keys, impossible values.
    """
    path = Path(name) if name.endswith(".json") else folder / f"{name}.json"
    if not path.is_file():
        shipped = ", ".join(sorted(file.stem for file in folder.glob("*.json")))
        raise ConfigError(f"There is no configuration {name!r}. Give a .json file or one of: {shipped}.")
    try:
        values = json.loads(path.read_text("utf-8"))
    except json.JSONDecodeError as error:
        raise ConfigError(f"{path.name} is not valid JSON: {error}.") from error
    if not isinstance(values, dict) or not isinstance(values.get("model"), dict):
        raise ConfigError(f"{path.name} needs a JSON object with a 'model' object inside.")
    values["model"] = shape(values["model"], f"{path.name}, model")
    return from_json(run, values, path.name)


def to_json(config: DataclassInstance) -> dict[str, Any]:
    """A run or a shape as `read_run` takes it."""
    return asdict(config)
