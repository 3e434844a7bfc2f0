"""A training run to the files that ship, with what rounding to float16 changed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from engine.catalogue import ModelCard
from engine.models.autocomplete import Autocomplete, AutocompleteConfig
from engine.training.autocomplete.run import WORDS
from engine.training.autocomplete.scores import read
from engine.training.autocomplete.text import HELD_OUT, Text, encode, find_text, read_books, split_held_out
from engine.training.export import finished, ship, training_record
from engine.training.run import RECORD
from engine.weights import WEIGHTS, from_json, load_weights

COMPARED = 500  # sequences on which outputs before and after rounding are compared


def export(run: Path, card: ModelCard, data: Path) -> dict[str, Any]:
    """Write weights (float16), configuration, words, curve and the record of the run into the model's asset folder.

    Where the run went on from the weights that ship, their curve and record stay before its own.

    Args:
        run: folder of a finished run.
        card: which model this becomes.
        data: folder with the texts; the held-out one is read.

    Returns:
        "sha256" by file name, to be put into the catalogue, and what `rounding` found.

    Raises:
        ConfigError: the run is not finished, the text is missing, or the weights that it went on from were replaced.
    """
    record = finished(run, WORDS)
    config = from_json(AutocompleteConfig, record["config"]["model"], RECORD)
    books = read_books(find_text(data, HELD_OUT))
    text = split_held_out(encode(books, (run / WORDS).read_text("utf-8").split()))[0]

    def compare(rounded: Path) -> dict[str, Any]:
        return rounding(config, (run / WEIGHTS, rounded), text, record["config"]["length"])

    about = training_record(run, record, lambda: Autocomplete(config), "characters", "words")
    initial = identity(card, record["initial"])
    return ship(run, card, WORDS, record, initial, about, compare)


def identity(card: ModelCard, initial: str | None) -> str | None:
    """`card.identity` if a run went on from the weights with that checksum, which are the model's."""
    return card.identity if initial is not None and initial == card.sha256.get(WEIGHTS) else None


def rounding(config: AutocompleteConfig, weights: tuple[Path, Path], text: Text, length: int) -> dict[str, Any]:
    """The most probable words with the weights before and after rounding: share changed, and both cross-entropies.

    Args:
        config: of the model.
        weights: float32, and rounded.
        text: its first `COMPARED` sequences are read.
        length: the most characters of a sequence.
    """
    bounds = text.tile(length)[:COMPARED]
    part = text.slice(0, int((text.starts < bounds[-1, 1]).sum()))
    readings = []
    for path in weights:
        model = Autocomplete(config)
        load_weights(model, path)
        readings.append(read(model, part, length))
    before, after = readings
    counted = before.counted
    return {
        "sequences": len(bounds),
        "characters": int(counted.sum()),
        "outputs_changed": round(float((before.best != after.best)[counted].mean()), 5),
        "cross_entropy_before": round(float(before.surprise[counted].mean()), 5),
        "cross_entropy_after": round(float(after.surprise[counted].mean()), 5),
    }
