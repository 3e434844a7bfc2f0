"""What a run of an autocomplete model is made of, as a JSON file."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from pathlib import Path

from engine.errors import ConfigError
from engine.models.autocomplete import AutocompleteConfig
from engine.training.config import read_run
from engine.weights import from_json

CONFIGS = Path(__file__).parent / "configs"


@dataclass(frozen=True, slots=True)
class AutocompleteTraining:
    """One run of `python -m engine.training.autocomplete`.

    The shipped five differ in the model, the peak rate and what makes a step fast; text, order, batches and epochs are
    the same. Those that end in -cpu read a part of the text once, in smaller batches.

    Attributes:
        name: of the model that comes out.
        model: its shape; `model.words` is also the size of the vocabulary.
        batch: sequences of a step.
        length: the most characters of a sequence.
        epochs: times that the text is read, if the minutes suffice; 0: as often as they do.
        peak_rate: AdamW's learning rate after warm-up.
        warmup: share of the run in which the rate rises from 0; it falls linearly to 0 in the rest.
        averaged: share of the run, at its end, whose snapshots are averaged into the result.
        weight_decay: AdamW's.
        sampled: share of the characters, drawn anew for each step, whose word counts in the loss: a CPU spends half of
            its time on the words, and neighbouring characters ask for the same one.
        bfloat16: matrix products of the forward and backward pass in bfloat16. The shipped recurrent configurations
            for a GPU leave it off, since their products are small there.
        graph: on a GPU, record the kernels of a step once and replay them: for a network that is a loop of many small
            ones.
        seed: of initial weights and the order of the text.
    """

    name: str
    model: AutocompleteConfig
    batch: int = 512
    length: int = 200
    epochs: float = 0.0
    peak_rate: float = 2e-3
    warmup: float = 0.03
    averaged: float = 0.1
    weight_decay: float = 0.01
    sampled: float = 1.0
    bfloat16: bool = False
    graph: bool = False
    seed: int = 1

    def __post_init__(self) -> None:
        if not 0 < self.warmup < 1 or not 0 <= self.averaged < 1:
            raise ConfigError("warmup and averaged are shares between 0 and 1.")
        if not 0 < self.sampled <= 1:
            raise ConfigError("sampled is a share above 0, and 1 at most.")
        if self.batch < 1 or self.length < 2:
            raise ConfigError("batch is at least 1 sequence, length at least 2 characters: a space and a letter.")
        if self.epochs < 0 or self.peak_rate <= 0 or self.weight_decay < 0:
            raise ConfigError("epochs and weight_decay are 0 or more, peak_rate is above 0.")


def read_config(name: str) -> AutocompleteTraining:
    """The configuration in a file, or the shipped one of that name.

    Raises:
        ConfigError: no such file, no JSON, unknown keys, impossible values.
    """
    return read_run(name, CONFIGS, partial(from_json, AutocompleteConfig), AutocompleteTraining)
