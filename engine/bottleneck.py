"""The bottleneck figure: how good translations are by the length of their source, as `saccade bottleneck` measured it.

A recurrent encoder-decoder without attention reads a whole source into one vector of fixed size, and that vector has to
hold longer and longer sentences. Source: Cho et al. 2014, "On the Properties of Neural Machine Translation", figure 4,
and Bahdanau et al. 2015, figure 2, which draw BLEU against sentence length for this reason.

All numbers are measured by `engine.training.bottleneck` and kept in one file; here they are read and checked.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, Literal, TypeVar

from engine import catalogue, model_card
from engine.errors import WeightsDamaged, WeightsMissing
from engine.weights import read_json, write_json

FILE = "bottleneck.json"
COMMAND = "saccade bottleneck --data DIR --save"
Score = Literal["bleu", "accuracy"]
Point = tuple[int, int, int, float, float, float]
"""Shortest and longest source in words, lines, the value, and its interval's low and high end."""


@dataclass(frozen=True, slots=True)
class Estimate:
    """A number of some lines, with the interval in which that of all such lines probably is.

    Source: Koehn 2004, "Statistical Significance Tests for Machine Translation Evaluation": bootstrap over sentences.

    Attributes:
        value: of the lines themselves.
        low, high: the 2.5th and 97.5th percentile of resampled lines.

    Raises:
        ValueError: one of them is not finite, or the interval's ends are in the wrong order.
    """

    value: float
    low: float
    high: float

    def __post_init__(self) -> None:
        if not all(map(math.isfinite, (self.value, self.low, self.high))) or self.low > self.high:
            raise ValueError(f"an estimate of {self.value} from {self.low} to {self.high}")


@dataclass(frozen=True, slots=True)
class LengthBin:
    """What a model scores on sources of some lengths.

    Attributes:
        shortest, longest: source words, both included; a word is what stands between spaces.
        lines: sentence pairs of that length, at least 1.
        bleu: corpus BLEU of greedy translations, in [0, 100].
        accuracy: share of the reference's tokens, </s> included, that are the model's most probable ones after the
            source and the reference's tokens before them, in [0, 1]. A network's own mistakes do not add up in it.
        length_ratio: words of the outputs divided by words of the references, as BLEU's tokenizer counts them.
    """

    shortest: int
    longest: int
    lines: int
    bleu: Estimate
    accuracy: Estimate
    length_ratio: float


@dataclass(frozen=True, slots=True)
class GainBin:
    """How much more a model scores than the one without attention, on the same sources.

    Attributes:
        shortest, longest, lines: see `LengthBin`.
        bleu: the difference in BLEU points; the interval is that of the difference (paired: both models are resampled
            with the same lines).
        accuracy: the difference of token accuracies, likewise.
    """

    shortest: int
    longest: int
    lines: int
    bleu: Estimate
    accuracy: Estimate


B = TypeVar("B", LengthBin, GainBin)


@dataclass(frozen=True, slots=True)
class ModelScores:
    """One model by source length.

    Attributes:
        identity: `name@sha256[:8]` of the weights.
        attention: "none", "additive", "dot" or "general" of a recurrent translator; "" of any other.
        pieces: sha256[:8] of the tokenizer. Token accuracies compare only between models that share it.
        over_limit: lines whose source the model does not take; they count as empty output and no right token.
        bins: in rising order, those that have lines.
        summary: all lines of 16 to 30 source words together; None where there are none.
    """

    identity: str
    attention: str
    pieces: str
    over_limit: int
    bins: tuple[LengthBin, ...]
    summary: LengthBin | None

    @property
    def name(self) -> str:
        """Its name in the catalogue."""
        return self.identity.partition("@")[0]

    def points(self, score: Score) -> list[Point]:
        """The bins as plain numbers, for a chart."""
        return _points(self.bins, score)


@dataclass(frozen=True, slots=True)
class ModelGain:
    """A model with attention beside the one without.

    Attributes:
        model, baseline: identities.
        bins: see `ModelScores`.
        summary: see `ModelScores`.
    """

    model: str
    baseline: str
    bins: tuple[GainBin, ...]
    summary: GainBin | None

    @property
    def name(self) -> str:
        """The model's name in the catalogue."""
        return self.model.partition("@")[0]

    def points(self, score: Score) -> list[Point]:
        """The bins as plain numbers, for a chart."""
        return _points(self.bins, score)


@dataclass(frozen=True, slots=True)
class Bottleneck:
    """What the file holds.

    Attributes:
        file: the texts, as a path inside the data folder.
        file_sha256: their checksum.
        lines: sentence pairs that were translated.
        resamples: of the bootstrap.
        seed: of the bootstrap.
        metric: sacrebleu's signature of BLEU.
        models: every model measured.
        gains: of every model with attention, where the one without was measured too.
    """

    file: str
    file_sha256: str
    lines: int
    resamples: int
    seed: int
    metric: str
    models: tuple[ModelScores, ...]
    gains: tuple[ModelGain, ...]

    def of(self, name: str) -> ModelScores | None:
        """The scores of the model of that name, if it was measured."""
        return next((model for model in self.models if model.name == name), None)

    def gain_of(self, name: str) -> ModelGain | None:
        """How much better the model of that name is than the one without attention, if that was measured."""
        return next((gain for gain in self.gains if gain.name == name), None)


