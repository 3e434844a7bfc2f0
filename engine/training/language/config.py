"""What a run of a language model is made of, as a JSON file."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from engine.errors import ConfigError
from engine.models.bert import Bert, BertConfig
from engine.models.char_lm import CharLM, CharLMConfig
from engine.models.gpt import GPT, GPTConfig
from engine.training.config import read_run
from engine.training.language.masking import SHORTEST_PAIR
from engine.weights import from_json

CONFIGS = Path(__file__).parent / "configs"
LanguageConfig = GPTConfig | BertConfig | CharLMConfig
LanguageModel = GPT | Bert | CharLM


@dataclass(frozen=True, slots=True)
class LanguageTraining:
    """One run of `saccade train` for a language model.

    Attributes:
        name: of the model that comes out.
        model: its shape; one that names characters is a character LSTM's, one that names a norm a BERT's.
        batch: sequences of a step.
        length: tokens of a sequence; of a BERT the most of a pair of texts.
        updates: after which the run ends, if its minutes suffice; 0 for as many as they allow.
        optimizer: "muon" for the matrices between layers and AdamW for all else, or "adamw" for all.
        peak_rate: learning rate after warm-up.
        warmup: share of the run in which the rate rises from 0; it falls linearly to 0 in the rest.
        averaged: share of the run, at its end, whose snapshots are averaged into the result.
        weight_decay: the optimizers'.
        seed: of initial weights and the order of the text.
    """

    name: str
    model: LanguageConfig
    batch: int = 16
    length: int = 256
    updates: int = 0
    optimizer: Literal["muon", "adamw"] = "muon"
    peak_rate: float = 3e-3
    warmup: float = 0.03
    averaged: float = 0.1
    weight_decay: float = 0.01
    seed: int = 1

    def __post_init__(self) -> None:
        if not 0 < self.warmup < 1 or not 0 <= self.averaged < 1:
            raise ConfigError("warmup and averaged are shares between 0 and 1.")
        if self.batch < 1 or self.length < 2 or self.updates < 0:
            raise ConfigError("batch is at least 1 sequence, length at least 2 tokens, updates 0 or more.")
        if self.optimizer not in ("muon", "adamw"):
            raise ConfigError(f"optimizer {self.optimizer!r}: choose muon or adamw.")
        if self.peak_rate <= 0 or self.weight_decay < 0:
            raise ConfigError("peak_rate is above 0, weight_decay 0 or more.")
        if isinstance(self.model, BertConfig) and self.length < SHORTEST_PAIR:
            raise ConfigError(f"length {self.length}: a pair of texts takes {SHORTEST_PAIR} tokens at least.")
        if not isinstance(self.model, CharLMConfig) and self.length > self.model.context:
            raise ConfigError(f"length {self.length}: the model sees {self.model.context} tokens at most.")


def language_config(values: Mapping[str, Any], where: str) -> LanguageConfig:
    """A shape from JSON, of the model that its keys are of.

    Raises:
        ConfigError: unknown keys, impossible values.
    """
    kind = CharLMConfig if "characters" in values else BertConfig if "norm" in values else GPTConfig
    return from_json(kind, values, where)  # type: ignore[return-value]


def language_model(config: LanguageConfig) -> LanguageModel:
    """The model of a shape, with random weights."""
    if isinstance(config, CharLMConfig):
        return CharLM(config)
    return Bert(config) if isinstance(config, BertConfig) else GPT(config)


def read_config(name: str) -> LanguageTraining:
    """The configuration in a file, or the shipped one of that name.

    Raises:
        ConfigError: no such file, no JSON, unknown keys, impossible values.
    """
    return read_run(name, CONFIGS, language_config, LanguageTraining)
