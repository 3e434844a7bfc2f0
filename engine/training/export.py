"""`saccade export`: a training run to the files that ship, with what rounding to float16 changed."""

from __future__ import annotations

import json
import os
import platform
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import safetensors.torch
import torch

from engine.cards import CURVE, TRAINING
from engine.catalogue import ModelCard
from engine.decoding.search import greedy_many
from engine.models.transformer import Transformer
from engine.runner import LONGEST_OUTPUT, Runner
from engine.text import Subwords
from engine.training.config import TrainingConfig, to_json
from engine.training.data import Pair
from engine.training.evaluate import bleu
from engine.weights import CONFIG, TOKENIZER, WEIGHTS, load_weights, save_weights, sha256_of, write_json


def export(config: TrainingConfig, run: Path, card: ModelCard, command: str, pairs: Sequence[Pair]) -> dict[str, str]:
    """Write weights (float16), tokenizer, configuration, curve and the record of the run into the model's asset folder.

    Args:
        config: of the run.
        run: folder with `weights.safetensors`, `tokenizer.model` and `log.jsonl`.
        card: which model this becomes.
        command: what made the run, for the card.
        pairs: sentences on which outputs before and after rounding are compared.

    Returns:
        SHA-256 by file name, to be put into the catalogue.
    """
    folder = card.folder
    folder.mkdir(parents=True, exist_ok=True)
    weights = safetensors.torch.load_file(run / WEIGHTS)
    save_weights(weights, folder / WEIGHTS)
    shutil.copyfile(run / TOKENIZER, folder / TOKENIZER)
    shutil.copyfile(run / "log.jsonl", folder / CURVE)
    write_json(folder / CONFIG, to_json(config.model))
    write_json(
        folder / TRAINING, training_record(config, run, command) | {"rounding": rounding(config, run, card, pairs)}
    )
    return {name: sha256_of(folder / name) for name in card.sha256}


def training_record(config: TrainingConfig, run: Path, command: str) -> dict[str, Any]:
    """What the card says of the run: command, time, hardware, tokens, size, settings."""
    last = json.loads((run / "log.jsonl").read_text("utf-8").splitlines()[-1])
    model = Transformer(config.model)
    settings = {key: value for key, value in to_json(config).items() if key not in ("model", "name")}
    return {
        "command": command,
        "minutes": last["minutes"],
        "hardware": hardware(),
        "torch": torch.__version__,
        "steps": last["step"],
        "tokens": last["tokens"],
        "parameters": sum(parameter.numel() for parameter in model.parameters()),
        "settings": settings,
    }


def hardware() -> str:
    """The machine in words, for a card."""
    if torch.cuda.is_available():
        return torch.cuda.get_device_name()
    names = [line.split(":")[1].strip() for line in _cpuinfo() if line.startswith("model name")]
    return f"{os.cpu_count()} cores of {names[0] if names else platform.processor() or platform.machine()}"


def _cpuinfo() -> list[str]:
    path = Path("/proc/cpuinfo")
    return path.read_text("utf-8").splitlines() if path.is_file() else []


def rounding(config: TrainingConfig, run: Path, card: ModelCard, pairs: Sequence[Pair]) -> dict[str, Any]:
    """Greedy outputs with the float32 weights and with the shipped ones: share changed, and both BLEU scores."""
    outputs = []
    for path in (run / WEIGHTS, card.folder / WEIGHTS):
        model = Transformer(config.model).eval()
        load_weights(model, path)
        runner = Runner(card, model, Subwords.load(run / TOKENIZER), "cpu")
        sources = [runner.encode(english).ids for english, _ in pairs]
        ids = greedy_many(model, sources, runner.vocabulary, LONGEST_OUTPUT, "cpu")
        outputs.append([runner.tokenizer.decode(row) for row in ids])
    references = [french for _, french in pairs]
    before, after = (bleu(texts, references)["bleu"] for texts in outputs)
    changed = sum(a != b for a, b in zip(*outputs, strict=True)) / len(pairs)
    return {"sentences": len(pairs), "outputs_changed": round(changed, 4), "bleu_before": before, "bleu_after": after}
