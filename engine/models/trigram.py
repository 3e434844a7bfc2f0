"""Counts of words, pairs and triples of words as a language model: "Mark V Shaney" with Kneser and Ney's smoothing.

Nothing is learned by gradients: the counts are the weights.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import safetensors
import safetensors.numpy
import torch
from torch import Tensor

from engine.errors import ConfigError, WeightsDamaged, WeightsMissing
from engine.models.trigram_table import Table, find_keys, narrowed, row_sums, widened
from engine.weights import CONFIG, WEIGHTS, from_json, read_json, write_json
from engine.words import UNKNOWN

RUN_ON = 200  # tokens after the number asked for, at which a random text without a full stop is cut
START = 0  # the order of a random text's first two words, which no context gave


@dataclass(frozen=True, slots=True)
class TrigramConfig:
    """What the counts do not say.

    Attributes:
        words: size of the vocabulary, the unknown word's id 0 included.
        paragraph: id of the break between paragraphs, which also stands before every text.
        stops: ids that end a sentence: . ! ?
        abbreviations: ids after which a full stop ends no sentence: " Mr", " Dr".
        discounts: taken off a count of 1, of 2, and of 3 or more, for triples, for pairs and for single words.
    """

    words: int
    paragraph: int
    stops: tuple[int, ...]
    abbreviations: tuple[int, ...]
    discounts: tuple[tuple[float, float, float], ...]

    def __post_init__(self) -> None:
        for name in ("stops", "abbreviations"):
            object.__setattr__(self, name, tuple(getattr(self, name)))
        object.__setattr__(self, "discounts", tuple(tuple(three) for three in self.discounts))
        ids = (self.paragraph, *self.stops, *self.abbreviations)
        if self.words < 2 or not all(isinstance(index, int) and 0 < index < self.words for index in ids):
            raise ConfigError(f"paragraph, stops and abbreviations are ids from 1 to {self.words - 1}.")
        if len(self.discounts) != 3 or any(len(three) != 3 for three in self.discounts):
            raise ConfigError("discounts are three for each of three orders.")
        if not all(0 < value <= seen for three in self.discounts for seen, value in enumerate(three, 1)):
            raise ConfigError("A discount is above 0, and at most the count that it is taken off.")


@dataclass(frozen=True, slots=True)
class Continuations:
    """What came after two words, as the lecture's `trigrams["based", "on"]` gives it.

    Attributes:
        pairs: (token id, count), most frequent first, equals by id; unknown words are left out.
        total: times that the context was seen, unknown and rare words after it included.
        different: known words after it in the table, of which `pairs` may show only the first.
        order: 3 where the pair was seen; 2: after the second word alone; 1: single words, whatever is before them.
    """

    pairs: tuple[tuple[int, int], ...]
    total: int
    different: int
    order: int


@dataclass(frozen=True, slots=True)
class RandomText:
    """A text drawn word by word.

    Attributes:
        ids: the tokens.
        orders: how each was drawn: 0 for the two that begin it, 3 after a pair, 2 and 1 where it was backed off.
        ended: whether it ends at a full stop; False if it was cut because none came.
    """

    ids: tuple[int, ...]
    orders: tuple[int, ...]
    ended: bool

    @property
    def backed_off(self) -> tuple[int, ...]:
        """Positions whose word was not drawn after the pair before it."""
        return tuple(place for place, order in enumerate(self.orders) if order in (1, 2))


@dataclass(frozen=True, slots=True)
class TrigramState:
    """The last two tokens read: int64 (B, 2)."""

    last: Tensor

    def select(self, rows: Tensor) -> TrigramState:
        """The state of other rows, by index."""
        return TrigramState(self.last.index_select(0, rows.to(self.last.device)))


class Trigram:
    """Language model of the two words before.

    The probability of w after u v is interpolated Kneser-Ney with three discounts per order:

        p(w | u v) = max(c(u v w) − D, 0) / c(u v) + λ(u v) · p(w | v)
        p(w | v)   = max(n(v w) − D, 0) / n(v ·)   + λ(v) · p(w)
        p(w)       = max(n(w) − D, 0) / n(·)       + λ / V

    c counts; n is what the order above leaves, the number of different words before; each λ is the mass that makes its
    row sum to 1, that of counts which a smaller table leaves out included. A context that was never seen has λ = 1.

    Source: Chen and Goodman 1998, "An empirical study of smoothing techniques for language modeling", section 3.
    """

    def __init__(self, config: TrigramConfig, table: Table) -> None:
        """Args:
        config: sizes, marks and discounts.
        table: counts that fit them.
        """
        assert not table.fault(config.words), table.fault(config.words)
        self.config, self.table = config, table

    @classmethod
    def load(cls, folder: Path) -> Trigram:
        """The model in a folder's weights.safetensors and config.json.

        Raises:
            WeightsMissing: a file is not there.
            WeightsDamaged: not safetensors, or arrays that are no table of this vocabulary.
            ConfigError: the configuration has unknown keys or impossible values.
        """
        config = from_json(TrigramConfig, read_json(folder / CONFIG), CONFIG)
        path = folder / WEIGHTS
        if not path.is_file():
            raise WeightsMissing(f"The counts {WEIGHTS} are missing. Restore them from the repository (git checkout).")
        try:
            arrays: dict[str, Any] = safetensors.numpy.load_file(path)
            table = Table(**{name: widened(array) for name, array in arrays.items()})
            reason = table.fault(config.words)
        except (safetensors.SafetensorError, TypeError, ValueError, KeyError) as error:
            reason = str(error)
        if reason:
            raise WeightsDamaged(
                f"The counts in {WEIGHTS} cannot be used ({reason}). Restore the file from the repository."
            )
        return cls(config, table)

    def save(self, folder: Path) -> None:
        """Write weights.safetensors, each array as uint16 or int32, and config.json."""
        safetensors.numpy.save_file({name: narrowed(a) for name, a in self.table.arrays().items()}, folder / WEIGHTS)
        (folder / WEIGHTS).chmod(0o644)  # safetensors writes for the owner alone
        write_json(folder / CONFIG, asdict(self.config))

    # --- Counts -------------------------------------------------------------------------------------------------------

    def continuations(self, first: int, second: int, n: int) -> Continuations:
        """The words most often seen after two words, or after the second alone, or anywhere.

        Args:
            first: id of the first word.
            second: id of the second.
            n: the most to list.
        """
        thirds, counts, total, order = self._after(first, second)
        best = np.lexsort((thirds, -counts))[:n]
        listed = zip(thirds[best].tolist(), counts[best].tolist(), strict=True)
        return Continuations(tuple(listed), total, len(thirds), order)

    def common_pairs(self, n: int) -> tuple[tuple[tuple[int, int], int], ...]:
        """The pairs of known words seen most often, ((first, second), count), equals by ids."""
        return self._ranked(np.arange(len(self.table.pair_counts)), self.table.pair_counts, n)

    @cached_property
    def starts(self) -> tuple[tuple[tuple[int, int], int], ...]:
        """The pairs of known words that begin sentences, ((first, second), count), most frequent first."""
        return self._ranked(self.table.start_pairs, self.table.start_counts, len(self.table.start_pairs))

    def _ranked(self, pairs: np.ndarray, counts: np.ndarray, n: int) -> tuple[tuple[tuple[int, int], int], ...]:
        firsts, seconds = self.table.pair_firsts[pairs], self.table.pair_seconds[pairs]
        known = np.flatnonzero((firsts != UNKNOWN) & (seconds != UNKNOWN))
        best = known[np.argsort(-counts[known].astype(np.int64), kind="stable")[:n]]
        columns = (firsts[best].tolist(), seconds[best].tolist(), counts[best].tolist())
        return tuple(((first, second), count) for first, second, count in zip(*columns, strict=True))

    def _after(self, first: int, second: int) -> tuple[np.ndarray, np.ndarray, int, int]:
        """Known words after a context and their counts, the context's own count, and the order of what was found."""
        table = self.table
        pair = int(find_keys(table.pair_keys, np.array([first * self.config.words + second]))[0])
        rows = []
        if pair >= 0 and first != UNKNOWN and second != UNKNOWN:
            bounds = slice(table.triple_offsets[pair], table.triple_offsets[pair + 1])
            rows.append((table.triple_thirds[bounds], table.triple_counts[bounds], int(table.pair_counts[pair]), 3))
        if second != UNKNOWN:
            bounds = slice(table.pair_offsets[second], table.pair_offsets[second + 1])
            rows.append((table.pair_seconds[bounds], table.pair_counts[bounds], int(table.word_counts[second]), 2))
        rows.append((np.arange(self.config.words), table.word_counts, int(table.word_counts.sum(dtype=np.int64)), 1))
        for words, counts, total, order in rows:
            known = (words != UNKNOWN) & (counts > 0)
            if known.any():
                return words[known].astype(np.int64), counts[known].astype(np.int64), total, order
        raise AssertionError("a table has a known word")

    def random_text(self, seed: int | np.random.Generator, words: int) -> RandomText:
        """A text as "Mark V Shaney" wrote them: each word drawn in proportion to its count after the two before it.

        It begins as a random sentence of the text began, and goes on after `words` tokens until a full stop.

        Source: Shaney and Kernighan's generator as the lecture gives it.

        Args:
            seed: of the draw; the same seed draws the same text.
            words: the fewest tokens, marks and breaks included; 2 at least.
        """
        generator = np.random.default_rng(seed)
        shares = np.array([count for _, count in self.starts], dtype=np.float64)
        ids = [*self.starts[generator.choice(len(shares), p=shares / shares.sum())][0]] if len(shares) else []
        ids = ids or [self.config.paragraph] * 2
        orders = [START, START]
        while len(ids) < words + RUN_ON:
            if len(ids) >= words and self.ends_sentence(ids[-2], ids[-1]):
                return RandomText(tuple(ids), tuple(orders), True)
            thirds, counts, _, order = self._after(ids[-2], ids[-1])
            ids.append(int(thirds[np.searchsorted(np.cumsum(counts), generator.integers(counts.sum()), side="right")]))
            orders.append(order)
        return RandomText(tuple(ids), tuple(orders), self.ends_sentence(ids[-2], ids[-1]))

    def ends_sentence(self, before: int, token: int) -> bool:
        """Whether a token ends a sentence: a full stop after no abbreviation, an exclamation or a question mark."""
        return token in self.config.stops and before not in self.config.abbreviations

    # --- Probabilities ------------------------------------------------------------------------------------------------

    def encode(self, source: Tensor) -> TrigramState:
        """Source ids int64 (B, S), unpadded, to the state before the first step; S may be 0."""
        before = source.new_full((len(source), 2), self.config.paragraph)
        return TrigramState(torch.cat([before, source], dim=1)[:, -2:])

    def step(self, state: TrigramState, tokens: Tensor) -> tuple[Tensor, TrigramState]:
        """Read tokens (B,); give natural log-probabilities float32 (B, V) of the next ones, and the next state."""
        last = torch.stack([state.last[:, 1], tokens.to(state.last)], dim=1)
        logprobs = np.log(self.distributions(last.cpu().numpy())).astype(np.float32)
        return torch.from_numpy(logprobs).to(tokens.device), TrigramState(last)

    def distributions(self, contexts: np.ndarray) -> np.ndarray:
        """Probabilities of every word after pairs of words.

        Args:
            contexts: int (B, 2).

        Returns:
            float64 (B, V), all above 0, rows sum to 1.
        """
        table = self.table
        rows = np.empty((len(contexts), self.config.words))
        pairs = find_keys(table.pair_keys, contexts[:, 0] * self.config.words + contexts[:, 1])
        for row, word, pair in zip(rows, contexts[:, 1].tolist(), pairs.tolist(), strict=True):
            row[:] = self._single * self._word_rest[word]
            bounds = slice(table.pair_offsets[word], table.pair_offsets[word + 1])
            row[table.pair_seconds[bounds]] += self._pair_shares[bounds]
            if pair >= 0:
                row *= self._pair_rest[pair]
                bounds = slice(table.triple_offsets[pair], table.triple_offsets[pair + 1])
                row[table.triple_thirds[bounds]] += self._triple_shares[bounds]
        return rows

    def probabilities(self, ids: np.ndarray | Sequence[int]) -> np.ndarray:
        """The probability of each token of a text after the two before it, as `distributions` gives it.

        Args:
            ids: int (N,). Paragraph breaks stand before the first.

        Returns:
            float64 (N,), in (0, 1).
        """
        table = self.table
        words = np.concatenate([[self.config.paragraph] * 2, np.asarray(ids, dtype=np.int64)])
        first, second, third = words[:-2], words[1:-1], words[2:]
        ends = find_keys(table.pair_keys, second * self.config.words + third)
        values = self._single[third] * self._word_rest[second] + _at(self._pair_shares, ends, 0.0)
        pairs = find_keys(table.pair_keys, first * self.config.words + second)
        triples = np.where(pairs < 0, -1, find_keys(table.triple_keys, pairs * self.config.words + third))
        return values * _at(self._pair_rest, pairs, 1.0) + _at(self._triple_shares, triples, 0.0)

    @cached_property
    def _triple_shares(self) -> np.ndarray:
        """(c(u v w) − D) / c(u v): float64 (T,)."""
        kept = _discounted(self.table.triple_counts, self.config.discounts[0])
        return kept / self.table.pair_counts[self.table.triple_pairs]

    @cached_property
    def _pair_rest(self) -> np.ndarray:
        """λ(u v), what the triples of each pair leave: float64 (P,)."""
        return 1 - row_sums(self.table.triple_pairs, self._triple_shares, len(self.table.pair_counts))

    @cached_property
    def _pair_shares(self) -> np.ndarray:
        """(n(v w) − D) / n(v ·): float64 (P,)."""
        kept = _discounted(self.table.pair_left, self.config.discounts[1])
        return kept / self.table.word_totals[self.table.pair_firsts]

    @cached_property
    def _word_rest(self) -> np.ndarray:
        """λ(v): float64 (V,)."""
        return 1 - row_sums(self.table.pair_firsts, self._pair_shares, self.config.words)

    @cached_property
    def _single(self) -> np.ndarray:
        """p(w): float64 (V,)."""
        shares = _discounted(self.table.word_left, self.config.discounts[2]) / max(1, int(self.table.word_left.sum()))
        return shares + (1 - math.fsum(shares)) / self.config.words


def _discounted(counts: np.ndarray, discounts: Sequence[float]) -> np.ndarray:
    """Counts less their discount, 0 where nothing was counted: float64, the same shape."""
    return counts - np.array([0.0, *discounts])[np.minimum(counts, 3)]


def _at(values: np.ndarray, places: np.ndarray, otherwise: float) -> np.ndarray:
    """The values at some places, another value where a place is -1."""
    return np.where(places < 0, otherwise, np.append(values, otherwise)[places])
