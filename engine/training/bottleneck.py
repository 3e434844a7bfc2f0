"""`saccade bottleneck`: how good translations are by the length of their source, for every model that translates.

Lines are those of data/en-fr/europarl-test.tsv with 5 to 50 source words. With only those of 5 to 30 words they would
be 1,691 of 2,990; the longer ones show whether a model holds more words than the parliament pairs it learnt from had
(30 at most).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from engine.bottleneck import Bottleneck, Estimate, GainBin, LengthBin, ModelGain, ModelScores
from engine.decoding.search import BATCH_TOKENS, pad_rows
from engine.errors import InputError
from engine.models.seq2seq import Seq2SeqConfig
from engine.runner import Runner, guard_memory
from engine.text import START
from engine.training.bleu import require_sacrebleu
from engine.training.data import Pair, read_pairs
from engine.training.evaluate import translate_pairs
from engine.weights import TOKENIZER, sha256_of

Report = Callable[[int], None]
FILE = "en-fr/europarl-test.tsv"
BINS = ((5, 8), (9, 12), (13, 15), (16, 20), (21, 25), (26, 30), (31, 40), (41, 50))
"""Source words, both ends included; of the cards' own test file each bin has at least 197 lines."""
SUMMARY = (16, 30)
"""Long sentences that are no longer than those of training."""
RESAMPLES, SEED = 1000, 0
INTERVAL = (2.5, 97.5)  # percentiles
DIGITS = 5  # of a share; scores in [0, 100] have three fewer


@dataclass(frozen=True, slots=True, eq=False)
class Measured:
    """One model on every line; L lines.

    Attributes:
        identity, attention, pieces, over_limit: see `ModelScores`.
        counts: int64 (L, 10), what BLEU sums up of each line: n-grams that match, of 1 to 4 words, n-grams of the
            output, likewise, and the lengths of output and reference.
        tokens: int64 (L, 2), tokens of the reference predicted right, and all of them.
    """

    identity: str
    attention: str
    pieces: str
    over_limit: int
    counts: np.ndarray
    tokens: np.ndarray

    def __post_init__(self) -> None:
        assert self.counts.shape == (len(self.tokens), 10) and self.tokens.shape[1] == 2


