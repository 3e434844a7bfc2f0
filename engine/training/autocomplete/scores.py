"""How well the word that is being typed is told, by the number of its letters that are known."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from engine.training.autocomplete.batches import cut
from engine.training.autocomplete.table import PrefixTable
from engine.training.autocomplete.text import HELD_OUT, OUTSIDE, Text, encode, find_text, read_books, split_held_out
from engine.weights import sha256_of

MOST_KNOWN = 8  # accuracies are reported for 0 to 8 known letters
TOP = 3
BATCH = 64
LENGTH = 200  # the most characters that a model reads at once


def autocomplete_scores(
    model: nn.Module,
    vocabulary: Sequence[str],
    text: Text,
    length: int,
    report: Callable[[int], None] = lambda done: None,
) -> dict[str, Any]:
    """Cross-entropy and top-1/2/3 accuracy of a model beside the prefix table's accuracy, over the same characters.

    The text is cut into sequences of whole words which the model reads apart. Characters of words outside the
    vocabulary are read, but not scored.

    Args:
        model: ids (B, T) to logits (B, T, words), on any device.
        vocabulary: most frequent first.
        text: what is typed.
        length: the most characters of a sequence.
        report: called with the number of sequences read since the last call.

    Returns:
        "cross_entropy" in nats per character; "accuracy" and "table", both as `accuracies` gives them; "counts" of
        characters by known letters; "characters", "words" and the share of words that are "outside" the vocabulary.
    """
    targets, known = text.targets, text.known
    reading = read(model, text, length, report)
    rank, counted = reading.rank, reading.counted
    table = PrefixTable(vocabulary).rank(targets[counted], known[counted])
    return {
        "characters": int(counted.sum()),
        "words": len(text.words),
        "outside": round(float((text.words == OUTSIDE).mean()), 4),
        "cross_entropy": round(float(reading.surprise[counted].mean()), 4),
        "counts": np.bincount(known[counted], minlength=MOST_KNOWN + 1)[: MOST_KNOWN + 1].tolist(),
        "accuracy": accuracies(rank[counted], known[counted]),
        "table": accuracies(table, known[counted]),
    }


def held_out_scores(
    model: nn.Module,
    vocabulary: Sequence[str],
    data: Path,
    length: int = LENGTH,
    report: Callable[[int], None] = lambda done: None,
) -> dict[str, Any]:
    """`autocomplete_scores` on the books of data/english that no run learns from, and their file's checksum.

    The part of them whose loss runs follow is left out.

    Raises:
        ConfigError: the file is missing or holds no words.
    """
    path = find_text(data, HELD_OUT)
    text = split_held_out(encode(read_books(path), vocabulary))[1]
    return {**autocomplete_scores(model, vocabulary, text, length, report), "file_sha256": sha256_of(path)}


def accuracies(rank: np.ndarray, known: np.ndarray) -> dict[str, Any]:
    """Share of characters at which the right word is among the first 1, 2 and 3.

    Args:
        rank: int (N,), place of the right word among the predictions, 0 for the first.
        known: int (N,), letters of it that have been typed.

    Returns:
        "overall": three shares; "by_known": for each of 1, 2 and 3, a list of shares by 0 to 8 known letters, None
        where there are none.
    """
    hits = rank[:, None] < np.arange(1, TOP + 1)  # (N, 3)
    counts = np.bincount(known, minlength=MOST_KNOWN + 1)
    by_known = [np.bincount(known, weights=column, minlength=MOST_KNOWN + 1) for column in hits.T]
    return {
        "overall": [round(float(share), 4) for share in hits.mean(axis=0)],
        "by_known": [
            [round(float(right[k] / counts[k]), 4) if counts[k] else None for k in range(MOST_KNOWN + 1)]
            for right in by_known
        ],
    }


@dataclass(frozen=True, slots=True)
class Reading:
    """What a model says at each character of a text.

    Attributes:
        counted: bool (N,), False where the word is outside the vocabulary or the character was cut off; the rest is
            0 there.
        surprise: float32 (N,), -log of the right word's probability, in nats.
        rank: int64 (N,), how many words are at least as probable as the right one.
        best: int64 (N,), the most probable word.
    """

    counted: np.ndarray
    surprise: np.ndarray
    rank: np.ndarray
    best: np.ndarray


@torch.inference_mode()
def read(model: nn.Module, text: Text, length: int, report: Callable[[int], None] = lambda done: None) -> Reading:
    """Let a model read a text in sequences of whole words, each apart."""
    counted, surprise = np.zeros(len(text), dtype=bool), np.zeros(len(text), dtype=np.float32)
    rank, best = np.zeros((2, len(text)), dtype=np.int64)
    device = next(model.parameters()).device
    was_training = model.training
    model.eval()
    bounds = text.tile(length)
    for first in range(0, len(bounds), BATCH):
        rows = bounds[first : first + BATCH]
        batch = cut(text, rows, length)
        inside = batch.targets != OUTSIDE
        logits = model(torch.from_numpy(batch.ids).to(device))[torch.from_numpy(inside).to(device)].float()  # (M, V)
        targets = torch.from_numpy(batch.targets[inside]).to(device)
        right = logits.gather(1, targets[:, None])
        at = (rows[:, :1] + np.arange(length))[inside]
        counted[at] = True
        surprise[at] = (logits.logsumexp(-1) - right[:, 0]).cpu().numpy()
        rank[at] = ((logits >= right).sum(-1) - 1).cpu().numpy()  # equals stand before it
        best[at] = logits.argmax(-1).cpu().numpy()
        report(len(rows))
    model.train(was_training)
    return Reading(counted, surprise, rank, best)
