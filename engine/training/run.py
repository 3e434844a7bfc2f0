"""`saccade train`: from a configuration and data to averaged weights in a run folder."""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection
from dataclasses import replace
from functools import partial
from pathlib import Path

import safetensors.torch

from engine.errors import ConfigError
from engine.text import Subwords
from engine.training.config import TrainingConfig
from engine.training.data import (
    GRAMMAR,
    Batch,
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

VALIDATION_BATCH = 64
log = logging.getLogger("saccade")


def prepare(config: TrainingConfig, data: Path, run: Path, tokenizer: Path | None = None) -> None:
    """Write `tokenizer.model`, `corpora.npz` and `validation.npz` into the run folder, unless they are there.

    Args:
        config: the run.
        data: folder with en-fr/train.tsv(.xz) and en-fr/valid.tsv.
        run: where the files go.
        tokenizer: a sentencepiece model to use instead of training one, when continuing a model.
    """
    run.mkdir(parents=True, exist_ok=True)
    if (run / "validation.npz").is_file():
        return
    pairs = read_training_pairs(data)
    model = tokenizer.read_bytes() if tokenizer else train_tokenizer(pairs, config.model.vocabulary)
    (run / "tokenizer.model").write_bytes(model)
    subwords = Subwords(model)
    wanted = {name: rows for name, rows in pairs.items() if name in config.mixture}
    save_corpora({name: tokenize(rows, subwords, config.longest) for name, rows in wanted.items()}, run / "corpora.npz")
    valid = tokenize(read_pairs(data / "en-fr" / "valid.tsv")[:1000], subwords, config.longest)
    save_corpora({"valid": valid}, run / "validation.npz")


def validation_batches(run: Path) -> list[Batch]:
    """The held-out pairs whose loss the log follows."""
    corpus = load_corpora(run / "validation.npz")["valid"]
    examples = [Example(s.tolist(), t.tolist()) for s, t in (corpus.pair(i) for i in range(len(corpus)))]
    examples.sort(key=lambda example: len(example.target))
    return [collate(examples[i : i + VALIDATION_BATCH]) for i in range(0, len(examples), VALIDATION_BATCH)]


def with_available_sources(config: TrainingConfig, sources: Collection[str]) -> TrainingConfig:
    """The same run without the sources that the data lacks: their share goes to the others, and the log says so.

    Raises:
        ConfigError: no source of sentence pairs is left.
    """
    missing = [name for name in config.mixture if name not in sources and name not in GRAMMAR]
    mixture = {name: share for name, share in config.mixture.items() if name not in missing}
    if not set(mixture) - set(GRAMMAR):
        raise ConfigError(
            f"The data has none of the sources {', '.join(missing)}; it has {', '.join(sorted(sources))}."
        )
    if missing:
        log.warning("Not in the data and left out: %s", ", ".join(missing))
    return replace(config, mixture=mixture)


def run_training(
    config: TrainingConfig,
    data: Path,
    run: Path,
    minutes: float,
    *,
    initial: Path | None = None,
    device: str = "cpu",
    report: Callable[[Progress], None] = lambda progress: None,
) -> Path:
    """Prepare (once), train or resume, and write `weights.safetensors`: the averaged float32 weights.

    Args:
        config: the run.
        data: the data folder; not read again once `run` is prepared.
        run: the run folder, which a later call resumes.
        minutes: wall-clock length of the whole schedule.
        initial: folder of a model to continue from (its tokenizer is kept).
        device: "cpu", "cuda" or "mps".
        report: called every few seconds.

    Returns:
        The path of the weights.
    """
    prepare(config, data, run, initial / "tokenizer.model" if initial else None)
    tokenizer = Subwords.load(run / "tokenizer.model")
    corpora = load_corpora(run / "corpora.npz")
    config = with_available_sources(config, corpora)
    stream = partial(batches, config, corpora, tokenizer)
    start = None
    if initial:
        start = {name: t.float() for name, t in safetensors.torch.load_file(initial / "weights.safetensors").items()}
    averaged = train(config, stream, validation_batches(run), run, minutes, initial=start, device=device, report=report)
    path = run / "weights.safetensors"
    safetensors.torch.save_file(averaged, path)
    return path
