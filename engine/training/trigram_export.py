"""Counts to the files that ship."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import torch

from engine.cards import TRAINING
from engine.errors import ConfigError
from engine.model_card import ModelCard
from engine.training.run import RECORD, hardware
from engine.weights import read_json, sha256_of, write_json


def export(run: Path, card: ModelCard) -> dict[str, Any]:
    """Copy the table, its words and its configuration into the model's folder, with the record of the count.

    Args:
        run: folder that `engine.training.trigram.train_trigram` wrote.
        card: which model this becomes.

    Returns:
        "sha256" by file name, to be put into the catalogue, and "rounding", which is empty: counts are whole numbers.

    Raises:
        ConfigError: the run is not finished.
    """
    missing = [name for name in (*card.sha256, RECORD) if not (run / name).is_file()]
    if missing:
        raise ConfigError(f"{run} holds no finished count: {missing[0]} is missing. Run `saccade train trigram` first.")
    record = read_json(run / RECORD)
    card.folder.mkdir(parents=True, exist_ok=True)
    for name in card.sha256:
        shutil.copyfile(run / name, card.folder / name)
    made = {
        "command": "saccade train trigram --data DIR",
        "hardware": hardware("cpu"),
        "torch": torch.__version__,
        "initial": None,
        "minutes": round(record["seconds"] / 60, 2),
        "tokens": record["tokens"],
        "entries": record["table"],
        "parameters": sum(record["table"].values()),
        "settings": {key: value for key, value in record["config"].items() if key != "name"},
        "rounding": {},
    }
    write_json(card.folder / TRAINING, made)
    return {"sha256": {name: sha256_of(card.folder / name) for name in card.sha256}, "rounding": {}}
