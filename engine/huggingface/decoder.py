"""A decoder-only transformers model, as the rest of the engine sees the native GPT."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from engine.huggingface.hosted import Hosted, Shape
from engine.models.gpt import GPTMaps
from engine.models.taps import NO_TAPS, Taps, watching

Pairs = tuple[tuple[Tensor, Tensor], ...]
"""Keys and values of each layer, (B, G, length, D)."""


def cache_of(pairs: Pairs) -> Any:
    """What transformers carries from step to step, of values that it will not write into."""
    from transformers import DynamicCache

    return DynamicCache(pairs) if pairs else DynamicCache()


def pairs_of(cache: Any) -> Pairs:
    """Keys and values of a cache, as they are now."""
    return tuple((layer.keys, layer.values) for layer in cache.layers)


def chosen(pairs: Pairs, rows: Tensor) -> Pairs:
    """Those of other rows, by index."""
    return tuple(
        (key.index_select(0, rows.to(key.device)), value.index_select(0, rows.to(value.device))) for key, value in pairs
    )


@dataclass(frozen=True, slots=True)
class DecoderOnlyState:
    """What has been read so far; a value that later steps leave as it is.

    Attributes:
        pairs: of each layer the keys and values so far; none before the first token.
        length: number of tokens read.
        rows: how many texts.
    """

    pairs: Pairs
    length: int
    rows: int

    def select(self, rows: Tensor) -> DecoderOnlyState:
        """The state of other rows, by index."""
        return DecoderOnlyState(chosen(self.pairs, rows), self.length, len(rows))


class HostedDecoder(nn.Module):
    """The methods of `engine.models.gpt.GPT`. Nothing of a run stays on it."""

    def __init__(self, hosted: Hosted) -> None:
        super().__init__()
        self.hosted, self.network = hosted, hosted.model
        self.eval()

    @property
    def config(self) -> Shape:
        """The shape of its attention."""
        return self.hosted.shape

    @property
    def embedding(self) -> nn.Module:
        """Ids (B, T) to the vectors (B, T, d) that `forward_from_embeddings` takes."""
        found: nn.Module = self.hosted.model.get_input_embeddings()
        return found

    def forward(self, ids: Tensor, taps: Taps = NO_TAPS) -> Tensor:
        """Logits (B, T, vocabulary) of tokens (B, T): position i reads ids[:, i] and predicts the next token."""
        self.config.check_length(ids.shape[1])
        logits: Tensor = self.hosted.run(taps, input_ids=ids, use_cache=False).logits
        return logits

    def forward_from_embeddings(self, vectors: Tensor, taps: Taps = NO_TAPS) -> Tensor:
        """The same from token vectors (B, T, d), as `embedding` gives them."""
        self.config.check_length(vectors.shape[1])
        logits: Tensor = self.hosted.run(taps, inputs_embeds=vectors, use_cache=False).logits
        return logits

    def forward_with_maps(self, ids: Tensor, taps: Taps = NO_TAPS) -> GPTMaps:
        """A forward on the explicit path, with every attention weight; `taps` may change or watch more."""
        (batch, long), shape = ids.shape, self.config
        self.config.check_length(long)
        layers, heads = shape.layers["decoder"], shape.heads["decoder"]
        maps = torch.empty(layers, batch, heads, long, long, dtype=torch.float32, device=ids.device)
        return GPTMaps(self(ids, watching(taps, {"decoder": maps})), maps)

    def encode(self, source: Tensor) -> DecoderOnlyState:
        """Step protocol: the state after reading tokens (B, T); T may be 0."""
        before = DecoderOnlyState((), 0, len(source))
        return self._read(before, source)[1] if source.shape[1] else before

    def step(self, state: DecoderOnlyState, tokens: Tensor) -> tuple[Tensor, DecoderOnlyState]:
        """Step protocol: read tokens (B,), give natural log-probabilities float32 (B, vocabulary) and the next state.

        Raises:
            InputTooLong: the context is full.
        """
        logits, state = self._read(state, tokens[:, None])
        return logits[:, -1].float().log_softmax(-1), state

    def _read(self, state: DecoderOnlyState, ids: Tensor) -> tuple[Tensor, DecoderOnlyState]:
        length = state.length + ids.shape[1]
        self.config.check_length(length)
        output = self.hosted.run(input_ids=ids, past_key_values=cache_of(state.pairs), use_cache=True)
        return output.logits, DecoderOnlyState(pairs_of(output.past_key_values), length, state.rows)
