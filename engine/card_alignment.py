"""What `saccade evaluate`'s set "alignment" says on a card and in a table (`engine.training.alignment_scores`)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

SET = "alignment"
MANY = "it is the best of {count} on these very pairs, so this is optimistic"


@dataclass(frozen=True, slots=True)
class AlignmentRow:
    """How well one head aligns, or the diagonal, which reads no word.

    Attributes:
        model: what gives it; "diagonal" for the baseline.
        layer: from 0; None for the diagonal.
        head: from 0; None for the diagonal.
        aer: alignment error rate on Alibi, in [0, 1]; lower is better.
        low: of its 95 % interval.
        high: of its 95 % interval.
        precision: on Alibi, in [0, 1].
        recall: on Alibi, in [0, 1].
        accuracy: share of TransRead's words that are linked to a right one, in [0, 1].
    """

    model: str
    layer: int | None
    head: int | None
    aer: float
    low: float
    high: float
    precision: float
    recall: float
    accuracy: float


def alignment_table(scores: Mapping[str, Mapping[str, Any]]) -> tuple[AlignmentRow, ...]:
    """Every head of some models and the diagonal, lowest error rate first.

    The diagonal stands there once, and again for each model that takes other pairs.

    Args:
        scores: by what a model is called, what the set "alignment" measured for it.
    """
    baselines = {_row("diagonal", values["diagonal"]) for values in scores.values()}
    heads = (_row(model, values) for model, found in scores.items() for values in found["heads"])
    return tuple(sorted((*heads, *baselines), key=lambda row: row.aer))


def reading_table(scores: Mapping[str, Mapping[str, Any]]) -> tuple[AlignmentRow, ...]:
    """The best head of each model that has several, by the step that has just read a French word; best first.

    Args:
        scores: as in `alignment_table`.
    """
    many = {model: found for model, found in scores.items() if len(found["heads"]) > 1}
    rows = (_row(model, values) for model, found in many.items() for values in found["reading"]["heads"])
    return tuple(sorted(rows, key=lambda row: row.aer))


def best_alignment_head(values: Mapping[str, Any]) -> tuple[int, int] | None:
    """Layer and head (from 0) with the lowest error rate on Alibi; None where the model has no cross heads."""
    return (values["heads"][0]["layer"], values["heads"][0]["head"]) if values["heads"] else None


def _row(model: str, values: Mapping[str, Any]) -> AlignmentRow:
    return AlignmentRow(
        model,
        values.get("layer"),
        values.get("head"),
        *(values[name] for name in ("aer", "low", "high", "precision", "recall", "accuracy")),
    )


def alignment_lines(values: Mapping[str, Any]) -> Iterator[str]:
    """What the set measures, in Markdown; nothing for the values of other sets."""
    if "alibi" not in values:
        return
    heads, base, alibi = values["heads"], values["diagonal"], values["alibi"]
    where = f"alignment error rate on {alibi['pairs']} pairs of a story (Alibi: {alibi['sure']:,} sure links)"
    if heads:
        best = heads[0]
        many = f" ({MANY.format(count=len(heads))})" if len(heads) > 1 else ""
        yield (
            f"{where}, each French word linked to what {_name(best)} looks at most when it is predicted: "
            f"{_error(best)}, precision {best['precision']:.1%}, recall {best['recall']:.1%}{many}; "
            f"{_difference(best)} the diagonal's {_error(base)}"
        )
    else:
        yield f"{where}: no attention to align words by; the diagonal, which reads no word, has {_error(base)}"
    if halves := values["halves"]:
        both = "; ".join(f"{_name(half)}: {_error(half)}, {_difference(half)} the diagonal's" for half in halves)
        yield f"alignment error rate of the head chosen on every other pair, on the rest, both ways: {both}"
    yield from _reading_lines(values["reading"], many=len(heads) > 1)
    overall = [mean for mean in values["means"] if mean["layer"] is None]
    if overall:
        layers = [mean for mean in values["means"] if mean["layer"] is not None]
        lowest = min(layers, key=lambda mean: mean["aer"])
        yield (
            f"alignment error rate by the mean of all cross heads: {_error(overall[0])}; "
            f"of layer {lowest['layer'] + 1}, the best layer's: {_error(lowest)}"
        )
    given = f"{values['transread']['words']:,} French words with judged links (TransRead, {_pairs(values)} pairs)"
    by = f"the head that is best on Alibi is right in {_accuracy(heads[0])}, " if heads else ""
    yield f"of {given} {by}the diagonal in {_accuracy(base)}"


def _reading_lines(values: Mapping[str, Any], *, many: bool) -> Iterator[str]:
    """The same by the step that reads the French word.

    Args:
        values: what was measured so.
        many: whether the head is the best of several.
    """
    for best in values["heads"]:
        halves = "; ".join(f"{_name(half)}: {_error(half)}" for half in values["halves"])
        chosen = f"; chosen on every other pair, on the rest, both ways: {halves}" if halves else ""
        yield (
            "alignment error rate with each French word linked to what is looked at one step later, when the word has "
            f"just been read: {'best ' if many else ''}{_name(best)}: {_error(best)}, {_difference(best)} the "
            f"diagonal's; right in {_accuracy(best)} of TransRead's words{chosen}"
        )


def _pairs(values: Mapping[str, Any]) -> int:
    return int(values["transread"]["pairs"])


def _name(head: Mapping[str, Any]) -> str:
    return f"cross layer {head['layer'] + 1} head {head['head'] + 1}"


def _error(row: Mapping[str, Any]) -> str:
    return f"{row['aer']:.1%} (95% interval {row['low']:.1%} to {row['high']:.1%})"


def _accuracy(row: Mapping[str, Any]) -> str:
    return f"{row['accuracy']:.1%} (95% interval {row['accuracy_low']:.1%} to {row['accuracy_high']:.1%})"


def _difference(row: Mapping[str, Any]) -> str:
    """How far below or above another rate, in points, with the interval of the difference."""
    points, *ends = (100 * row[f"difference{end}"] for end in ("", "_low", "_high"))
    side = "below" if points <= 0 else "above"
    low, high = (f"{end:.1f}".replace("-", "−") for end in ends)
    return f"{abs(points):.1f} points {side} (95% interval of the difference {low} to {high})"
