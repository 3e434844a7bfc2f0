"""From a configuration and text to averaged weights and scores in a run folder."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from torch import Tensor

from engine.errors import ConfigError
from engine.models.autocomplete import Autocomplete
from engine.training.autocomplete.config import AutocompleteTraining
from engine.training.autocomplete.loop import Progress, train
from engine.training.autocomplete.prepared import Prepared, load_prepared, prepare, save_prepared
from engine.training.autocomplete.scores import autocomplete_scores
from engine.training.config import to_json
from engine.training.run import RECORD, hardware
from engine.weights import CONFIG, WEIGHTS, load_weights, read_json, sha256_of, write_json

PREPARED, WORDS, SCORES = "prepared.npz", "words.txt", "scores.json"


def run_training(
    config: AutocompleteTraining,
    run: Path,
    minutes: float,
    *,
    data: Path | None = None,
    prepared: Path | None = None,
    initial: Path | None = None,
    device: str = "cpu",
    command: str = "",
    report: Callable[[Progress], None] = lambda progress: None,
) -> dict[str, Any]:
    """Train or resume, write the averaged float32 weights, and measure them.

    The folder gets `weights.safetensors`, `config.json` (the model's shape), `words.txt` (the vocabulary, one word a
    line, in the order of the outputs), `run.json` (the record), `log.jsonl`, `scores.json`, `checkpoint.safetensors`
    to go on from, and `prepared.npz` where `prepared` is not given.

    Args:
        config: the run.
        run: the run folder, which a later call resumes.
        minutes: the most that the whole schedule takes.
        data: folder with the texts; read the first time only.
        prepared: what `prepare` made of them, instead.
        initial: folder of a run or a shipped model to start from: its weights.
        device: "cpu", "cuda" or "mps".
        command: what a reader would type to repeat the run, for the model's card.
        report: called every few seconds.

    Returns:
        The scores of the averaged weights.

    Raises:
        ConfigError: neither data nor prepared text, or the folder holds a run of other settings.
    """
    run.mkdir(parents=True, exist_ok=True)
    text, file = read_prepared(config, run, data, prepared)
    record_run(config, run, text, file, initial, {"command": command, "hardware": hardware(device)})
    weights = train(
        config, text.train, text.validation, run, minutes,
        initial=load_initial(config, initial, text.vocabulary) if initial else None, device=device, report=report,
    )  # fmt: skip
    safetensors.torch.save_file(weights, run / WEIGHTS)
    model = Autocomplete(config.model)
    load_weights(model, run / WEIGHTS)
    scores = autocomplete_scores(model.to(device), text.vocabulary, text.test, config.length)
    scores["file_sha256"] = text.held_out_sha256
    write_json(run / SCORES, scores)
    return scores


def read_prepared(
    config: AutocompleteTraining, run: Path, data: Path | None, prepared: Path | None
) -> tuple[Prepared, Path]:
    """The text of a run and its file: the given one, the one in the run's folder, or one made now from the data.

    Raises:
        ConfigError: there is none of them, or it was made for another vocabulary.
    """
    file = prepared or run / PREPARED
    if not prepared and not file.is_file():
        if data is None:
            raise ConfigError("There is no text to learn from. Give --data DIR, or --prepared FILE of another run.")
        save_prepared(prepare(data, config.model.words), file)
    text = load_prepared(file)
    if len(text.vocabulary) != config.model.words:
        raise ConfigError(
            f"{file} has {len(text.vocabulary)} words, and {config.name} wants {config.model.words}. "
            f"Prepare the text again with --words {config.model.words}."
        )
    return text, file


def record_run(
    config: AutocompleteTraining,
    run: Path,
    text: Prepared,
    file: Path,
    initial: Path | None,
    about: Mapping[str, Any],
) -> None:
    """Write the record, the model's shape and its vocabulary, or check that the folder holds the same run.

    Raises:
        ConfigError: it holds a run of other settings, another text or another start.
    """
    identity = {
        "config": to_json(config),
        "initial": sha256_of(initial / WEIGHTS) if initial and (initial / WEIGHTS).is_file() else None,
        "vocabulary": len(text.vocabulary),
        "characters": len(text.train),
        "words": len(text.train.words),
        "prepared_sha256": sha256_of(file),
    }
    if (run / RECORD).is_file():
        record = read_json(run / RECORD)
        if {key: record.get(key) for key in identity} != json.loads(json.dumps(identity)):
            raise ConfigError(f"{run} holds a run with other settings. Give another --out, or delete that folder.")
        return
    write_json(run / RECORD, {**identity, **about, "torch": torch.__version__})
    write_json(run / CONFIG, to_json(config.model))
    (run / WORDS).write_text("".join(f"{word}\n" for word in text.vocabulary), "utf-8")


def load_initial(config: AutocompleteTraining, folder: Path, vocabulary: tuple[str, ...]) -> dict[str, Tensor]:
    """Float32 weights of another run or shipped model, checked to tell the same words apart.

    Raises:
        ConfigError: its vocabulary differs or is missing.
        WeightsMissing, WeightsDamaged: its weights are not there, or of another shape.
    """
    words = folder / WORDS
    if not words.is_file() or tuple(words.read_text("utf-8").split()) != vocabulary:
        raise ConfigError(
            f"{folder} has another vocabulary than the text (see {WORDS}). Start from a run on the same prepared text."
        )
    model = Autocomplete(config.model)
    load_weights(model, folder / WEIGHTS)
    return model.state_dict()
