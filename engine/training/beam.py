"""What a beam gains over greedy search, on sentences of this project's own, and the sentence that shows it best.

The sentences and their references (Apache-2.0) were written before any output was seen; none is in the training texts.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from engine.catalogue import ASSETS
from engine.decoding.options import BeamOptions
from engine.decoding.tree import SearchRequest, search
from engine.errors import ConfigError, InputError
from engine.runner import Runner
from engine.text import french_spacing, normalise
from engine.training.bleu import bleu, require_sacrebleu, sentence_chrf
from engine.training.data import Pair
from engine.types import Hypothesis

SENTENCES = ASSETS / "beam" / "sentences.tsv"
FEWEST, MOST = 6, 22  # words of an English sentence
BEAM = BeamOptions(beams=5, penalty="length", alpha=1.0)
GREEDY = BeamOptions(beams=1, penalty="length", alpha=1.0)


@cache
def load_sentences(path: Path = SENTENCES) -> tuple[Pair, ...]:
    """All sentences, in the file's order.

    Args:
        path: a file of lines of an English sentence, a tab and its French reference, both as normalised text.

    Raises:
        ConfigError: the file cannot be read so; the message names the line and what is wrong with it.
    """
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, ValueError) as error:
        raise ConfigError(f"{path.name} cannot be read. Restore it from the repository (git checkout).") from error
    if not lines:
        raise ConfigError(f"{path.name} is empty. Restore it from the repository (git checkout).")
    pairs: dict[str, str] = {}
    for number, line in enumerate(lines, 1):
        cells = tuple(line.split("\t"))
        if problem := "it is there twice. Leave one out." if cells[0] in pairs else _problem(cells):
            raise ConfigError(f"{path.name}, line {number}: {problem}")
        pairs[cells[0]] = cells[1]
    return tuple(pairs.items())


def _problem(cells: Sequence[str]) -> str:
    """What is impossible about a line and what to do about it; "" if nothing is."""
    if len(cells) != 2 or not all(cells):
        return "a line is an English sentence, one tab and its French reference. Give both."
    english, french = cells
    if english != normalise(english) or french != french_spacing(normalise(french)):
        return "the text is not normalised. Write ASCII quotes, single spaces, and in French one before ? ! : ;"
    if not FEWEST <= len(english.split()) <= MOST:
        return f"{len(english.split())} words. Write from {FEWEST} to {MOST}."
    return ""


@dataclass(frozen=True, slots=True)
class Comparison:
    """One sentence under both searches.

    Attributes:
        english: the source.
        french: the reference.
        greedy: the greedy output; its final score is its sum of log-probabilities divided by its length.
        beam: the beam's best hypothesis, scored alike.
        left: the step, from 1, at which greedy search leaves it; 0 if the outputs are the same.
        greedy_chrf: of the greedy output, in [0, 100].
        beam_chrf: of the beam's, in [0, 100].
    """

    english: str
    french: str
    greedy: Hypothesis
    beam: Hypothesis
    left: int
    greedy_chrf: float
    beam_chrf: float

    @property
    def gain(self) -> float:
        """What the beam gains in chrF; below 0 if it loses."""
        return self.beam_chrf - self.greedy_chrf


def compare(runner: Runner, pair: Pair) -> Comparison:
    """Run both searches for one sentence.

    Raises:
        InputError: the model does not take it.
    """
    english, french = pair
    tree = search(runner, SearchRequest(runner.card.identity, english, BEAM))
    beam = greedy = tree.hypotheses[0]
    if tree.left:
        greedy = search(runner, SearchRequest(runner.card.identity, english, GREEDY)).hypotheses[0]
    chrf = [sentence_chrf(one.text, french) for one in (greedy, beam)]
    return Comparison(english, french, greedy, beam, tree.left, chrf[0], chrf[1])


def clearest(compared: Sequence[Comparison]) -> Comparison | None:
    """The sentence that shows best what a beam is for: the largest gain in chrF, the first of equals.

    Only where the beam's sum of log-probabilities is higher too: the model itself must prefer what greedy search
    missed, not the length penalty. None where there is no such gain.
    """
    found = [one for one in compared if one.gain > 0 and one.beam.score > one.greedy.score]
    return max(found, key=lambda one: one.gain, default=None)


def beam_scores(runner: Runner, data: Path | None, report: Callable[[int], None]) -> dict[str, Any]:
    """Greedy search beside a beam of 5, over `SENTENCES`; those that the model does not take are left out.

    Raises:
        InputError: sacrebleu is not installed, or the model takes none of the sentences.
    """
    require_sacrebleu()
    pairs = load_sentences()
    compared = []
    for pair in pairs:
        try:
            compared.append(compare(runner, pair))
        except InputError:
            continue
        finally:
            report(1)
    if not compared:
        raise InputError(f"{runner.card.name} takes none of these sentences. Give it a model of English text.")
    return {
        "sentences": len(compared),
        "left_out": len(pairs) - len(compared),
        "beams": BEAM.beams,
        "penalty": BEAM.penalty,
        "alpha": BEAM.alpha,
        **summary(compared),
    }


def summary(compared: Sequence[Comparison]) -> dict[str, Any]:
    """The scores of both searches, how often they differ, and the clearest sentence."""
    references = [one.french for one in compared]
    best = clearest(compared)
    return {
        "greedy": bleu([one.greedy.text for one in compared], references),
        "beam": bleu([one.beam.text for one in compared], references),
        "differ": sum(one.greedy.text != one.beam.text for one in compared),
        "higher_chrf": sum(one.gain > 0 for one in compared),
        "lower_chrf": sum(one.gain < 0 for one in compared),
        "preset": None if best is None else _plain(best),
    }


def _plain(one: Comparison) -> dict[str, Any]:
    return {
        "english": one.english,
        "french": one.french,
        "left": one.left,
        "greedy": _output(one.greedy, one.greedy_chrf),
        "beam": _output(one.beam, one.beam_chrf),
    }


def _output(found: Hypothesis, chrf: float) -> dict[str, Any]:
    return {
        "french": found.text,
        "sum": round(found.score, 4),
        "final": round(found.final, 4),
        "chrf": round(chrf, 2),
    }
