"""`saccade train`: from a configuration and data to averaged weights in a run folder."""

from __future__ import annotations

import json
import logging
import os
import platform
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import safetensors
import safetensors.torch
import torch

from engine.catalogue import card
from engine.errors import ConfigError
from engine.models.seq2seq import Seq2SeqConfig
from engine.text import Subwords
from engine.training.config import TrainingConfig, to_json
from engine.training.data import (
    GRAMMAR,
    Batch,
    Corpus,
    Example,
    batches,
    collate,
    load_corpora,
    read_pairs,
    read_training_pairs,
    save_corpora,
    tokenize,
    train_tokenizer,
)
from engine.training.loop import Progress, train
from engine.weights import TOKENIZER, WEIGHTS, read_json, verify, write_json

RECORD, CORPORA, VALIDATION = "run.json", "corpora.npz", "validation.npz"
VALIDATION_BATCH = 64
VECTORS = "embedding.tokens.weight"
log = logging.getLogger("saccade")


@dataclass(frozen=True, slots=True)
class Start:
    """A shipped model to go on from: its `name@sha256[:8]` and its folder."""

    identity: str
    folder: Path


def prepare(
    config: TrainingConfig, data: Path, run: Path, initial: Start | None = None, about: Mapping[str, Any] | None = None
) -> TrainingConfig:
    """Write tokenizer, tokenized pairs and the record of the run into its folder, or check that it is the same run.

    Args:
        config: the run.
        data: folder with en-fr/train.tsv(.xz) and en-fr/valid.tsv; read the first time only.
        run: where the files go.
        initial: the model to go on from; its tokenizer is kept.
        about: what else the record should say (command, hardware).

    Returns:
        The configuration with the sources that the data really has.

    Raises:
        ConfigError: the folder holds a run of another configuration or start, or the token vectors do not fit.
    """
    run.mkdir(parents=True, exist_ok=True)
    identity = {"config": to_json(config), "initial": initial.identity if initial else None}
    if (run / RECORD).is_file():
        record = read_json(run / RECORD)
        if {key: record.get(key) for key in identity} != json.loads(json.dumps(identity)):
            raise ConfigError(f"{run} holds a run with other settings. Give another --out, or delete that folder.")
    else:
        pairs = _write_corpora(config, data, run, _given_tokenizer(config, initial))
        write_json(run / RECORD, {**identity, "pairs": pairs, **(about or {})})
    return with_available_sources(config, load_corpora(run / CORPORA))


def _given_tokenizer(config: TrainingConfig, initial: Start | None) -> Path | None:
    """That of the model that a run starts from, or whose token vectors it takes; None for one of its own.

    Raises:
        ConfigError, UnknownModel, WeightsMissing, WeightsDamaged: the token vectors are not there or do not fit; said
            before any time goes into the texts.
    """
    if initial:
        return initial.folder / TOKENIZER
    if not config.vectors:
        return None
    token_vectors(config)
    return card(config.vectors).folder / TOKENIZER


def _write_corpora(config: TrainingConfig, data: Path, run: Path, tokenizer: Path | None) -> dict[str, int]:
    """Tokenizer and tokenized pairs; returns how many pairs each source has."""
    pairs = read_training_pairs(data)
    model = tokenizer.read_bytes() if tokenizer else train_tokenizer(pairs, config.model.vocabulary)
    (run / TOKENIZER).write_bytes(model)
    subwords = Subwords(model)
    wanted = {name: rows for name, rows in pairs.items() if name in config.mixture}
    corpora = {name: tokenize(rows, subwords, config.longest) for name, rows in wanted.items()}
    save_corpora(corpora, run / CORPORA)
    valid = tokenize(read_pairs(data / "en-fr" / "valid.tsv")[:1000], subwords, config.longest)
    save_corpora({"valid": valid}, run / VALIDATION)
    return {name: len(corpus) for name, corpus in corpora.items()}


