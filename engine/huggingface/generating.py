"""A decoder-only transformers model and its tokenizer as a Generator: prompts, samples, surprise, maps, gradients."""

from __future__ import annotations

import codecs
import inspect
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from typing import Any

import torch
from torch import Tensor

from engine.errors import InputError, UnknownCharacters, Unsupported
from engine.generator import Generator
from engine.huggingface.decoder import DecoderOnlyState, HostedDecoder, cache_of, pairs_of
from engine.huggingface.tokens import HostedTokenizer
from engine.huggingface.vocabulary import PROBES
from engine.model_card import ModelCard
from engine.models.taps import Taps
from engine.text import quoted
from engine.types import Tokens

LONGEST = 4_096  # tokens that a model without a limit of its own sees at once
PORTION = 128 * 2**20  # bytes of logits that are made at a time
CHARACTER = 4  # bytes of the longest character


def generator_of_hosted(card: ModelCard, model: HostedDecoder, tokenizer: HostedTokenizer, device: str) -> Generator:
    """A generator of a decoder-only model of somebody's own.

    Its texts begin with the token that its tokenizer calls the beginning of a text, where there is none with the one
    that ends a text, as GPT-2 was trained. It sees `card.longest` tokens at once, no more than it has positions for.

    Args:
        card: what is known of it; `longest` 0 leaves the limit to the model, or to `LONGEST`.
        model: in evaluation mode, on the device.
        tokenizer: of the model; its `start` and `end` are −1 where there is none.
        device: where the model reads.

    Raises:
        Unsupported: the tokenizer has neither.
    """
    prose = HostedProse(tokenizer, model.config.vocabulary)
    front = next((token for token in (tokenizer.start, tokenizer.end) if 0 <= token < len(prose)), -1)
    if front < 0:
        raise Unsupported(
            f"The tokenizer of {card.name} names no token that begins or ends a text, so that nothing could stand "
            "before a prompt. Give it a bos_token in tokenizer_config.json, then open the model again."
        )
    own = model.config.context or LONGEST
    return Generator(
        card,
        ContinuingDecoder(model.hosted),
        prose,
        device,
        front,
        tokenizer.end,
        tokenizer.unknown,
        tuple(token for token in tokenizer.banned if token < model.config.vocabulary),
        context=min(card.longest or own, own),
        habit=_habit(tokenizer, front),
    )


def _habit(tokenizer: HostedTokenizer, front: int) -> str:
    """What is to be said of a token in front that the tokenizer itself does not put there."""
    for probe in PROBES:
        with suppress(UnknownCharacters):
            if tokenizer.encode(probe).ids[:1] == (front,):
                return ""
            break
    label = quoted(tokenizer.label_of(front))
    which = "the beginning" if front == tokenizer.start and front != tokenizer.end else "the end"
    return (
        f"{label} stands before every text here, so that the first token is predicted from something too: it marks "
        f"{which} of a text. The model's tokenizer by itself puts nothing there."
    )


