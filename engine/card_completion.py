"""What the card of a network that completes words says: what a run read, what rounding did, each score as a line."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from engine.model_card import Family

SET = "completion"
# Madsen 2019: top-1 accuracy at 0 to 4 known letters, of text8 and 16,386 words.
ARTICLE: Mapping[str, tuple[float, ...]] = {
    "GRU": (0.165, 0.383, 0.556, 0.658, 0.678),
    "LSTM": (0.167, 0.376, 0.539, 0.641, 0.670),
    "nested LSTM": (0.137, 0.326, 0.492, 0.591, 0.622),
}
MODE_WORDS = {"one-hot": "by the norm", "squared": "by the squared norm, which the article draws"}
HEADS_WORDS = {"all_layers": "mean of all layers and heads", "last_layer": "mean of the last layer's heads"}
LETTERS = 5  # how many numbers of known letters, from 0, a line gives


@dataclass(frozen=True, slots=True)
class CompletionScores:
    """How often a network suggests the word that is being typed, on books that it has not learned from.

    Attributes:
        cross_entropy: in nats per character.
        overall: shares of characters, in [0, 1], at which the word is the first suggestion, among the first two, three.
        table_overall: the same of the prefix table.
        top1: by 0 to 8 known letters, the share at which it is the first suggestion; None where there are none.
        top3: the same among the first three.
        table: the prefix table's `top1`: the most frequent word that begins with the letters typed so far.
        counts: characters by known letters.
        outside: share of the words that are outside the vocabulary, which do not count.
    """

    cross_entropy: float
    overall: tuple[float, float, float]
    table_overall: tuple[float, float, float]
    top1: tuple[float | None, ...]
    top3: tuple[float | None, ...]
    table: tuple[float | None, ...]
    counts: tuple[int, ...]
    outside: float


def completion_of(values: Mapping[str, Any]) -> CompletionScores:
    """From what `engine.training.autocomplete.scores.held_out_scores` gave."""
    by_known = values["accuracy"]["by_known"]
    return CompletionScores(
        cross_entropy=values["cross_entropy"],
        overall=tuple(values["accuracy"]["overall"]),
        table_overall=tuple(values["table"]["overall"]),
        top1=tuple(by_known[0]),
        top3=tuple(by_known[2]),
        table=tuple(values["table"]["by_known"][0]),
        counts=tuple(values["counts"]),
        outside=values["outside"],
    )


def curve_unit(family: Family) -> str:
    """What the loss of a training curve is the mean over."""
    return "character"


def run_read(run: Mapping[str, Any]) -> str:
    """What a run learnt from."""
    return (
        f"{run['tokens'] / 1e6:.1f} million characters read, padding included, of a text of "
        f"{run['characters'] / 1e6:.1f} million ({run['words'] / 1e6:.1f} million words)"
    )


def rounding_said(rounding: Mapping[str, Any]) -> str:
    """What rounding to float16 changed."""
    return (
        f"Rounding to float16 changed the first suggestion at {rounding['outputs_changed']:.2%} of "
        f"{rounding['characters']:,} validation characters; cross-entropy {rounding['cross_entropy_before']:.4f} nats "
        f"before, {rounding['cross_entropy_after']:.4f} after."
    )


def score_lines(name: str, values: Mapping[str, Any]) -> Iterator[str]:
    """One line for each thing that a set measures."""
    yield from _completion_lines(values) if name == SET else _memory_lines(values)


def _completion_lines(values: Mapping[str, Any]) -> Iterator[str]:
    found = completion_of(values)
    yield (
        f"cross-entropy {found.cross_entropy:.3f} nats per character, over {values['characters']:,} characters of "
        f"words in the vocabulary ({found.outside:.1%} of the {values['words']:,} words are outside it)"
    )
    yield (
        f"the word is the first suggestion at {found.overall[0]:.1%} of the characters and among the first three at "
        f"{found.overall[2]:.1%}; the prefix table's at {found.table_overall[0]:.1%} and {found.table_overall[2]:.1%}"
    )


def _memory_lines(values: Mapping[str, Any]) -> Iterator[str]:
    """How far back a network looks (`engine.training.autocomplete.memory.memorization_scores`)."""
    for mode, words in MODE_WORDS.items():
        if mode not in values:
            continue
        found = values[mode]
        low, high = found["mean_lag_interval"]
        yield (
            f"{words}, what a suggestion rests on lies {_number(found['mean_lag'])} characters back on average "
            f"(95% interval {_number(low)} to {_number(high)}), over {values['rows']:,} characters of "
            f"{values['passages']} passages"
        )
        shares = found["memorization"]["by_known"][:LETTERS]
        yield (
            f"{words}, the share of that which lies before the word being typed and its space, at 0 to "
            f"{len(shares) - 1} letters known: "
            f"{', '.join(map(percent, shares))}"
        )
    agreement = values.get("agreement", {})
    for heads, words in HEADS_WORDS.items():
        if heads in agreement and (mean := agreement[heads]["mean"]) is not None:
            low, high = agreement[heads]["interval"]
            yield (
                f"rank correlation of attention with the gradient, {words}: {mean:.2f} (95% interval {low:.2f} to "
                f"{high:.2f}), over {agreement[heads]['positions']:,} positions"
            ).replace(" -", " −")


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.1f}"


def percent(share: float | None) -> str:
    """A share in [0, 1] for people; a dash where there is none."""
    return "–" if share is None else f"{share:.1%}"


def accuracy_table(found: CompletionScores) -> tuple[tuple[str, ...], tuple[tuple[str, ...], ...]]:
    """The heading and the rows of a table by known letters: this network, the prefix table, the article's networks."""
    heading = ("letters known", "characters", "first suggestion", "among three", "prefix table", *_article_names())
    rows = (
        (str(known), f"{count:,}", *map(percent, (first, three, table)), *(_at(row, known) for row in ARTICLE.values()))
        for known, (count, first, three, table) in enumerate(
            zip(found.counts, found.top1, found.top3, found.table, strict=True)
        )
    )
    return heading, tuple(rows)


def _article_names() -> Iterator[str]:
    return (f"article's {name}" for name in ARTICLE)


def _at(row: Sequence[float], known: int) -> str:
    return percent(row[known]) if known < len(row) else ""


TABLE_WORDS = (
    "How often the word that is being typed is suggested, by how many of its letters are known. The prefix table "
    "suggests the most frequent word with the same beginning and knows no context. The article's figures are its own, "
    "of its first suggestion, measured on another text (text8) with another vocabulary (16,386 words): they show the "
    "size of such numbers and are no comparison."
)


def tables(scores: Mapping[str, Any]) -> Iterator[str]:
    """The table by known letters, in Markdown."""
    if SET not in scores:
        return
    heading, rows = accuracy_table(completion_of(scores[SET]))
    yield ""
    yield TABLE_WORDS
    yield ""
    yield f"| {' | '.join(heading)} |"
    yield "|" + "---|" * len(heading)
    yield from (f"| {' | '.join(row)} |" for row in rows)
