"""How far back a network of word completion looks, measured on books that it has not learned from."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch

from engine.characters import ALPHABET
from engine.connectivity import connectivity
from engine.errors import ConfigError
from engine.memorization import (
    MOST_KNOWN,
    DistanceProfile,
    agreement_by_position,
    influence_by_distance,
    memorization_score,
    with_mode,
)
from engine.models.autocomplete import Autocomplete
from engine.training.autocomplete.scores import LENGTH
from engine.training.autocomplete.text import HELD_OUT, OUTSIDE, Text, encode, find_text, read_books, split_held_out
from engine.types import ConnectedText
from engine.weights import sha256_of

PASSAGES = 60
RESAMPLES = 10_000
MODES = ("one-hot", "squared")
DIGITS = 6  # behind the point


class Network(Protocol):
    """What is needed of a completer."""

    @property
    def model(self) -> Autocomplete:
        """In evaluation mode."""

    @property
    def words(self) -> tuple[str, ...]:
        """What can come out, most frequent first."""


def memorization_scores(
    completer: Network, data: Path, report: Callable[[int], None] = lambda done: None
) -> dict[str, Any]:
    """Memorization on `PASSAGES` passages from the books of data/english that no run learns from.

    They are from the part that scores are measured on, of at most 200 characters, whole words, evenly spread. Each is
    read from nothing, and each character's row is about its own word; words outside the vocabulary have no rows. The
    definitions are those of `engine.memorization`. Intervals are 95 %, by the bootstrap over passages.

    Args:
        completer: a network and its vocabulary.
        data: folder with english/gutenberg.valid.txt, plain or .xz.
        report: called with the number of passages read since the last call.

    Returns:
        "passages"; "characters" read; "rows" among them that count; for each of "one-hot" and "squared" what
        `mode_scores` gives; for the Transformer "agreement" as of `agreement_scores`; "file_sha256" of the books.

    Raises:
        ConfigError: the file is missing, or none of its words is in the vocabulary.
    """
    path = find_text(data, HELD_OUT)
    text = split_held_out(encode(read_books(path), completer.words))[1]
    bounds = passages(text, PASSAGES, LENGTH)
    if not len(bounds):
        raise ConfigError(f"{path} is too short, or has no word of this network's. Give another --data.")
    attentive = completer.model.config.cell == "transformer"
    read: list[ConnectedText] = []
    agreement: list[np.ndarray] = []
    for connected in connected_passages(completer, text, bounds):
        read.append(connected)
        if attentive:
            agreement.append(_agreement(completer.model, connected))
        report(1)
    scores: dict[str, Any] = {"passages": len(read), "characters": sum(map(len, read))}
    scores["rows"] = sum(influence_by_distance(one, 0).rows for one in read)
    for mode in MODES:
        scores[mode] = mode_scores([with_mode(one, mode) for one in read], LENGTH - 1)
    if attentive:
        scores["agreement"] = agreement_scores(agreement)
    return {**scores, "file_sha256": sha256_of(path)}


def passages(text: Text, count: int, length: int) -> np.ndarray:
    """Evenly spread sequences of whole words, of those that have a word of the vocabulary; all if there are fewer.

    Args:
        text: to cut from.
        count: how many.
        length: the most characters of one.

    Returns:
        int64 (passages, 2): where each starts, at a space, and ends.
    """
    if not len(text.words):
        return np.empty((0, 2), dtype=np.int64)
    bounds = text.tile(length)
    bounds = bounds[[bool((text.targets[start:end] != OUTSIDE).any()) for start, end in bounds]]
    taken = min(count, len(bounds))
    return bounds[((np.arange(taken) + 0.5) * len(bounds) / max(1, taken)).astype(int)]


def connected_passages(completer: Network, text: Text, bounds: np.ndarray) -> Iterator[ConnectedText]:
    """The passages with their connectivity in the mode "one-hot", about the desired words; without suggestions."""
    for start, end in bounds:
        ids, words = text.characters[start:end].tolist(), text.targets[start:end].tolist()
        desired = tuple("" if word == OUTSIDE else completer.words[word] for word in words)
        found = connectivity(completer.model, ids, words, "one-hot")
        letters = "".join(ALPHABET[index - 1] for index in ids)
        yield ConnectedText("", letters, desired, ((),) * len(ids), desired, found)


def mode_scores(texts: Sequence[ConnectedText], longest: int) -> dict[str, Any]:
    """What texts in one mode say together.

    Args:
        texts: at least one.
        longest: distance.

    Returns:
        "mean_lag" in characters and its "mean_lag_interval"; "distance", mean shares by distance 0 to `longest`, None
        where there is none; "memorization": "by_known" mean shares outside the word by 0 to 8 known letters, their
        "intervals", and the "counts" of rows.
    """
    profiles = [influence_by_distance(text, longest) for text in texts]
    whole = sum(profiles[1:], profiles[0])
    lag, lag_interval = _with_interval([[one.lag] for one in profiles], [[one.rows] for one in profiles])
    scores = [memorization_score(text, MOST_KNOWN) for text in texts]
    totals, rows = ([[getattr(one, part) for one in score] for score in scores] for part in ("total", "rows"))
    shares, intervals = _with_interval(totals, rows)
    return {
        "mean_lag": lag[0],
        "mean_lag_interval": lag_interval[0],
        "distance": _distances(whole),
        "memorization": {"by_known": shares, "intervals": intervals, "counts": np.sum(rows, axis=0).tolist()},
    }


def agreement_scores(found: Sequence[np.ndarray]) -> dict[str, Any]:
    """Mean rank correlation of attention with the gradient's rows, over positions with at least 10 earlier characters.

    Args:
        found: for each passage float64 (2, T): with the mean over all layers and heads, and over the last layer's
            heads; NaN where there is none.

    Returns:
        For "all_layers" and "last_layer" the "mean", its "interval", and the "positions" that count; None where there
        are none.
    """
    totals, counts = [np.nansum(one, axis=1) for one in found], [np.isfinite(one).sum(axis=1) for one in found]
    columns = zip(*_with_interval(totals, counts), np.sum(counts, axis=0).tolist(), strict=True)
    return {
        name: {"mean": mean, "interval": interval, "positions": positions}
        for name, (mean, interval, positions) in zip(("all_layers", "last_layer"), columns, strict=True)
    }


@torch.inference_mode()
def _agreement(model: Autocomplete, text: ConnectedText) -> np.ndarray:
    """float64 (2, T), see `agreement_scores`."""
    device = model.embedding.weight.device
    ids = torch.tensor([[ALPHABET.index(letter) + 1 for letter in text.text]], device=device)
    heads = model.forward_with_maps(ids).decoder[:, 0].double().mean(dim=1).cpu().numpy()  # (layer, T, T)
    return np.stack([agreement_by_position(text, attention) for attention in (heads.mean(axis=0), heads[-1])])


def _distances(profile: DistanceProfile) -> list[float | None]:
    return [_rounded(share) for share in profile.shares]


def _with_interval(
    totals: Sequence[Sequence[float] | np.ndarray], counts: Sequence[Sequence[int] | np.ndarray]
) -> tuple[list[float | None], list[list[float | None]]]:
    """Means over the rows of all passages, Σ total / Σ count, and their 95 % intervals.

    Source: Efron and Tibshirani 1993, "An Introduction to the Bootstrap", chapter 13 (the percentile interval).
    Passages are drawn with replacement, since rows of one passage resemble each other.

    Args:
        totals: (passage, K), sums over a passage's rows.
        counts: (passage, K), its rows.

    Returns:
        K means and K pairs of low and high; None where no passage has rows.
    """
    sums, rows = np.asarray(totals, dtype=np.float64), np.asarray(counts, dtype=np.float64)
    size = len(sums)
    drawn = np.random.default_rng(0).multinomial(size, np.full(size, 1 / size), size=RESAMPLES)  # (resample, passage)
    with np.errstate(invalid="ignore", divide="ignore"):
        means, resampled = sums.sum(axis=0) / rows.sum(axis=0), (drawn @ sums) / (drawn @ rows)
    intervals: list[list[float | None]] = []
    for column in resampled.T:
        kept = column[np.isfinite(column)]  # a resample without such rows says nothing of them
        intervals.append([_rounded(edge) for edge in np.percentile(kept, [2.5, 97.5])] if len(kept) else [None, None])
    return [_rounded(mean) for mean in means], intervals


def _rounded(value: float) -> float | None:
    return round(float(value), DIGITS) if np.isfinite(value) else None
