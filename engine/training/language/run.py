"""From a configuration and prepared text to averaged weights in a run folder."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from torch import Tensor

from engine.errors import ConfigError, WeightsMissing
from engine.models.char_lm import CharLMConfig
from engine.training.checkpoint import CHECKPOINT
from engine.training.config import to_json
from engine.training.language.config import LanguageTraining, language_model
from engine.training.language.loop import Progress, train
from engine.training.language.prepared import ABOUT, ALPHABET, check_prepared, prepare
from engine.training.language.tasks import task_of
from engine.training.run import RECORD, hardware
from engine.weights import CONFIG, TOKENIZER, WEIGHTS, read_json, sha256_of, write_json

PREPARED = "prepared"


def run_training(
    config: LanguageTraining,
    run: Path,
    minutes: float,
    *,
    data: Path | None = None,
    prepared: Path | None = None,
    initial: Path | None = None,
    device: str = "cpu",
    command: str = "",
    report: Callable[[Progress], None] = lambda progress: None,
) -> Path:
    """Prepare (once), train or resume, and write `weights.safetensors`: the averaged float32 weights.

    The folder also gets the tokenizer or the alphabet, `config.json` (the model's shape), `run.json` (the record),
    `log.jsonl` and `checkpoint.safetensors` to go on from.

    Args:
        config: the run.
        run: the run folder, which a later call resumes.
        minutes: wall-clock length of the whole schedule.
        data: folder with the texts; read the first time only.
        prepared: folder with what `engine.training.language.prepared` made of them, instead.
        initial: folder of a run, finished or not, or a shipped model on the same vocabulary to start from. What the two
            models share is taken: a BERT can start from a GPT.
        device: "cpu", "cuda" or "mps".
        command: what a reader would type to repeat the run, for the model's card.
        report: called every few seconds.

    Returns:
        The path of the weights.

    Raises:
        ConfigError: neither data nor prepared text, or the folder holds a run of other settings.
    """
    run.mkdir(parents=True, exist_ok=True)
    folder = prepared_text(config, run, data, prepared, initial)
    config = fitted(config, folder)
    start = load_initial(config, folder, initial) if initial else None
    record_run(config, run, folder, initial, {"command": command, "hardware": hardware(device)})
    torch.manual_seed(config.seed)
    averaged = train(config, task_of(config, folder), run, minutes, initial=start, device=device, report=report)
    safetensors.torch.save_file(averaged, run / WEIGHTS)
    return run / WEIGHTS


def vocabulary_file(config: LanguageTraining) -> str:
    """The file that tells what token ids mean."""
    return ALPHABET if isinstance(config.model, CharLMConfig) else TOKENIZER


def prepared_text(
    config: LanguageTraining, run: Path, data: Path | None, prepared: Path | None, initial: Path | None
) -> Path:
    """The folder with the text of a run: the given one, the one in the run's folder, or one made now from the data.

    Raises:
        ConfigError: there is none of them.
    """
    folder = prepared or run / PREPARED
    if prepared:
        check_prepared(prepared / ABOUT)
    elif not (folder / ABOUT).is_file():
        if data is None:
            raise ConfigError("There is no text to learn from. Give --data DIR, or --prepared FOLDER.")
        tokenizer = initial / TOKENIZER if initial and (initial / TOKENIZER).is_file() else None
        prepare(data, folder, 0 if isinstance(config.model, CharLMConfig) else config.model.vocabulary, tokenizer)
    return folder


def fitted(config: LanguageTraining, folder: Path) -> LanguageTraining:
    """The run on a prepared text: a character model knows as many characters as the text has.

    Raises:
        ConfigError: the text was cut into another number of subwords.
    """
    known, model = read_json(folder / ABOUT)["vocabulary"], config.model
    if isinstance(model, CharLMConfig):
        return replace(config, model=replace(model, characters=known["characters"]))
    if known["subwords"] != model.vocabulary:
        raise ConfigError(
            f"{folder} has a vocabulary of {known['subwords']}, and {config.name} wants {model.vocabulary}. "
            "Prepare it again."
        )
    return config


def load_initial(config: LanguageTraining, folder: Path, initial: Path) -> dict[str, Tensor]:
    """Float32 weights of another run or shipped model with the same vocabulary.

    Raises:
        ConfigError: it has another vocabulary, or other shapes.
        WeightsMissing: it has no weights yet.
    """
    vocabulary = vocabulary_file(config)
    mine, other = folder / vocabulary, initial / vocabulary
    if not other.is_file() or sha256_of(mine) != sha256_of(other):
        raise ConfigError(f"{initial} has another {vocabulary} than the text. Start from a run on the same text.")
    shapes = {name: tensor.shape for name, tensor in language_model(config.model).state_dict().items()}
    path = initial_file(initial)
    found = {
        name.removeprefix("weight."): tensor.float()
        for name, tensor in safetensors.torch.load_file(path).items()
        if path.name == WEIGHTS or name.startswith("weight.")  # a checkpoint holds more than weights
    }
    for name, tensor in found.items():
        if tensor.shape != shapes.get(name, tensor.shape):
            raise ConfigError(
                f"{initial} has a {name} of {tuple(tensor.shape)}, and {config.name} one of {tuple(shapes[name])}. "
                "Start from a run of the same width, feedforward and context."
            )
    return found


def initial_file(initial: Path) -> Path:
    """The weights of a run or a shipped model; of a run that is not finished its checkpoint.

    Raises:
        WeightsMissing: there are neither.
    """
    for path in (initial / WEIGHTS, initial / CHECKPOINT):
        if path.is_file():
            return path
    raise WeightsMissing(f"{initial} has no {WEIGHTS} and no {CHECKPOINT}. Start from another run, or begin that one.")


def record_run(config: LanguageTraining, run: Path, folder: Path, initial: Path | None, about: dict[str, Any]) -> None:
    """Write the record, the model's shape and its vocabulary, or check that the folder holds the same run.

    Raises:
        ConfigError: it holds a run of other settings, another text or another start.
    """
    text = read_json(folder / ABOUT)
    identity = {
        "config": {**to_json(config), "model": asdict(config.model)},
        "initial": sha256_of(initial_file(initial)) if initial else None,
        "text": text,
        "vocabulary_sha256": sha256_of(folder / vocabulary_file(config)),
    }
    if (run / RECORD).is_file():
        record = read_json(run / RECORD)
        if {key: record.get(key) for key in identity} != json.loads(json.dumps(identity)):
            raise ConfigError(f"{run} holds a run with other settings. Give another --out, or delete that folder.")
        return
    write_json(run / RECORD, {**identity, **about, "torch": torch.__version__})
    write_json(run / CONFIG, asdict(config.model))
    shutil.copyfile(folder / vocabulary_file(config), run / vocabulary_file(config))
