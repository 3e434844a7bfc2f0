"""What the card of a language model says: what a run read, what rounding did, each score as a line."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from engine.model_card import Family

BOOKS, CLOZE = "books", "cloze"
"""The sets: bits per character of books held out; masked tokens and next sentences of the same books."""


def curve_unit(family: Family) -> str:
    """What the loss of a training curve is the mean over."""
    return {"char-lm": "character", "bert": "piece to be restored"}.get(family, "token")


def run_read(run: Mapping[str, Any]) -> str:
    """What a run learnt from."""
    if "entries" in run:
        return (
            f"counts of {run['entries']['words']:,} words, {run['entries']['pairs']:,} pairs and "
            f"{run['entries']['triples']:,} triples kept, of {run['tokens'] / 1e6:.1f} million words and marks"
        )
    text = run["text"]
    return (
        f"{run['tokens'] / 1e6:.1f} million tokens read, padding included, of a text of "
        f"{text['characters']['train'] / 1e6:.1f} million characters in {text['books']['train']} books"
    )


def rounding_said(rounding: Mapping[str, Any]) -> str:
    """What rounding to float16 changed."""
    if not rounding:
        return "Its weights are whole numbers: nothing is rounded."
    return (
        f"Rounding to float16 changed the most probable token at {rounding['outputs_changed']:.2%} of "
        f"{rounding['outputs']:,} places; cross-entropy {rounding['cross_entropy_before']:.4f} nats before, "
        f"{rounding['cross_entropy_after']:.4f} after."
    )


def score_lines(name: str, values: Mapping[str, Any]) -> Iterator[str]:
    """One line for each thing that a set measures."""
    yield from _cloze_lines(values) if name == CLOZE else _book_lines(values)


def _book_lines(values: Mapping[str, Any]) -> Iterator[str]:
    yield (
        f"{values['bits_per_character']:.3f} bits per character, over {values['characters']:,} characters of "
        f"{values['books']} books"
    )
    if baseline := values.get("full_trigram"):
        yield (
            f"a trigram counted on all of the same training text, with interpolated back-off (modified Kneser-Ney) and "
            f"unknown words spelled by a character model, needs {baseline:.3f}"
        )
    if speed := values.get("tokens_per_second"):
        yield f"{speed:,.0f} tokens generated a second on one thread ({values['hardware']})"


def _cloze_lines(values: Mapping[str, Any]) -> Iterator[str]:
    yield (
        f"of {values['masked']:,} pieces to be restored, {values['top1']:.1%} are the first candidate and "
        f"{values['top5']:.1%} among the first five; always naming the most frequent pieces has "
        f"{values['unigram_top1']:.1%} and {values['unigram_top5']:.1%}"
    )
    yield f"cross-entropy {values['cross_entropy']:.3f} nats per piece to be restored"
    yield (
        f"whether the second text follows the first is told right for {values['next_sentence']:.1%} of "
        f"{values['pairs']:,} pairs (half of them follow)"
    )


def tables(scores: Mapping[str, Any]) -> Iterator[str]:
    """Nothing: every score is a line."""
    yield from ()


def headline(scores: Mapping[str, Any]) -> list[tuple[str, str, str]]:
    """The scores at a glance: name, value, and what explains it."""
    found = []
    if BOOKS in scores:
        found.append(("Bits per character", f"{scores[BOOKS]['bits_per_character']:.2f}", "bits per character"))
    if CLOZE in scores:
        found.append(("Masked piece right", f"{scores[CLOZE]['top1']:.1%}", ""))
        found.append(("Among the first five", f"{scores[CLOZE]['top5']:.1%}", "always naming the most frequent"))
    return found
