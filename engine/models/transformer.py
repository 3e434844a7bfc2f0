"""The encoder-decoder Transformer. Source: Vaswani et al. 2017, "Attention Is All You Need"."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from engine.errors import ConfigError
from engine.models.attention import MultiHeadAttention
from engine.models.taps import NO_TAPS, Tap, Taps, watching
from engine.types import Kind

ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "relu": F.relu,
    "gelu": F.gelu,
    "gelu_tanh": partial(F.gelu, approximate="tanh"),  # what GPT-2 has
    "silu": F.silu,
}


@dataclass(frozen=True, slots=True)
class TransformerConfig:
    """Shape and conventions, wide enough to hold the weights of `torch.nn.Transformer` and of Marian.

    Attributes:
        vocabulary: number of pieces; source and target share one embedding, which is also the output matrix.
        width: d_model.
        heads: per layer; divides `width`.
        encoder_layers, decoder_layers: depth of each stack.
        feedforward: hidden width of the position-wise network.
        norm: "pre" (layer norm before each sublayer, one more after each stack) or "post" (after, as in the paper).
        final_norm: a layer norm after each stack; `None` means "yes for pre, no for post".
        activation: of the position-wise network.
        positions: sinusoids "interleaved" (sin, cos, sin, ... as in the paper) or "concatenated" (sines, then cosines).
        scale_embedding: multiply embeddings by √width.
        output_bias: add a bias to the logits.
        max_length: the most positions of source or target.
        pad, unknown, start, end: special ids; decoding starts by reading `start`.
    """

    vocabulary: int
    width: int = 256
    heads: int = 8
    encoder_layers: int = 6
    decoder_layers: int = 6
    feedforward: int = 1024
    norm: Literal["pre", "post"] = "pre"
    final_norm: bool | None = None
    activation: Literal["relu", "gelu", "gelu_tanh", "silu"] = "relu"
    positions: Literal["interleaved", "concatenated"] = "interleaved"
    scale_embedding: bool = True
    output_bias: bool = False
    max_length: int = 256
    pad: int = 0
    unknown: int = 1
    start: int = 2
    end: int = 3

    def __post_init__(self) -> None:
        if self.heads < 1 or self.width % self.heads or self.width % 2:
            raise ConfigError(f"width {self.width} must be even and divisible by heads {self.heads}, at least 1.")
        if self.activation not in ACTIVATIONS:
            raise ConfigError(f"activation {self.activation!r}: choose one of {', '.join(ACTIVATIONS)}.")
        if self.norm not in ("pre", "post") or self.positions not in ("interleaved", "concatenated"):
            raise ConfigError(
                f"norm {self.norm!r} or positions {self.positions!r} is not one of the documented choices."
            )

    @property
    def has_final_norm(self) -> bool:
        return self.norm == "pre" if self.final_norm is None else self.final_norm

    @property
    def head_width(self) -> int:
        """Width of what a head gives: d/H."""
        return self.width // self.heads

    def attention_layers(self, kind: Kind) -> int:
        """Layers of a kind of attention."""
        return self.encoder_layers if kind == "encoder" else self.decoder_layers

    def attention_head_width(self, kind: Kind) -> int:
        """Width of what a head of a kind of attention gives."""
        return self.head_width

    def attention_heads(self, kind: Kind) -> int:
        """Heads of each layer of a kind of attention."""
        return self.heads


def sinusoids(length: int, width: int, layout: str = "interleaved") -> Tensor:
    """Position encodings. Source: Vaswani et al. 2017, section 3.5: sin and cos of pos / 10000^(2i/d).

    Returns:
        float32 (length, width) in [-1, 1].
    """
    position = torch.arange(length, dtype=torch.float64)[:, None]
    angle = position * torch.exp(torch.arange(0, width, 2, dtype=torch.float64) * (-math.log(10000.0) / width))
    pair = (angle.sin(), angle.cos())  # each (length, width / 2)
    encoding = torch.stack(pair, dim=-1).flatten(1) if layout == "interleaved" else torch.cat(pair, dim=-1)
    return encoding.float()


class Embedding(nn.Module):
    """Token vectors plus positions."""

    positions: Tensor

    def __init__(self, config: TransformerConfig) -> None:
        super().__init__()
        self.scale = math.sqrt(config.width) if config.scale_embedding else 1.0
        self.tokens = nn.Embedding(config.vocabulary, config.width)
        table = sinusoids(config.max_length, config.width, config.positions)
        self.register_buffer("positions", table, persistent=False)

    def forward(self, ids: Tensor) -> Tensor:
        """Scaled token vectors (B, T, d) of ids (B, T), without positions: what gradients are taken against."""
        return self.tokens(ids) * self.scale

    def place(self, vectors: Tensor, first: int = 0) -> Tensor:
        """Add the positions first, first + 1, ... to vectors (B, T, d)."""
        return vectors + self.positions[first : first + vectors.shape[1]].to(vectors.dtype)


class FeedForward(nn.Module):
    """Position-wise network: W₂ f(W₁ x)."""

    def __init__(self, config: TransformerConfig) -> None:
        super().__init__()
        self.activation = ACTIVATIONS[config.activation]
        self.up = nn.Linear(config.width, config.feedforward)
        self.down = nn.Linear(config.feedforward, config.width)

    def forward(self, x: Tensor) -> Tensor:
        return self.down(self.activation(self.up(x)))


class EncoderLayer(nn.Module):
    """Self-attention, then the position-wise network."""

    def __init__(self, config: TransformerConfig) -> None:
        super().__init__()
        self.pre = config.norm == "pre"
        self.attention = MultiHeadAttention(config.width, config.heads)
        self.attention_norm = nn.LayerNorm(config.width)
        self.feedforward = FeedForward(config)
        self.feedforward_norm = nn.LayerNorm(config.width)

    def forward(self, x: Tensor, mask: Tensor | None, tap: Tap | None = None) -> Tensor:
        """X (B, S, d) to (B, S, d)."""
        return self.finish(x, self.attention.attend(*self.project(x), mask=mask, tap=tap))

    def project(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Query, key and value of self-attention."""
        return self.attention.project_self(self.attention_norm(x) if self.pre else x)

    def finish(self, x: Tensor, attended: Tensor) -> Tensor:
        """Everything after self-attention, whose output for x is `attended`; both (B, S, d)."""
        x = x + attended
        if self.pre:
            return x + self.feedforward(self.feedforward_norm(x))
        x = self.attention_norm(x)
        return self.feedforward_norm(x + self.feedforward(x))