def read_bottleneck(path: Path | None = None) -> Bottleneck:
    """The figure's numbers.

    Args:
        path: the file; None for the one among the shipped models.

    Raises:
        WeightsMissing: there is no such file; the message says how to make it.
        WeightsDamaged: it is not of this form; likewise.
    """
    path = model_card.ASSETS / FILE if path is None else path
    if not path.is_file():
        raise WeightsMissing(f"Nobody has measured translations by length yet: {path.name} is missing. Run: {COMMAND}")
    values = read_json(path)
    try:
        return _bottleneck(values)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise WeightsDamaged(f"{path.name} cannot be read ({error!r}). Measure it anew: {COMMAND}") from error


def write_bottleneck(found: Bottleneck, path: Path | None = None) -> Path:
    """Write the numbers where `read_bottleneck` finds them; gives the file."""
    path = model_card.ASSETS / FILE if path is None else path
    write_json(path, asdict(found))
    return path


def translators() -> tuple[str, ...]:
    """The names of all models that translate, in the catalogue's order."""
    return tuple(card.name for card in catalogue.MODELS.values() if "translate" in card.supports)


def current(found: Bottleneck) -> Bottleneck:
    """The same without what was measured of weights that the catalogue no longer has."""
    there = {card.identity for card in catalogue.MODELS.values()}
    return Bottleneck(
        **{item.name: getattr(found, item.name) for item in fields(found) if item.name not in ("models", "gains")},
        models=tuple(model for model in found.models if model.identity in there),
        gains=tuple(gain for gain in found.gains if {gain.model, gain.baseline} <= there),
    )


def notes(found: Bottleneck) -> tuple[str, ...]:
    """What is out of date, a sentence each that says what to do: models measured with other weights, or not at all."""
    said = []
    for name in translators():
        scores, identity = found.of(name), catalogue.MODELS[name].identity
        if scores is None:
            said.append(f"{name} has not been measured. Run: {COMMAND}")
        elif scores.identity != identity:
            said.append(
                f"{name} was measured as {scores.identity} and is {identity} now: its numbers are those of other "
                f"weights. Run: {COMMAND}"
            )
    return tuple(said)


def _points(bins: tuple[LengthBin, ...] | tuple[GainBin, ...], score: Score) -> list[Point]:
    found = []
    for part in bins:
        estimate: Estimate = getattr(part, score)
        found.append((part.shortest, part.longest, part.lines, estimate.value, estimate.low, estimate.high))
    return found


# --- From JSON --------------------------------------------------------------------------------------------------------


def _bottleneck(values: Mapping[str, Any]) -> Bottleneck:
    return Bottleneck(
        **{
            **values,
            "models": tuple(ModelScores(**_binned(one, _length_bin)) for one in values["models"]),
            "gains": tuple(ModelGain(**_binned(one, _gain_bin)) for one in values["gains"]),
        }
    )


def _binned(values: Mapping[str, Any], kind: Callable[[Mapping[str, Any]], Any]) -> dict[str, Any]:
    summary = values["summary"]
    return {**values, "bins": tuple(map(kind, values["bins"])), "summary": None if summary is None else kind(summary)}


def _length_bin(values: Mapping[str, Any]) -> LengthBin:
    return LengthBin(**_estimated(values))


def _gain_bin(values: Mapping[str, Any]) -> GainBin:
    return GainBin(**_estimated(values))


def _estimated(values: Mapping[str, Any]) -> dict[str, Any]:
    return {**values, "bleu": Estimate(**values["bleu"]), "accuracy": Estimate(**values["accuracy"])}


# --- As text ----------------------------------------------------------------------------------------------------------


def table(found: Bottleneck) -> str:
    """All numbers as lines of text, with 95 % intervals: first the models, then what attention adds."""
    lines = [f"{found.lines} lines of {found.file} (sha256 {found.file_sha256[:8]}), {found.resamples} resamples"]
    lines.append(f"{'model':<24} {'words':<6} {'lines':>5}  {'BLEU':<22} {'tokens right':<22} length")
    for model in found.models:
        for part in _with_summary(model.bins, model.summary):
            accuracy = _interval(part.accuracy, 100, " %")
            lines.append(
                f"{model.name:<24} {_span(part)}  {_interval(part.bleu):<22} {accuracy:<22} {part.length_ratio:.2f}"
            )
        if model.over_limit:
            lines.append(f"{model.name:<24} {model.over_limit} of the lines are too long for it")
    for gain in found.gains:
        for change in _with_summary(gain.bins, gain.summary):
            accuracy = _interval(change.accuracy, 100, " %", "+")
            name = f"{gain.name} − {gain.baseline.partition('@')[0]}"
            lines.append(f"{name:<44} {_span(change)}  {_interval(change.bleu, sign='+'):<22} {accuracy}")
    return "\n".join(lines)


def _with_summary(bins: Sequence[B], summary: B | None) -> list[B]:
    rows = list(bins)
    if summary is not None:
        rows.append(summary)
    return rows


def _span(part: LengthBin | GainBin) -> str:
    return f"{f'{part.shortest}-{part.longest}':<6} {part.lines:>5}"


def _interval(estimate: Estimate, factor: float = 1, unit: str = "", sign: str = "") -> str:
    value, low, high = (f"{factor * number:{sign}.1f}" for number in (estimate.value, estimate.low, estimate.high))
    return f"{value}{unit} [{low}, {high}]"