def validation_batches(run: Path) -> list[Batch]:
    """The held-out pairs whose loss the log follows."""
    corpus = load_corpora(run / VALIDATION)["valid"]
    examples = [Example(s.tolist(), t.tolist()) for s, t in (corpus.pair(i) for i in range(len(corpus)))]
    examples.sort(key=lambda example: len(example.target))
    return [collate(examples[i : i + VALIDATION_BATCH]) for i in range(0, len(examples), VALIDATION_BATCH)]


def with_available_sources(config: TrainingConfig, corpora: Mapping[str, Corpus]) -> TrainingConfig:
    """The same run without the sources that the data lacks: their share goes to the others, and the log says so.

    Raises:
        ConfigError: no source of sentence pairs is left.
    """
    there = [name for name, corpus in corpora.items() if len(corpus)]
    missing = [name for name in config.mixture if name not in there and name not in GRAMMAR]
    mixture = {name: share for name, share in config.mixture.items() if name not in missing}
    if missing and not set(mixture) - set(GRAMMAR):
        raise ConfigError(f"The data has no pairs of {' or '.join(missing)}. Run `saccade fetch-data DIR` to get some.")
    if missing:
        log.warning("Not in the data and left out: %s", ", ".join(missing))
    return replace(config, mixture=mixture)


def run_training(
    config: TrainingConfig,
    data: Path,
    run: Path,
    minutes: float,
    *,
    initial: Start | None = None,
    device: str = "cpu",
    command: str = "",
    report: Callable[[Progress], None] = lambda progress: None,
) -> Path:
    """Prepare (once), train or resume, and write `weights.safetensors`: the averaged float32 weights.

    Args:
        config: the run.
        data: the data folder; not read again once `run` is prepared.
        run: the run folder, which a later call resumes.
        minutes: wall-clock length of the whole schedule.
        initial: a model to go on from (its tokenizer is kept).
        device: "cpu", "cuda" or "mps".
        command: what a reader would type to repeat the run, for the model's card.
        report: called every few seconds.

    Returns:
        The path of the weights.
    """
    about = {"command": command, "hardware": hardware(device), "torch": torch.__version__}
    config = prepare(config, data, run, initial, about)
    stream = partial(batches, config, load_corpora(run / CORPORA), Subwords.load(run / TOKENIZER))
    start = None
    if initial:
        start = {name: t.float() for name, t in safetensors.torch.load_file(initial.folder / WEIGHTS).items()}
    vectors = token_vectors(config) if config.vectors and not initial else None
    averaged = train(
        config, stream, validation_batches(run), run, minutes,
        initial=start, vectors=vectors, device=device, report=report,
    )  # fmt: skip
    path = run / WEIGHTS
    safetensors.torch.save_file(averaged, path)
    return path


def token_vectors(config: TrainingConfig) -> torch.Tensor:
    """Those of the shipped model that the configuration names, float32 (vocabulary, width).

    Raises:
        ConfigError: they have another shape, or the model has none of subwords.
        UnknownModel, WeightsMissing, WeightsDamaged: there is no such model here.
    """
    found = card(config.vectors)
    if TOKENIZER not in found.sha256:
        raise ConfigError(f"vectors: {found.name} does not read subwords. Name a model that does, or leave it out.")
    verify(found)
    with safetensors.safe_open(found.folder / WEIGHTS, framework="pt") as file:
        vectors: torch.Tensor = file.get_tensor(VECTORS).float()
    model = config.model
    wanted = (model.vocabulary, model.embedding if isinstance(model, Seq2SeqConfig) else model.width)
    if vectors.shape != wanted:
        raise ConfigError(
            f"The token vectors of {found.name} are {tuple(vectors.shape)}; this configuration asks for {wanted}. "
            "Change its model, or leave vectors out."
        )
    return vectors


def hardware(device: str) -> str:
    """What a run computes on, in words."""
    if device == "cuda":
        return torch.cuda.get_device_name()
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text("utf-8").splitlines() if cpuinfo.is_file() else []
    names = [line.split(":")[1].strip() for line in lines if line.startswith("model name")]
    return f"{os.cpu_count()} cores of {names[0] if names else platform.processor() or platform.machine()}"