@dataclass(frozen=True, slots=True)
class LayerCache:
    """What one decoder layer keeps between steps: its own keys and values so far, and those of the source.

    Attributes:
        key, value: (B, H, steps so far, d/H).
        memory_key, memory_value: (B, H, S, d/H), or (1, H, S, d/H) where all rows share a source.
    """

    key: Tensor
    value: Tensor
    memory_key: Tensor
    memory_value: Tensor

    def select(self, rows: Tensor) -> LayerCache:
        """The cache of other rows: a beam search keeps, drops and repeats hypotheses."""
        alone = len(self.memory_key) == 1  # one source for every row: its memory is shared
        own = self.key.index_select(0, rows), self.value.index_select(0, rows)
        memory = self.memory_key, self.memory_value
        return LayerCache(*own, *(memory if alone else (side.index_select(0, rows) for side in memory)))


class DecoderLayer(nn.Module):
    """Masked self-attention, attention over the source ("cross"), then the position-wise network."""

    def __init__(self, config: TransformerConfig) -> None:
        super().__init__()
        self.pre = config.norm == "pre"
        self.attention = MultiHeadAttention(config.width, config.heads)
        self.attention_norm = nn.LayerNorm(config.width)
        self.cross = MultiHeadAttention(config.width, config.heads)
        self.cross_norm = nn.LayerNorm(config.width)
        self.feedforward = FeedForward(config)
        self.feedforward_norm = nn.LayerNorm(config.width)

    def forward(
        self,
        x: Tensor,
        memory: Tensor,
        memory_mask: Tensor | None,
        tap: Tap | None = None,
        cross_tap: Tap | None = None,
    ) -> Tensor:
        """All positions at once, teacher-forced: x (B, T, d) over memory (B, S, d)."""
        x = self.after_self(x, self.attention.attend(*self.project(x), causal=True, tap=tap))
        return self._look(x, self.cross.project_memory(memory), memory_mask, cross_tap)

    def start(self, memory: Tensor) -> LayerCache:
        """An empty cache over memory (B, S, d)."""
        memory_key, memory_value = self.cross.project_memory(memory)
        empty = memory_key[:, :, :0]
        return LayerCache(empty, empty, memory_key, memory_value)

    def step(
        self,
        x: Tensor,
        cache: LayerCache,
        memory_mask: Tensor | None,
        tap: Tap | None = None,
        cross_tap: Tap | None = None,
    ) -> tuple[Tensor, LayerCache]:
        """One position, x (B, 1, d), after those in the cache."""
        query, key, value = self.project(x)
        key, value = torch.cat([cache.key, key], dim=2), torch.cat([cache.value, value], dim=2)
        x = self.after_self(x, self.attention.attend(query, key, value, tap=tap))
        x = self._look(x, (cache.memory_key, cache.memory_value), memory_mask, cross_tap)
        return x, LayerCache(key, value, cache.memory_key, cache.memory_value)

    def project(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Query, key and value of self-attention."""
        return self.attention.project_self(self.attention_norm(x) if self.pre else x)

    def after_self(self, x: Tensor, attended: Tensor) -> Tensor:
        """X with the output of self-attention for it, both (B, T, d)."""
        return x + attended if self.pre else self.attention_norm(x + attended)

    def project_cross(self, x: Tensor) -> Tensor:
        """Query of cross-attention for x after self-attention: (B, H, T, d/H)."""
        return self.cross.project_query(self.cross_norm(x) if self.pre else x)

    def finish(self, x: Tensor, attended: Tensor) -> Tensor:
        """Everything after cross-attention, whose output for x is `attended`; both (B, T, d)."""
        x = x + attended
        if self.pre:
            return x + self.feedforward(self.feedforward_norm(x))
        x = self.cross_norm(x)
        return self.feedforward_norm(x + self.feedforward(x))

    def _look(self, x: Tensor, memory: tuple[Tensor, Tensor], memory_mask: Tensor | None, tap: Tap | None) -> Tensor:
        """Everything after self-attention; the same for a whole sequence and for one step."""
        key, value = (side.expand(len(x), -1, -1, -1) for side in memory)  # of one source for all rows
        return self.finish(x, self.cross.attend(self.project_cross(x), key, value, mask=memory_mask, tap=tap))


@dataclass(frozen=True, slots=True)
class TransformerMaps:
    """One forward pass with every attention weight.

    Attributes:
        logits: (B, T, vocabulary).
        encoder: float32 (encoder layers, B, H, S, S).
        decoder: float32 (decoder layers, B, H, T, T), causal.
        cross: float32 (decoder layers, B, H, T, S).
    """

    logits: Tensor
    encoder: Tensor
    decoder: Tensor
    cross: Tensor

    @property
    def by_kind(self) -> dict[Kind, Tensor]:
        """The maps by what they are."""
        return {"encoder": self.encoder, "decoder": self.decoder, "cross": self.cross}


def _no_taps(position: int) -> Taps:
    return {}


@dataclass(frozen=True, slots=True)
class DecoderState:
    """The decoder between two steps: `length` tokens read so far.

    Attributes:
        layers: one cache per decoder layer.
        memory_mask: bool (B, 1, 1, S), False at padding.
        length: number of tokens read.
        taps: those of the step at a position, from 0; they hold for every row.
    """

    layers: tuple[LayerCache, ...]
    memory_mask: Tensor | None
    length: int = 0
    taps: Callable[[int], Taps] = _no_taps

    def select(self, rows: Tensor) -> DecoderState:
        mask = self.memory_mask
        if mask is not None and len(mask) > 1:
            mask = mask[rows]
        return replace(self, layers=tuple(layer.select(rows) for layer in self.layers), memory_mask=mask)


class Transformer(nn.Module):
    """The whole model. It holds weights only: nothing of a run stays on it."""

    def __init__(self, config: TransformerConfig) -> None:
        super().__init__()
        self.config = config
        self.embedding = Embedding(config)
        self.encoder = nn.ModuleList(EncoderLayer(config) for _ in range(config.encoder_layers))
        self.decoder = nn.ModuleList(DecoderLayer(config) for _ in range(config.decoder_layers))
        has_norm = config.has_final_norm
        self.encoder_norm: nn.Module = nn.LayerNorm(config.width) if has_norm else nn.Identity()
        self.decoder_norm: nn.Module = nn.LayerNorm(config.width) if has_norm else nn.Identity()
        self.output_bias = nn.Parameter(torch.zeros(config.vocabulary)) if config.output_bias else None
        self.reset_parameters()

    @property
    def target_embedding(self) -> nn.Module:
        """What gives the decoder's token vectors: one matrix serves source, target and output."""
        return self.embedding

    def reset_parameters(self) -> None:
        """Xavier-uniform matrices, zero biases, embeddings of standard deviation d^-½ (1 after scaling)."""
        for name, parameter in self.named_parameters():
            if name.startswith("embedding"):
                nn.init.normal_(parameter, std=self.config.width**-0.5)
            elif parameter.ndim > 1:
                nn.init.xavier_uniform_(parameter)
            elif name.endswith("bias"):
                nn.init.zeros_(parameter)

    def source_mask(self, source: Tensor) -> Tensor | None:
        """Bool (B, 1, 1, S), False at padding of source ids (B, S); None if nothing is padded."""
        keep = source != self.config.pad
        return None if bool(keep.all()) else keep[:, None, None, :]

    def run_encoder(self, vectors: Tensor, mask: Tensor | None, taps: Taps = NO_TAPS) -> Tensor:
        """Token vectors (B, S, d) to encoder output (B, S, d)."""
        x = self.embedding.place(vectors)
        for index, layer in enumerate(self.encoder):
            x = layer(x, mask, taps.get(("encoder", index)))
        return self.encoder_norm(x)

    def run_decoder(self, vectors: Tensor, memory: Tensor, mask: Tensor | None, taps: Taps = NO_TAPS) -> Tensor:
        """Token vectors (B, T, d) and encoder output (B, S, d) to decoder output (B, T, d), before the output
        matrix.
        """
        x = self.embedding.place(vectors)
        for index, layer in enumerate(self.decoder):
            x = layer(x, memory, mask, taps.get(("decoder", index)), taps.get(("cross", index)))
        return self.decoder_norm(x)

    def logits(self, hidden: Tensor) -> Tensor:
        """(..., d) to (..., vocabulary): the embedding matrix, transposed."""
        return F.linear(hidden, self.embedding.tokens.weight, self.output_bias)

    def forward(self, source: Tensor, target: Tensor, taps: Taps = NO_TAPS) -> Tensor:
        """Teacher-forced logits (B, T, vocabulary) of ids (B, S) and (B, T); on the fused path where no tap needs the
        weights.

        Position i reads target[:, i] and predicts the next token. Padding of the target needs no mask, being last.
        """
        mask = self.source_mask(source)
        return self.forward_from_embeddings(self.embedding(source), self.embedding(target), mask, taps)

    def forward_from_embeddings(
        self, source: Tensor, target: Tensor, mask: Tensor | None = None, taps: Taps = NO_TAPS
    ) -> Tensor:
        """The same from scaled token vectors (B, S, d) and (B, T, d), as `Embedding.forward` gives them."""
        return self.logits(self.run_decoder(target, self.run_encoder(source, mask, taps), mask, taps))

    def forward_with_maps(self, source: Tensor, target: Tensor, taps: Taps = NO_TAPS) -> TransformerMaps:
        """The same on the explicit path, with every attention weight; `taps` may change or watch more."""
        config, device = self.config, source.device
        (batch, long), wide = source.shape, target.shape[1]
        shape = (batch, config.heads)
        maps: dict[Kind, Tensor] = {
            "encoder": torch.empty(config.encoder_layers, *shape, long, long, dtype=torch.float32, device=device),
            "decoder": torch.empty(config.decoder_layers, *shape, wide, wide, dtype=torch.float32, device=device),
            "cross": torch.empty(config.decoder_layers, *shape, wide, long, dtype=torch.float32, device=device),
        }
        return TransformerMaps(self(source, target, watching(taps, maps)), **maps)

    def _decoder_layers(self) -> Iterator[DecoderLayer]:
        for layer in self.decoder:
            assert isinstance(layer, DecoderLayer)
            yield layer

    def encode(self, source: Tensor, taps: Callable[[int], Taps] = _no_taps) -> DecoderState:
        """Step protocol: source ids (B, S) to the state before the first step.

        Args:
            source: int64 (B, S), padded.
            taps: those of the step at a position, from 0; the encoder takes its own from those of position 0.
        """
        mask = self.source_mask(source)
        memory = self.run_encoder(self.embedding(source), mask, taps(0))
        return DecoderState(tuple(layer.start(memory) for layer in self._decoder_layers()), mask, taps=taps)

    def step(self, state: DecoderState, tokens: Tensor, taps: Taps | None = None) -> tuple[Tensor, DecoderState]:
        """Step protocol: read tokens (B,), give natural log-probabilities float32 (B, vocabulary) and the next
        state. Given taps take the place of the state's own.
        """
        x = self.embedding.place(self.embedding(tokens[:, None]), state.length)
        taps, caches = state.taps(state.length) if taps is None else taps, []
        for index, (layer, cache) in enumerate(zip(self._decoder_layers(), state.layers, strict=True)):
            own, cross = taps.get(("decoder", index)), taps.get(("cross", index))
            x, cache = layer.step(x, cache, state.memory_mask, own, cross)
            caches.append(cache)
        logits = self.logits(self.decoder_norm(x))[:, 0]
        return logits.float().log_softmax(-1), replace(state, layers=tuple(caches), length=state.length + 1)

    def step_with_cross(self, state: DecoderState, tokens: Tensor) -> tuple[Tensor, DecoderState, Tensor]:
        """`step`, and where each row looks in the source: float32 (B, decoder layers, H, S)."""
        config, wide = self.config, state.layers[0].memory_key.shape[2]
        size = (config.decoder_layers, len(tokens), config.heads, 1, wide)
        weights = torch.empty(size, dtype=torch.float32, device=tokens.device)
        watched = watching(state.taps(state.length), {"cross": weights})
        logprobs, state = self.step(state, tokens, watched)
        return logprobs, state, weights[:, :, :, 0].transpose(0, 1)
