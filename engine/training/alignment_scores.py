"""How well each cross head's attention aligns words, against hand-made links that no training has seen."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from engine.alignment import (
    LinkCounts,
    alignment_of,
    count_heads,
    detokenised,
    diagonal,
    error_rates,
    given_hits,
    interval,
    link_counts,
    precisions,
    recalls,
    resample,
    word_map,
)
from engine.errors import ConfigError, InputError
from engine.gold_links import ANNOTATORS, TASKS, read_alibi, read_transread
from engine.runner import Runner
from engine.types import AttentionMap, LinkedPair
from engine.weights import sha256_of

ALIBI = Path("word-alignment", "alibi")  # its one .xml file
TRANSREAD = Path("word-alignment", "English_French")
Report = Callable[[int], None]


@dataclass(frozen=True, slots=True)
class Measured:
    """The pairs of a collection that a model takes, and its cross map of each between the gold words.

    Attributes:
        pairs: those that it takes.
        maps: one for each pair, rows by the step that predicts; none where the model has no cross maps.
        reading: the same, rows by the step that reads.
        over_limit: how many pairs it does not take.
    """

    pairs: tuple[LinkedPair, ...]
    maps: tuple[AttentionMap, ...]
    reading: tuple[AttentionMap, ...]
    over_limit: int


def read_pairs_of(runner: Runner, pairs: Sequence[LinkedPair], report: Report) -> Measured:
    """Each pair's translation forced, and attention between its words.

    Raises:
        ConfigError: the model takes none of the pairs.
    """
    taken: list[LinkedPair] = []
    maps: list[AttentionMap] = []
    reading: list[AttentionMap] = []
    for pair in pairs:
        try:
            trace = runner.trace(detokenised(pair.source, "en")[0], detokenised(pair.target, "fr")[0])
        except InputError:
            report(1)
            continue
        taken.append(pair)
        if "cross" in trace.maps:
            maps.append(word_map(trace.maps["cross"], pair.source, pair.target))
            reading.append(word_map(trace.maps["cross"], pair.source, pair.target, "reads"))
        report(1)
    if not taken:
        raise ConfigError(f"{runner.card.name} takes none of the linked pairs. Give it shorter ones.")
    return Measured(tuple(taken), tuple(maps), tuple(reading), len(pairs) - len(taken))


def alignment_scores(runner: Runner, data: Path, report: Report) -> dict[str, Any]:
    """Alignment of every cross head on Alibi (error rate) and TransRead (accuracy on the links given).

    An alignment links each French word to the English word that gets most attention in the step that predicts it, the
    given translation forced. Intervals are 95 %, by bootstrap over sentence pairs (`engine.alignment.resample`). A head
    that is the best of many on the pairs it is scored on looks better than it is: "halves" has the head chosen on every
    other pair and scored on the rest, both ways. A model without cross maps has the baseline alone. "reading" has the
    best head and the halves with rows by the step that reads the French word instead (`engine.alignment.word_map`).

    Args:
        runner: the model.
        data: folder with word-alignment/alibi and word-alignment/English_French.
        report: called with 1 after each pair.

    Returns:
        JSON-ready scores, rounded; heads best first. "difference" is a head's error rate less the diagonal's.

    Raises:
        ConfigError: a file is missing or is none of its kind.
    """
    stories = sorted((data / ALIBI).glob("*.xml")) or [data / ALIBI / "*.xml"]
    gold, given = read_alibi(stories[0]), read_transread(data / TRANSREAD)
    alibi, transread = (read_pairs_of(runner, pairs, report) for pairs in (gold, given))
    base, means, heads = _error_scores(alibi)
    base_accuracy, accuracy = _accuracies(transread)
    for row in heads:
        row |= accuracy[row["layer"], row["head"]]
    shifted = [replace(measured, maps=measured.reading) for measured in (alibi, transread)]
    reading = _error_scores(shifted[0])[2][:1]
    for row in reading:
        row |= _accuracies(shifted[1])[1][row["layer"], row["head"]]
    return {
        "alibi": {
            **_size(alibi),
            "sure": sum(len(pair.sure) for pair in alibi.pairs),
            "possible": sum(len(pair.possible) for pair in alibi.pairs),
            "words": sum(len(pair.target) for pair in alibi.pairs),
            "file_sha256": sha256_of(stories[0]),
        },
        "transread": {
            **_size(transread),
            "words": sum(given_hits(frozenset(), pair)[1] for pair in transread.pairs),
            "files_sha256": {str(path): sha256_of(data / TRANSREAD / path) for path in _transread_files()},
        },
        "diagonal": base | base_accuracy,
        "heads": heads,
        "means": means,
        "halves": _halves(alibi),
        "reading": {"heads": reading, "halves": _halves(shifted[0])},
    }


def _transread_files() -> Iterator[Path]:
    for task in TASKS:
        yield Path(task, f"{task}.txt")
        yield from (Path(task, f"{task}_annotation_{annotator}.txt") for annotator in ANNOTATORS)


def _size(measured: Measured) -> dict[str, int]:
    return {"pairs": len(measured.pairs), "over_limit": measured.over_limit}


def _error_scores(measured: Measured) -> tuple[dict[str, Any], list[dict[str, Any]], list[dict[str, Any]]]:
    """Scores of the diagonal; of means over the heads of each layer, and over all; and of each head, best first."""
    base = _diagonal_counts(measured.pairs)
    draws = resample(len(measured.pairs))
    if not measured.maps:
        return _scored(base, draws), [], []
    counts, means = _head_counts(measured), _mean_counts(measured)
    heads = [
        {"layer": layer, "head": head, **_scored(counts[:, layer, head], draws, base)}
        for layer in range(counts.shape[1])
        for head in range(counts.shape[2])
    ]
    averaged = [
        {"layer": None if layer == means.shape[1] - 1 else layer, **_scored(means[:, layer], draws, base)}
        for layer in range(means.shape[1] if counts.shape[1] * counts.shape[2] > 1 else 0)
    ]
    return _scored(base, draws), averaged, sorted(heads, key=lambda row: row["aer"])


def _diagonal_counts(pairs: Sequence[LinkedPair]) -> np.ndarray:
    """Int (pair, 4)."""
    return np.array([link_counts(_diagonal_of(pair), pair.sure, pair.possible) for pair in pairs])


def _diagonal_of(pair: LinkedPair) -> frozenset[tuple[int, int]]:
    return diagonal(len(pair.source), len(pair.target))


def _head_counts(measured: Measured) -> np.ndarray:
    """Int (pair, layer, head, 4)."""
    return np.stack([count_heads(m.weights, pair) for m, pair in zip(measured.maps, measured.pairs, strict=True)])


def _mean_counts(measured: Measured) -> np.ndarray:
    """Int (pair, layer + 1, 4): of the mean over each layer's heads, and last over all layers and heads."""
    layers = [m.weights.mean(axis=1, dtype=np.float64) for m in measured.maps]
    rows = [np.concatenate([mean, mean.mean(axis=0, keepdims=True)]) for mean in layers]
    return np.stack([count_heads(row, pair) for row, pair in zip(rows, measured.pairs, strict=True)])


