"""A training run to the files that ship, with what rounding to float16 changed."""

from __future__ import annotations

import json
import shutil
import tempfile
from pathlib import Path
from typing import Any

import safetensors.torch
import torch

from engine.cards import CURVE, TRAINING
from engine.catalogue import ModelCard
from engine.errors import ConfigError
from engine.models.autocomplete import Autocomplete, AutocompleteConfig
from engine.training.autocomplete.checkpoint import LOG
from engine.training.autocomplete.run import WORDS
from engine.training.autocomplete.scores import read
from engine.training.autocomplete.text import HELD_OUT, Text, encode, find_text, read_books, split_held_out
from engine.training.export import earlier_runs, write_curve
from engine.training.run import RECORD
from engine.weights import CONFIG, WEIGHTS, from_json, load_weights, read_json, save_weights, sha256_of, write_json

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
    missing = [name for name in (WEIGHTS, CONFIG, WORDS, LOG, RECORD) if not (run / name).is_file()]
    if missing:
        raise ConfigError(f"{run} is no finished run: {missing[0]} is missing. Give it more --minutes to finish first.")
    record, config = read_json(run / RECORD), from_json(AutocompleteConfig, read_json(run / CONFIG), CONFIG)
    books = read_books(find_text(data, HELD_OUT))
    text = split_held_out(encode(books, (run / WORDS).read_text("utf-8").split()))[0]
    length = record["config"]["length"]
    with tempfile.TemporaryDirectory() as temporary:  # the shipped files change only once all is measured
        folder = Path(temporary)
        save_weights(safetensors.torch.load_file(run / WEIGHTS), folder / WEIGHTS)
        write_json(folder / CONFIG, record["config"]["model"])
        shutil.copyfile(run / WORDS, folder / WORDS)
        before = earlier_runs(card, identity(card, record["initial"]))
        write_curve(run / LOG, card.folder / CURVE if before else None, folder / CURVE)
        found = rounding(config, (run / WEIGHTS, folder / WEIGHTS), text, length)
        made = training_record(config, run, record) | {"rounding": found}
        write_json(folder / TRAINING, made | ({"before": before} if before else {}))
        card.folder.mkdir(parents=True, exist_ok=True)
        for file in folder.iterdir():
            shutil.copyfile(file, card.folder / file.name)
    return {"sha256": {name: sha256_of(card.folder / name) for name in (WEIGHTS, WORDS, CONFIG)}, "rounding": found}


def identity(card: ModelCard, initial: str | None) -> str | None:
    """`card.identity` if a run went on from the weights with that checksum, which are the model's."""
    return card.identity if initial is not None and initial == card.sha256.get(WEIGHTS) else None


def training_record(config: AutocompleteConfig, run: Path, record: dict[str, Any]) -> dict[str, Any]:
    """What the card says of the run: command, time, hardware, characters read, size, settings."""
    last = json.loads((run / LOG).read_text("utf-8").splitlines()[-1])
    settings = {key: value for key, value in record["config"].items() if key not in ("model", "name")}
    with torch.device("meta"):  # shapes only
        parameters = sum(parameter.numel() for parameter in Autocomplete(config).parameters())
    return {
        **{key: record[key] for key in ("command", "hardware", "torch", "initial", "characters", "words")},
        **{key: last[key] for key in ("minutes", "tokens")},
        "steps": last["step"],
        "parameters": parameters,
        "settings": settings,
    }


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
