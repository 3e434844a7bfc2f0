"""An encoder-decoder transformers model, as the rest of the engine sees the native Transformer."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn

from engine.huggingface.decoder import Pairs, cache_of, chosen, pairs_of
from engine.huggingface.hosted import Hosted, Shape
from engine.models.taps import NO_TAPS, Taps, watching
from engine.models.transformer import TransformerMaps
from engine.types import Kind


def _no_taps(position: int) -> Taps:
    return {}


@dataclass(frozen=True, slots=True)
class Seq2SeqState:
    """The decoder between two steps; a value that later steps leave as it is.

    Attributes:
        memory: the encoder's output (B, S, d).
        mask: int64 (B, S), 0 at padding; None if nothing is padded.
        own: of each decoder layer the keys and values of what was read.
        cross: those of the source; none before the first step.
        length: tokens read so far.
        taps: those of the step at a position, from 0; they hold for every row.
    """

    memory: Tensor
    mask: Tensor | None
    own: Pairs = ()
    cross: Pairs = ()
    length: int = 0
    taps: Callable[[int], Taps] = _no_taps

    def select(self, rows: Tensor) -> Seq2SeqState:
        """The state of other rows, by index."""
        mask = self.mask.index_select(0, rows) if self.mask is not None else None
        memory = self.memory.index_select(0, rows.to(self.memory.device))
        return replace(self, memory=memory, mask=mask, own=chosen(self.own, rows), cross=chosen(self.cross, rows))


class TokenVectors(nn.Module):
    """Ids to the vectors that a stack takes in their place."""

    def __init__(self, stack: Any, scale: float) -> None:
        """Args:
        stack: the encoder or the decoder.
        scale: what it multiplies vectors of ids by, and vectors that are given not.
        """
        super().__init__()
        self.tokens: nn.Module = stack.get_input_embeddings()
        self.scale = scale

    def forward(self, ids: Tensor) -> Tensor:
        """Ids (B, T) to vectors (B, T, d)."""
        vectors: Tensor = self.tokens(ids)
        return vectors * self.scale


class HostedSeq2Seq(nn.Module):
    """The methods of `engine.models.transformer.Transformer`. Nothing of a run stays on it.

    Attributes:
        hosted: the model.
        pad: id of padding.
        embedding: source ids (B, S) to the vectors (B, S, d) that `forward_from_embeddings` takes.
        target_embedding: the same of what the decoder reads.
    """

    def __init__(self, hosted: Hosted, pad: int, end: int = -1, forced: int = -1) -> None:
        """Args:
        hosted: the model.
        pad: id of padding.
        end: id that ends a text, which some models pad with as well.
        forced: id that every output begins with; −1 where the model chooses.
        """
        super().__init__()
        self.hosted, self.network = hosted, hosted.model
        self.pad, self.end, self.forced = pad, end, forced
        encoder, decoder = hosted.model.get_encoder(), hosted.model.get_decoder()
        scales = [hosted.scale_of_vectors(stack) for stack in (encoder, decoder)]
        self.embedding, self.target_embedding = (
            TokenVectors(stack, scale) for stack, scale in zip((encoder, decoder), scales, strict=True)
        )
        self.eval()

    @property
    def config(self) -> Shape:
        """The shape of its attention."""
        return self.hosted.shape

    def forward(self, source: Tensor, target: Tensor, taps: Taps = NO_TAPS) -> Tensor:
        """Teacher-forced logits (B, T, vocabulary) of ids (B, S) and (B, T)."""
        output = self.hosted.run(
            taps,
            input_ids=source,
            attention_mask=self._mask(source),
            decoder_input_ids=target,
            use_cache=False,
        )
        logits: Tensor = output.logits
        return logits

    def source_mask(self, source: Tensor) -> Tensor | None:
        """Bool (B, 1, 1, S), False at padding of source ids (B, S); None if nothing is padded."""
        mask = self._mask(source)
        return None if mask is None else mask.bool()[:, None, None]

    def _mask(self, source: Tensor) -> Tensor | None:
        """int64 (B, S), 0 at padding behind the longest source; None if nothing is padded."""
        keep = source != self.pad
        if self.pad == self.end:  # the first of those at the end is the text's own
            keep = keep | torch.cat([torch.ones_like(keep[:, :1]), keep[:, :-1]], dim=1)
        if len(source) == 1 or bool(keep.all()):  # one source is not padded, whatever it holds
            return None
        return keep.long()

    def forward_from_embeddings(
        self, source: Tensor, target: Tensor, mask: Tensor | None = None, taps: Taps = NO_TAPS
    ) -> Tensor:
        """The same from token vectors (B, S, d) and (B, T, d), and a mask as `source_mask` gives it."""
        output = self.hosted.run(
            taps,
            inputs_embeds=source,
            attention_mask=None if mask is None else mask[:, 0, 0].long(),
            decoder_inputs_embeds=target,
            use_cache=False,
        )
        logits: Tensor = output.logits
        return logits

    def forward_with_maps(self, source: Tensor, target: Tensor, taps: Taps = NO_TAPS) -> TransformerMaps:
        """The same on the explicit path, with every attention weight; `taps` may change or watch more."""
        (batch, long), wide = source.shape, target.shape[1]
        sides: dict[Kind, tuple[int, int]] = {"encoder": (long, long), "decoder": (wide, wide), "cross": (wide, long)}
        maps = {kind: self._buffer(kind, batch, side) for kind, side in sides.items()}
        return TransformerMaps(self(source, target, watching(taps, maps)), **maps)

    def _buffer(self, kind: Kind, batch: int, side: tuple[int, int]) -> Tensor:
        shape = self.config
        size = (shape.attention_layers(kind), batch, shape.attention_heads(kind), *side)
        return torch.empty(size, dtype=torch.float32, device=self.hosted.device)

    def encode(self, source: Tensor, taps: Callable[[int], Taps] = _no_taps) -> Seq2SeqState:
        """Step protocol: source ids (B, S) to the state before the first step.

        Args:
            source: int64 (B, S), padded.
            taps: those of the step at a position, from 0; the encoder takes its own from those of position 0.
        """
        mask = self._mask(source)
        memory = self.hosted.run_encoder(taps(0), input_ids=source, attention_mask=mask)
        return Seq2SeqState(memory, mask, taps=taps)

    def step(self, state: Seq2SeqState, tokens: Tensor, taps: Taps | None = None) -> tuple[Tensor, Seq2SeqState]:
        """Step protocol: read tokens (B,), give natural log-probabilities float32 (B, vocabulary) and the next
        state. Given taps take the place of the state's own.
        """
        from transformers import EncoderDecoderCache
        from transformers.modeling_outputs import BaseModelOutput

        taps = state.taps(state.length) if taps is None else taps
        output = self.hosted.run(
            taps,
            encoder_outputs=BaseModelOutput(last_hidden_state=state.memory),
            attention_mask=state.mask,
            decoder_input_ids=tokens[:, None],
            past_key_values=EncoderDecoderCache(cache_of(state.own), cache_of(state.cross)),
            use_cache=True,
        )
        cache: Any = output.past_key_values
        after = replace(
            state,
            own=pairs_of(cache.self_attention_cache),
            cross=pairs_of(cache.cross_attention_cache),
            length=state.length + 1,
        )
        logprobs = output.logits[:, -1].float().log_softmax(-1)
        if self.forced >= 0 and state.length == 0:
            logprobs = torch.full_like(logprobs, -torch.inf)
            logprobs[:, self.forced] = 0.0
        return logprobs, after

    def step_with_cross(self, state: Seq2SeqState, tokens: Tensor) -> tuple[Tensor, Seq2SeqState, Tensor]:
        """`step`, and where each row looks in the source: float32 (B, decoder layers, H, S)."""
        weights = self._buffer("cross", len(tokens), (1, state.memory.shape[1]))
        logprobs, state = self.step(state, tokens, watching(state.taps(state.length), {"cross": weights}))
        return logprobs, state, weights[:, :, :, 0].transpose(0, 1)