def _scored(counts: np.ndarray, draws: np.ndarray, base: np.ndarray | None = None) -> dict[str, Any]:
    """Scores of one alignment over a collection, from counts (pair, 4); beside a baseline the difference to it."""
    assert counts.shape[1] == len(LinkCounts._fields)
    total, drawn = counts.sum(axis=0), error_rates(draws @ counts)
    found = {"aer": error_rates(total)} | _between("", drawn)
    found |= {"precision": precisions(total), "recall": recalls(total)}
    if base is not None:
        found["difference"] = error_rates(total) - error_rates(base.sum(axis=0))
        found |= _between("difference_", drawn - error_rates(draws @ base))
    return {name: round(float(value), 4) for name, value in found.items()}


def _between(name: str, drawn: np.ndarray) -> dict[str, np.ndarray]:
    low, high = interval(drawn)
    return {f"{name}low": low, f"{name}high": high}


def _halves(measured: Measured) -> list[dict[str, Any]]:
    """The best head of every other pair, scored on the rest; both ways. Nothing where there is nothing to choose."""
    if len(measured.pairs) < 2 or not measured.maps or measured.maps[0].weights.shape[:2] == (1, 1):
        return []
    counts, base = _head_counts(measured), _diagonal_counts(measured.pairs)
    rows = []
    for chosen_on in (0, 1):
        rates = error_rates(counts[chosen_on::2].sum(axis=0))
        layer, head = map(int, np.unravel_index(int(rates.argmin()), rates.shape))
        rest = slice(1 - chosen_on, None, 2)
        scores = _scored(counts[rest, layer, head], resample(len(base[rest])), base[rest])
        rows.append({"layer": layer, "head": head, "chosen_aer": round(float(rates[layer, head]), 4), **scores})
    return rows


def _accuracies(measured: Measured) -> tuple[dict[str, float], dict[tuple[int, int], dict[str, float]]]:
    """Accuracy on the links given, with its interval: of the diagonal, and of each (layer, head)."""
    draws = resample(len(measured.pairs))
    base = np.array([given_hits(_diagonal_of(pair), pair) for pair in measured.pairs])
    layers, heads = measured.maps[0].weights.shape[:2] if measured.maps else (0, 0)
    return _shared(base, draws), {
        (layer, head): _shared(
            np.array(
                [
                    given_hits(alignment_of(m.weights[layer, head]), pair)
                    for m, pair in zip(measured.maps, measured.pairs, strict=True)
                ]
            ),
            draws,
        )
        for layer in range(layers)
        for head in range(heads)
    }


def _shared(hits: np.ndarray, draws: np.ndarray) -> dict[str, float]:
    """The share of hits, from (pair, 2): right, of how many."""
    drawn = draws @ hits
    right, count = hits.sum(axis=0)
    found = {"accuracy": right / count} | _between("accuracy_", drawn[:, 0] / drawn[:, 1])
    return {name: round(float(value), 4) for name, value in found.items()}
