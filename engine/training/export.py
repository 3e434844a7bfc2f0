"""`saccade export`: a training run to the files that ship, with what rounding to float16 changed."""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from torch import nn

from engine.cards import CURVE, TRAINING
from engine.catalogue import ModelCard
from engine.errors import ConfigError
from engine.models.translator import NativeConfig, translator, translator_config
from engine.runner import Runner
from engine.text import Subwords
from engine.training.data import Pair
from engine.training.evaluate import bleu, require_sacrebleu
from engine.training.run import RECORD
from engine.weights import (
    CONFIG,
    TOKENIZER,
    WEIGHTS,
    load_weights,
    read_json,
    save_weights,
    sha256_of,
    write_json,
)

LOG = "log.jsonl"


def export(run: Path, card: ModelCard, pairs: Sequence[Pair]) -> dict[str, Any]:
    """Write weights (float16), tokenizer, configuration, curve and the record of the run into the model's asset folder.

    Args:
        run: folder of a finished run.
        card: which model this becomes.
        pairs: sentences on which outputs before and after rounding are compared.

    Returns:
        "sha256" by file name, to be put into the catalogue, and what `rounding` found.

    Raises:
        ConfigError: the run is not finished.
        InputError: sacrebleu is not installed.
    """
    require_sacrebleu()
    record = finished(run, TOKENIZER)
    config = translator_config(record["config"]["model"], RECORD)

    def compare(rounded: Path) -> dict[str, Any]:
        return rounding(config, card, (run / WEIGHTS, rounded), run / TOKENIZER, pairs)

    return ship(
        run,
        card,
        TOKENIZER,
        record,
        record["initial"],
        training_record(run, record, lambda: translator(config), "pairs"),
        compare,
    )


def finished(run: Path, vocabulary: str) -> dict[str, Any]:
    """The record of a finished run.

    Args:
        run: its folder.
        vocabulary: the file in it that tells what token ids mean.

    Raises:
        ConfigError: a file is missing.
    """
    missing = [name for name in (WEIGHTS, vocabulary, LOG, RECORD) if not (run / name).is_file()]
    if missing:
        raise ConfigError(f"{run} is no finished run: {missing[0]} is missing. Finish it with `saccade train` first.")
    return read_json(run / RECORD)


def ship(
    run: Path,
    card: ModelCard,
    vocabulary: str,
    record: Mapping[str, Any],
    initial: str | None,
    about: Mapping[str, Any],
    compare: Callable[[Path], dict[str, Any]],
) -> dict[str, Any]:
    """Write a finished run of any family into the model's asset folder.

    Where it went on from the weights that ship, their curve and record stay before its own.

    Args:
        run: its folder.
        card: which model it becomes.
        vocabulary: the file that tells what token ids mean.
        record: of the run.
        initial: `name@sha256[:8]` of the shipped weights that it went on from; None for none.
        about: what the card says of the run.
        compare: what rounding changed, of the rounded weights' path.

    Returns:
        "sha256" by file name, to be put into the catalogue, and what `compare` found as "rounding".

    Raises:
        ConfigError: the weights that the run went on from were replaced.
    """
    with tempfile.TemporaryDirectory() as temporary:  # the shipped files change only once all is measured
        folder = Path(temporary)
        save_weights(safetensors.torch.load_file(run / WEIGHTS), folder / WEIGHTS)
        write_json(folder / CONFIG, record["config"]["model"])
        shutil.copyfile(run / vocabulary, folder / vocabulary)
        before = earlier_runs(card, initial)
        write_curve(run / LOG, card.folder / CURVE if before else None, folder / CURVE)
        found = compare(folder / WEIGHTS)
        write_json(folder / TRAINING, {**about, "rounding": found} | ({"before": before} if before else {}))
        card.folder.mkdir(parents=True, exist_ok=True)
        for file in folder.iterdir():
            shutil.copyfile(file, card.folder / file.name)
    return {
        "sha256": {name: sha256_of(card.folder / name) for name in (WEIGHTS, vocabulary, CONFIG)},
        "rounding": found,
    }


def earlier_runs(card: ModelCard, initial: str | None) -> list[dict[str, Any]]:
    """The records of the runs that made the shipped weights, if the new run went on from these, first to last."""
    if initial is None or initial != card.identity:
        return []
    if sha256_of(card.folder / WEIGHTS) != card.sha256[WEIGHTS]:
        raise ConfigError(
            f"The weights of {card.name} are no longer those that the run went on from: it may have been exported "
            f"already. Put the checksums printed then into the catalogue, or get the files back with `git checkout`."
        )
    record = read_json(card.folder / TRAINING)
    before = record.pop("before", [])
    return [*before, record]


def write_curve(log: Path, earlier: Path | None, path: Path) -> None:
    """The run's log; behind the earlier run's, its steps, tokens and minutes count on from there."""
    lines = [json.loads(line) for line in earlier.read_text("utf-8").splitlines()] if earlier else []
    start = {key: lines[-1][key] if lines else 0 for key in ("step", "tokens", "minutes")}
    for line in map(json.loads, log.read_text("utf-8").splitlines()):
        lines.append(line | {key: round(line[key] + start[key], 2) for key in start})
    path.write_text("".join(f"{json.dumps(line)}\n" for line in lines), "utf-8")


def training_record(run: Path, record: Mapping[str, Any], model: Callable[[], nn.Module], *read: str) -> dict[str, Any]:
    """What the card says of the run: command, time, hardware, tokens, size, settings.

    Args:
        run: its folder.
        record: of the run.
        model: makes one of the same shape.
        read: which of the record's entries say what text was learnt from.
    """
    last = json.loads((run / LOG).read_text("utf-8").splitlines()[-1])
    with torch.device("meta"):  # shapes only, no memory
        parameters = sum(parameter.numel() for parameter in model().parameters())
    return {
        **{key: record[key] for key in ("command", "hardware", "torch", "initial", *read)},
        **{key: last[key] for key in ("minutes", "tokens")},
        "steps": last["step"],
        "parameters": parameters,
        "settings": {key: value for key, value in record["config"].items() if key not in ("model", "name")},
    }


@torch.inference_mode()
def rounding(
    config: NativeConfig, card: ModelCard, weights: tuple[Path, Path], tokenizer: Path, pairs: Sequence[Pair]
) -> dict[str, Any]:
    """Greedy outputs with the weights before and after rounding: share changed, and both BLEU scores."""
    outputs = []
    for path in weights:
        model = translator(config).eval()
        load_weights(model, path)
        outputs.append(
            Runner(card, model, Subwords.load(tokenizer), "cpu").translate([english for english, _ in pairs])
        )
    before, after = (bleu(texts, [french for _, french in pairs])["bleu"] for texts in outputs)
    changed = sum(a != b for a, b in zip(*outputs, strict=True)) / len(pairs)
    return {"sentences": len(pairs), "outputs_changed": round(changed, 4), "bleu_before": before, "bleu_after": after}
