"""How well a language model predicts a text that it did not write: −log2 p, perplexity, bits per character."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from engine.decoding.continuing import dropped, windows
from engine.errors import EmptyInput, InputTooLong
from engine.models.char_lm import CharLM
from engine.models.trigram import Trigram
from engine.prose import CODE_POINT_BITS
from engine.prose_tokens import characters_of
from engine.runner import guard_memory
from engine.types import Surprise, Tokens

if TYPE_CHECKING:
    from engine.generator import Generator

LONGEST = 10_000  # characters of a text
PIECE = 500  # characters that a recurrent network reads between two reports


def surprise_of(generator: Generator, text: str, report: Callable[[float], None] | None = None) -> Surprise:
    """The surprise of each token of a text, given those before it.

    A text longer than the context is read in windows that overlap by half: each token is scored once, and has all of
    the text before it, or at least half a context. A recurrent network and counts read on. The tokens are those that
    the tokenizer makes; other ways to cut the text count for nothing, so that the bits are an upper bound.

    Args:
        generator: the model.
        text: any; our own models read its normal form, whose characters are then meant.
        report: called with the share that is done, in (0, 1]; what it raises ends the work.

    Raises:
        EmptyInput: nothing is left to be read.
        InputTooLong: more than `LONGEST` characters.
        DeviceError: out of memory.
    """
    if len(text) > 10 * LONGEST:  # refused before it is normalised, which takes a second for a million
        raise InputTooLong(f"This text has {len(text):,} characters and {LONGEST:,} is the most. Shorten it.")
    prose = generator.tokenizer.prose(text)
    if not prose.strip():
        raise EmptyInput("There is no text to be surprised by. Paste one, of a sentence at least.")
    if len(prose) > LONGEST:
        raise InputTooLong(f"This text has {len(prose):,} characters and {LONGEST:,} is the most. Shorten it.")
    tokens = generator.tokenizer.encode(prose)
    bits = -logprobs_along(generator, (generator.front, *tokens.ids), report) / math.log(2)
    spelled = unknown_characters(tokens, generator.unknown)
    return Surprise(
        tokens,
        np.maximum(bits, 0).astype(np.float32),
        float(2 ** bits.mean()),
        bits_per_character(bits, spelled, len(prose)),
        len(prose),
        _notes(generator, tokens, spelled),
    )


def bits_per_character(bits: np.ndarray, spelled: int, characters: int) -> float:
    """Bits of all tokens, and of characters that a model does not know, over the number of characters.

    Args:
        bits: (T,), −log2 of the probability of each token, that of "unknown" where it is one.
        spelled: characters that unknown tokens stand for; each costs a uniform choice among Unicode's 1,114,112 code
            points.
        characters: of the text, at least 1.
    """
    return (float(bits.sum()) + spelled * CODE_POINT_BITS) / characters


def unknown_characters(tokens: Tokens, unknown: int) -> int:
    """How many characters the unknown tokens of a text stand for, the spaces before them included."""
    counts = zip(characters_of(tokens), tokens.ids, strict=True)
    return sum(count for count, token in counts if token == unknown)


@torch.inference_mode()
def logprobs_along(
    generator: Generator, ids: Sequence[int], report: Callable[[float], None] | None = None
) -> np.ndarray:
    """Natural log-probability of each token but the first, given those before it that the model still sees.

    Args:
        generator: the model.
        ids: N of them, what stands before a text in front.
        report: called with the share that is done; what it raises ends the work.

    Returns:
        float64 (N − 1,).
    """
    model = generator.model
    if isinstance(model, Trigram):
        return np.log(model.probabilities(ids[1:]))
    if len(ids) < 2:
        return np.zeros(0)
    found = []
    with guard_memory(generator.device):
        passes = _carried(model, generator, ids) if isinstance(model, CharLM) else _windowed(generator, ids)
        for logits, first in passes:
            end = first + len(logits)
            wanted = generator.tensor(ids[first + 1 : end + 1])[0]
            picked = logits.gather(1, wanted.to(logits.device)[:, None])[:, 0] - logits.logsumexp(-1)
            found.append(picked.double().cpu().numpy())
            if report is not None:
                report(end / (len(ids) - 1))
    return np.concatenate(found)


def _windowed(generator: Generator, ids: Sequence[int]) -> Iterator[tuple[Tensor, int]]:
    """Logits (T, V) of neighbouring positions and the first of them, from windows of the context.

    A model with a large vocabulary gives those of a window in portions.
    """
    model: Any = generator.model
    portions: Callable[[Tensor], Iterator[Tensor]] = getattr(model, "portions", lambda read: iter((model(read),)))
    for start, first, end in windows(len(ids), generator.context):
        at = start
        for logits in portions(generator.tensor(ids[start:end])):
            new = logits[0, max(0, first - at) :]
            if len(new):
                yield new.float(), max(first, at)
            at += logits.shape[1]


def _carried(model: CharLM, generator: Generator, ids: Sequence[int]) -> Iterator[tuple[Tensor, int]]:
    """The same of a network that reads on, piece by piece."""
    state = None
    for first in range(0, len(ids) - 1, PIECE):
        part = generator.tensor(ids[first : min(first + PIECE, len(ids) - 1)])
        hidden, state = model.read(part, state)
        yield model.logits(hidden)[0].float(), first


def _notes(generator: Generator, tokens: Tokens, spelled: int) -> tuple[str, ...]:
    notes = []
    context = generator.context
    if context and len(tokens) + 1 > context:
        least = context - dropped(context + 1, context) + 1
        notes.append(
            f"The text has {len(tokens)} tokens and the model sees {context} at once: it is read in windows that "
            f"overlap by half, and each token is scored once, with at least {least} before it or all of the text."
        )
    if spelled:
        count = tokens.ids.count(generator.unknown)
        notes.append(
            f"{count} token{'s are' if count > 1 else ' is'} unknown to the model: bits per character add "
            f"{CODE_POINT_BITS:.1f} bits for each of the {spelled} character{'s' if spelled > 1 else ''} there, a "
            "uniform choice among Unicode's code points."
        )
    return tuple(notes)