class HostedProse:
    """A hosted tokenizer as a Generator sees it: texts are read as they were typed, but for control characters."""

    def __init__(self, tokenizer: HostedTokenizer, vocabulary: int) -> None:
        """Args:
        tokenizer: of the model.
        vocabulary: number of ids that the model has; the tokenizer may have more or fewer.
        """
        self.tokenizer, self.vocabulary = tokenizer, vocabulary

    def __len__(self) -> int:
        return min(len(self.tokenizer), self.vocabulary)

    def form(self, prompt: str) -> str:
        """What is read of a prompt."""
        return self.tokenizer.normalise(prompt)

    def prose(self, text: str) -> str:
        """What is read of a whole text."""
        return self.tokenizer.normalise(text)

    def typed(self, text: str) -> str:
        """What one types for a text: the same."""
        return text

    def encode(self, text: str) -> Tokens:
        """Tokens of a text alone, maybe none.

        Raises:
            InputError: the tokenizer knows a piece of it that the model does not.
        """
        tokens = self.tokenizer.plain(text)
        strange = [label for label, token in zip(tokens.labels, tokens.ids, strict=True) if token >= self.vocabulary]
        if strange:
            raise InputError(
                f"The tokenizer has {quoted(strange[0])} as a token and the model does not: they are not quite of one "
                "kind. Leave it out of the text."
            )
        return tokens

    def extended(self, tokens: Tokens, ids: Sequence[int], ends: int) -> Tokens:
        """A text's tokens and those of its continuation.

        A character at the end of which bytes are still to come is no part of the text yet: the tokens of its first
        bytes are labelled with them, and have empty spans.
        """
        if not ids:
            return tokens
        found = self.tokenizer.extended(tokens, ids)
        length = len(found.text) - self._pending(ids)
        if length == len(found.text):
            return found
        spans = tuple((min(start, length), min(end, length)) for start, end in found.spans)
        return Tokens(found.text[:length], found.labels, found.ids, found.words, spans, found.special)

    def _pending(self, ids: Sequence[int]) -> int:
        """How many bytes at the end begin a character that others have to complete."""
        ending = b""
        for token in reversed(ids):
            ending = self.tokenizer.bytes_of(token) + ending
            if len(ending) >= CHARACTER:
                break
        decoder = codecs.getincrementaldecoder("utf-8")("surrogateescape")
        decoder.decode(ending)
        return len(decoder.getstate()[0])

    def added(self, text: str, before: Sequence[int], token: int) -> str:
        """What an id adds to a text: a whole character once its last byte is there."""
        count, size = 0, 0
        while count < len(before) and size < 2 * CHARACTER:  # what stands further back decides nothing
            count += 1
            size += len(self.tokenizer.bytes_of(before[-count]))
        return self.tokenizer.added(before[len(before) - count :], token)

    def label_of(self, token: int) -> str:
        """What a screen shows of an id."""
        return self.tokenizer.label_of(token)

    def text_of(self, token: int) -> str:
        """What an id adds within a text, its leading space included; nothing for special ids."""
        return self.tokenizer.text_of(token)

    def decode(self, ids: Iterable[int]) -> str:
        """Text of ids."""
        return self.tokenizer.decode(ids)


class ContinuingDecoder(HostedDecoder):
    """A hosted decoder that makes logits only where they are wanted: one position of 150,000 words has 0.6 MB."""

    def watch(self, ids: Tensor, taps: Taps) -> None:
        """A forward of tokens (B, T) for what its taps see alone: no logits but the last ones are made."""
        self.config.check_length(ids.shape[1])
        self.hosted.run(taps, input_ids=ids, use_cache=False, **self._last)

    def portions(self, ids: Tensor) -> Iterator[Tensor]:
        """The logits (1, t, vocabulary) of tokens (1, T), some positions at a time, in order."""
        size = max(1, PORTION // (4 * self.config.vocabulary))
        if ids.shape[1] <= size:
            yield self(ids)
            return
        state = DecoderOnlyState((), 0, len(ids))
        for part in ids.split(size, dim=1):
            logits, state = self._pass(state, part, {})
            yield logits

    def logits_at(self, vectors: Tensor, times: Sequence[int]) -> Tensor:
        """Logits (B, len(times), vocabulary) at some positions, from token vectors (B, T, d)."""
        self.config.check_length(vectors.shape[1])
        if not self._keeps:
            return self.forward_from_embeddings(vectors)[:, list(times)]
        keep = torch.tensor(list(times), device=vectors.device)
        logits: Tensor = self.hosted.run(inputs_embeds=vectors, use_cache=False, logits_to_keep=keep).logits
        return logits

    def _read(self, state: DecoderOnlyState, ids: Tensor) -> tuple[Tensor, DecoderOnlyState]:
        return self._pass(state, ids, self._last)

    def _pass(self, state: DecoderOnlyState, ids: Tensor, options: dict[str, Any]) -> tuple[Tensor, DecoderOnlyState]:
        """Read tokens (B, T) after a state: logits, of all positions or as the options say, and the next state."""
        length = state.length + ids.shape[1]
        self.config.check_length(length)
        output = self.hosted.run(input_ids=ids, past_key_values=cache_of(state.pairs), use_cache=True, **options)
        return output.logits, DecoderOnlyState(pairs_of(output.past_key_values), length, state.rows)

    @property
    def _last(self) -> dict[str, Any]:
        """What asks for the logits of the last position alone."""
        return {"logits_to_keep": 1} if self._keeps else {}

    @property
    def _keeps(self) -> bool:
        """Whether the model can be asked for the logits of some positions alone."""
        return "logits_to_keep" in inspect.signature(self.hosted.model.forward).parameters
