"""BERT's examples: pairs of texts, some of whose tokens are masked. Source: Devlin et al. 2019, sections 3.1, A.1."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from engine.text import PAD
from engine.training.language.prepared import Stream

CLS, SEP, MASK, LINE_ID = 4, 5, 6, 7
ORDINARY = 8  # the first id that is neither special nor a line break
CHOSEN = 0.15  # share of the tokens that are to be restored
MASKED, REPLACED = 0.8, 0.1  # of them: shown as [MASK], as a random token; the rest as they are
IGNORED = -1  # the target where nothing is to be restored
SHORTEST = 8  # tokens of a text
SHORTEST_PAIR = 2 * SHORTEST + 3


@dataclass(frozen=True, slots=True)
class Pairs:
    """A batch of examples, padded.

    Attributes:
        ids: int64 (B, T): [CLS] first text [SEP] second text [SEP], masked.
        segments: int64 (B, T): 0 up to the first [SEP], 1 behind it.
        targets: int64 (B, T): the token to restore, -1 where there is none.
        following: int64 (B,): 0 where the second text follows the first, 1 where it is from elsewhere.
    """

    ids: np.ndarray
    segments: np.ndarray
    targets: np.ndarray
    following: np.ndarray


def draw_pairs(stream: Stream, rng: np.random.Generator, count: int, length: int, vocabulary: int) -> Pairs:
    """Random pairs of neighbouring texts, half of the second ones swapped for one from anywhere.

    A text is whole sentences, as many as fit into half of a random length between a quarter of `length` and all of it;
    a single sentence that does not fit loses its end.

    Args:
        stream: the books.
        rng: of the draw.
        count: pairs.
        length: the most tokens of a pair, the three special ones included; `SHORTEST_PAIR` at least.
        vocabulary: number of pieces; random tokens are drawn from it.
    """
    assert length >= SHORTEST_PAIR
    rows = np.full((count, length), PAD, dtype=np.int64)
    segments = np.zeros((count, length), dtype=np.int64)
    following = (rng.random(count) < 0.5).astype(np.int64)
    ends = np.append(stream.sentences[1:], len(stream.ids))
    for row in range(count):
        room = max(2 * SHORTEST, int(rng.integers(length // 4, length + 1)) - 3)
        first, after = _text_at(stream, ends, int(rng.integers(len(stream.sentences))), room // 2)
        start = int(rng.integers(len(stream.sentences))) if following[row] or after >= len(ends) else after
        following[row] = int(start != after)
        second, _ = _text_at(stream, ends, start, room - room // 2)
        pair = np.concatenate([[CLS], first, [SEP], second, [SEP]])[:length]
        rows[row, : len(pair)] = pair
        segments[row, len(first) + 2 : len(pair)] = 1
    ids, targets = mask_tokens(rows, rng, vocabulary)
    longest = int((rows != PAD).sum(1).max())
    return Pairs(ids[:, :longest], segments[:, :longest], targets[:, :longest], following)


def _text_at(stream: Stream, ends: np.ndarray, sentence: int, room: int) -> tuple[np.ndarray, int]:
    """Tokens of whole sentences from one on, at least that one, and the sentence after them."""
    start, last = int(stream.sentences[sentence]), sentence
    while last + 1 < len(ends) and ends[last + 1] - start <= room:
        last += 1
    ids = stream.ids[start : ends[last]].astype(np.int64)
    return ids[ids >= ORDINARY][:room], last + 1


def mask_tokens(ids: np.ndarray, rng: np.random.Generator, vocabulary: int) -> tuple[np.ndarray, np.ndarray]:
    """Choose 15 % of the ordinary tokens; show 80 % of them as [MASK], 10 % as a random one, 10 % as they are.

    Args:
        ids: int64 (B, T).
        rng: of the choice.
        vocabulary: number of pieces.

    Returns:
        Ids as shown, and targets: the chosen tokens, -1 elsewhere; both int64 (B, T).
    """
    chosen = (rng.random(ids.shape) < CHOSEN) & (ids >= ORDINARY)
    fate = rng.random(ids.shape)
    shown = np.where(chosen & (fate < MASKED), MASK, ids)
    replaced = chosen & (fate >= MASKED) & (fate < MASKED + REPLACED)
    shown = np.where(replaced, rng.integers(ORDINARY, vocabulary, ids.shape), shown)
    return shown, np.where(chosen, ids, IGNORED)