def read_lines(data: Path, most: int | None = None) -> list[Pair]:
    """The pairs of data/`FILE` whose length has a bin, or `most` of them, evenly spread over the file.

    Raises:
        ConfigError: the file is missing; the message says how to get it.
        InputError: no line has such a length, or `most` is below 1.
    """
    if most is not None and most < 1:
        raise InputError(f"{most} lines are none to measure. Give --lines a number of 1 or more.")
    lengths = range(BINS[0][0], BINS[-1][1] + 1)
    pairs = [pair for pair in read_pairs(data / FILE) if words(pair[0]) in lengths]
    if not pairs:
        raise InputError(f"{data / FILE} has no line of {lengths[0]} to {lengths[-1]} words. Give another --data.")
    count = len(pairs) if most is None else min(most, len(pairs))
    return [pairs[place] for place in np.arange(count) * len(pairs) // count]


def words(text: str) -> int:
    """How many words a text has: what stands between spaces."""
    return len(text.split())


def bottleneck(measured: Sequence[Measured], pairs: Sequence[Pair], data: Path) -> Bottleneck:
    """Every model's scores by source length, and what attention adds.

    Args:
        measured: of each model, on the pairs.
        pairs: what `read_lines` gave.
        data: the folder that they are from.
    """
    lengths = np.array([words(english) for english, _ in pairs])
    rows = {span: np.flatnonzero((span[0] <= lengths) & (lengths <= span[1])) for span in (*BINS, SUMMARY)}
    rows = {span: chosen for span, chosen in rows.items() if len(chosen)}
    resampled = {span: _Resamples.of(measured, chosen) for span, chosen in rows.items()}
    without = next((model for model in measured if model.attention == "none"), None)
    with_attention = [model for model in measured if model.attention not in ("", "none")]
    return Bottleneck(
        FILE,
        sha256_of(data / FILE),
        len(pairs),
        RESAMPLES,
        SEED,
        signature(),
        tuple(
            ModelScores(
                model.identity,
                model.attention,
                model.pieces,
                model.over_limit,
                *_binned({span: _length_bin(span, model, found) for span, found in resampled.items()}),
            )
            for model in measured
        ),
        tuple(
            ModelGain(
                model.identity,
                without.identity,
                *_binned({span: _gain_bin(span, model, without, found) for span, found in resampled.items()}),
            )
            for model in with_attention
            if without is not None
        ),
    )


# --- One model --------------------------------------------------------------------------------------------------------


def measure(runner: Runner, pairs: Sequence[Pair], report: Report = lambda done: None) -> Measured:
    """Translate all pairs' sources greedily, and predict their references token by token.

    Args:
        runner: any model that translates.
        pairs: English, French.
        report: called with the number of passes finished since the last call; there are two for each pair that the
            model takes.

    Raises:
        InputError: sacrebleu is not installed.
        DeviceError: out of memory.
    """
    require_sacrebleu()
    outputs, over_limit = translate_pairs(runner, pairs, report)
    counts = bleu_counts(outputs, [french for _, french in pairs])
    config = runner.model.config
    attention = config.attention if isinstance(config, Seq2SeqConfig) else ""
    pieces = runner.card.sha256[TOKENIZER][:8]
    return Measured(runner.card.identity, attention, pieces, over_limit, counts, tokens_right(runner, pairs, report))


@torch.inference_mode()
def tokens_right(runner: Runner, pairs: Sequence[Pair], report: Report = lambda done: None) -> np.ndarray:
    """How many tokens of each reference the model predicts, given the source and all tokens before.

    One teacher-forced pass: at each step the most probable token counts, of those that are ever generated (no padding,
    <s>, tag or unknown piece). </s> is one of the reference's tokens. The reference has the spacing of French that the
    model was trained on; of one longer than the longest output only as much counts.

    Args:
        runner: any model that translates.
        pairs: English, French.
        report: called with the number of pairs finished since the last call.

    Returns:
        int64 (L, 2): tokens predicted right, and tokens. Of a source that the model does not take none is right.

    Raises:
        DeviceError: out of memory.
    """
    references = [_reference(runner, french) for _, french in pairs]
    sources = [_source(runner, english) for english, _ in pairs]
    usable = [index for index, source in enumerate(sources) if source]
    found = np.array([[0, len(reference)] for reference in references], dtype=np.int64)
    longest = {index: max(len(sources[index]), len(references[index])) for index in usable}
    with guard_memory(runner.device):
        for rows in _batches(longest):
            found[rows, 0] = _right(runner, [sources[i] for i in rows], [references[i] for i in rows])
            report(len(rows))
    return found


def _source(runner: Runner, text: str) -> Sequence[int]:
    """Ids of a source; none of one that the model does not take."""
    try:
        return runner.encode(text).ids
    except InputError:
        return ()


def _reference(runner: Runner, text: str) -> Sequence[int]:
    """Ids of a reference, </s> last unless the limit of outputs cut it."""
    tokenizer = runner.tokenizer
    return tokenizer.encode_output(tokenizer.normalise_output(text)).ids[: runner.longest_output]


def _batches(lengths: Mapping[int, int]) -> Iterator[list[int]]:
    """Rows of similar length, longest first, at most `BATCH_TOKENS` tokens with padding."""
    order = sorted(lengths, key=lambda row: lengths[row])
    while order:
        count = max(1, BATCH_TOKENS // lengths[order[-1]])
        yield order[-count:]
        del order[-count:]


def _right(runner: Runner, sources: Sequence[Sequence[int]], references: Sequence[Sequence[int]]) -> np.ndarray:
    """Tokens predicted right in each row, int64 (B,)."""
    pad, device = runner.vocabulary.pad, runner.device
    source, wanted = (pad_rows(rows, pad, device) for rows in (sources, references))
    read = pad_rows([[START, *reference[:-1]] for reference in references], pad, device)
    logits = runner.model(source, read)
    banned = torch.tensor(runner.vocabulary.banned, dtype=torch.long, device=device)
    said = logits.index_fill(2, banned, float("-inf")).argmax(-1)  # (B, T); padding is banned, and never right
    right: np.ndarray = (said == wanted).sum(1).cpu().numpy()
    return right


# --- Scores -----------------------------------------------------------------------------------------------------------


def bleu_counts(outputs: Sequence[str], references: Sequence[str]) -> np.ndarray:
    """What BLEU sums up of each line, int64 (L, 10): see `Measured`. Source: sacrebleu's default BLEU."""
    from sacrebleu.metrics import BLEU

    metric = BLEU(effective_order=True)  # which changes a single line's score, not what is counted
    lines = [metric.sentence_score(said, [wanted]) for said, wanted in zip(outputs, references, strict=True)]
    return np.array(
        [[*line.counts, *line.totals, line.sys_len, line.ref_len] for line in lines], dtype=np.int64
    ).reshape(-1, 10)


def corpus_bleu(counts: np.ndarray) -> float:
    """BLEU in [0, 100] of counts (10,) that are summed over lines: sacrebleu's default, exponential smoothing."""
    from sacrebleu.metrics import BLEU

    *ngrams, said, wanted = counts.tolist()
    return float(BLEU.compute_bleu(ngrams[:4], ngrams[4:], said, wanted, smooth_method="exp").score)


def signature() -> str:
    """What sacrebleu calls the BLEU that is measured."""
    from sacrebleu.metrics import BLEU

    metric = BLEU()
    metric.corpus_score(["a"], [["a"]])  # the signature tells the number of references, which it learns here
    return str(metric.get_signature())


@dataclass(frozen=True, slots=True, eq=False)
class _Resamples:
    """Some lines, and the scores of every model on the same resamples of them.

    Attributes:
        rows: the lines, int64 (n,).
        bleu: by identity, float64 (resamples,).
        accuracy: the same.
    """

    rows: np.ndarray
    bleu: Mapping[str, np.ndarray]
    accuracy: Mapping[str, np.ndarray]

    @classmethod
    def of(cls, measured: Sequence[Measured], rows: np.ndarray) -> _Resamples:
        often = resample_counts(len(rows))
        bleu = {model.identity: np.array([corpus_bleu(c) for c in often @ model.counts[rows]]) for model in measured}
        accuracy = {model.identity: _shares(often @ model.tokens[rows]) for model in measured}
        return cls(rows, bleu, accuracy)


def resample_counts(lines: int) -> np.ndarray:
    """How often each resample has each line, int64 (`RESAMPLES`, lines); rows sum to `lines`. Seeded."""
    rng = np.random.default_rng(SEED)
    often: np.ndarray = rng.multinomial(lines, np.full(lines, 1 / lines), size=RESAMPLES)
    return often


def _length_bin(span: tuple[int, int], model: Measured, found: _Resamples) -> LengthBin:
    counts = model.counts[found.rows].sum(axis=0)
    return LengthBin(
        *span,
        len(found.rows),
        _estimate(corpus_bleu(counts), found.bleu[model.identity], DIGITS - 3),
        _estimate(float(_shares(model.tokens[found.rows].sum(axis=0))), found.accuracy[model.identity], DIGITS),
        round(float(counts[8] / counts[9]), DIGITS),
    )


def _gain_bin(span: tuple[int, int], model: Measured, without: Measured, found: _Resamples) -> GainBin:
    first, second = (_length_bin(span, one, found) for one in (model, without))
    bleu, accuracy = (of[model.identity] - of[without.identity] for of in (found.bleu, found.accuracy))
    return GainBin(
        *span,
        len(found.rows),
        _estimate(first.bleu.value - second.bleu.value, bleu, DIGITS - 3),
        _estimate(first.accuracy.value - second.accuracy.value, accuracy, DIGITS),
    )


def _shares(right_and_all: np.ndarray) -> np.ndarray:
    """(..., 2) to (...): the first as a share of the second."""
    shares: np.ndarray = right_and_all[..., 0] / right_and_all[..., 1]
    return shares


def _estimate(value: float, resampled: np.ndarray, digits: int) -> Estimate:
    low, high = np.percentile(resampled, INTERVAL).tolist()
    return Estimate(round(value, digits), round(low, digits), round(high, digits))


def _binned(by_span: Mapping[tuple[int, int], Any]) -> tuple[tuple[Any, ...], Any]:
    """The bins in order, and the summary."""
    return tuple(by_span[span] for span in BINS if span in by_span), by_span.get(SUMMARY)
