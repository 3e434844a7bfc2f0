"""A training run to the files that ship, with what rounding to float16 changed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch

from engine.model_card import ModelCard
from engine.models.bert import BertConfig
from engine.models.char_lm import CharLMConfig
from engine.text import Subwords
from engine.training.autocomplete.export import identity
from engine.training.export import finished, ship, training_record
from engine.training.language.config import LanguageConfig, LanguageModel, language_config, language_model
from engine.training.language.masking import IGNORED, draw_pairs
from engine.training.language.prepared import ALPHABET, encode_characters, encode_subwords
from engine.training.language.scores import PAIRS_SEED, held_out_books
from engine.training.run import RECORD
from engine.weights import TOKENIZER, WEIGHTS, load_weights, read_json

COMPARED = 500  # windows, or pairs, on which outputs before and after rounding are compared
LENGTH = 128  # the most of their tokens
BATCH = 50


def export(run: Path, card: ModelCard, data: Path) -> dict[str, Any]:
    """Write weights (float16), configuration, vocabulary, curve and the record of the run into the model's folder.

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
    vocabulary = ALPHABET if (run / ALPHABET).is_file() else TOKENIZER
    record = finished(run, vocabulary)
    config = language_config(record["config"]["model"], RECORD)
    books, _ = held_out_books(data)

    def compare(rounded: Path) -> dict[str, Any]:
        length = min(LENGTH, record["config"]["length"])
        return rounding(config, (run / WEIGHTS, rounded), run / vocabulary, books[0], length)

    about = training_record(run, record, lambda: language_model(config), "text")
    initial = identity(card, record["initial"])
    return ship(run, card, vocabulary, record, initial, about, compare)


def rounding(
    config: LanguageConfig, weights: tuple[Path, Path], vocabulary: Path, book: str, length: int
) -> dict[str, Any]:
    """The most probable tokens with the weights before and after rounding: share changed, and both cross-entropies.

    Args:
        config: of the model.
        weights: float32, and rounded.
        vocabulary: the tokenizer, or the alphabet.
        book: where the first windows, or pairs, are from.
        length: their tokens.
    """
    batches = _batches(config, vocabulary, book, length)
    found = []
    for path in weights:
        model = language_model(config).eval().requires_grad_(False)
        load_weights(model, path)
        found.append(_read(model, batches))
    (best, before), (other, after) = found
    return {
        "outputs": len(best),
        "outputs_changed": round(float((best != other).mean()), 5),
        "cross_entropy_before": round(before, 5),
        "cross_entropy_after": round(after, 5),
    }


def _batches(config: LanguageConfig, vocabulary: Path, book: str, length: int) -> list[tuple[torch.Tensor, ...]]:
    """Ids and targets of windows; of a BERT ids, segments and targets of pairs."""
    if isinstance(config, BertConfig):
        stream, rng = encode_subwords([book], Subwords.load(vocabulary)), np.random.default_rng(PAIRS_SEED)
        drawn = [draw_pairs(stream, rng, BATCH, length, config.vocabulary) for _ in range(COMPARED // BATCH)]
        return [tuple(torch.from_numpy(a) for a in (pairs.ids, pairs.segments, pairs.targets)) for pairs in drawn]
    if isinstance(config, CharLMConfig):
        ids = encode_characters([book], tuple(read_json(vocabulary)["characters"]))
    else:
        ids = encode_subwords([book], Subwords.load(vocabulary)).ids
    rows = torch.from_numpy(ids[: (len(ids) - 1) // length * length + 1].astype(np.int64))
    read, wanted = rows[:-1].unflatten(0, (-1, length))[:COMPARED], rows[1:].unflatten(0, (-1, length))[:COMPARED]
    return list(zip(read.split(BATCH), wanted.split(BATCH), strict=True))


def _read(model: LanguageModel, batches: list[tuple[torch.Tensor, ...]]) -> tuple[np.ndarray, float]:
    """The most probable token wherever one is asked for, and the mean cross-entropy there in nats."""
    best, nats = [], []
    for *inputs, targets in batches:
        answer = model(*inputs)
        logits = answer[0] if isinstance(answer, tuple) else answer
        asked = targets != IGNORED
        chosen = logits[asked].float()
        best.append(chosen.argmax(-1).numpy())
        nats.append(torch.nn.functional.cross_entropy(chosen, targets[asked], reduction="none").numpy())
    return np.concatenate(best), float(np.concatenate(nats).mean())
