"""GPT: a decoder-only Transformer, which predicts every token from those before it.

Source: Radford et al. 2019, "Language Models are Unsupervised Multitask Learners" (GPT-2): learned positions, layer
norms before each sublayer and one at the end, one matrix for tokens read and predicted.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from engine.errors import InputTooLong
from engine.models.counts import check_counts
from engine.models.taps import NO_TAPS, Taps, watching
from engine.models.transformer import EncoderLayer, TransformerConfig
from engine.types import Kind

STANDARD_DEVIATION = 0.02  # of initial weights, as in GPT-2 and BERT


@dataclass(frozen=True, slots=True)
class GPTConfig:
    """Shape of a GPT.

    Attributes:
        vocabulary: number of pieces.
        width: of token vectors and layers.
        heads: per layer; divides `width`.
        layers: depth.
        feedforward: hidden width of the position-wise network.
        activation: of the position-wise network; GPT-2 has "gelu_tanh".
        context: the most tokens that it sees at once.
    """

    vocabulary: int
    width: int = 192
    heads: int = 8
    layers: int = 6
    feedforward: int = 768
    activation: str = "gelu_tanh"
    context: int = 256

    def __post_init__(self) -> None:
        check_counts(self, "vocabulary", "width", "heads", "layers", "feedforward", "context")
        _ = self.shape  # raises what is wrong with width, heads and activation

    def attention_layers(self, kind: Kind) -> int:
        """Layers of a kind of attention: it has one kind, "decoder"."""
        return self.layers if kind == "decoder" else 0

    def attention_heads(self, kind: Kind) -> int:
        """Heads of each layer."""
        return self.heads

    @property
    def shape(self) -> TransformerConfig:
        """What its layers are made from."""
        return TransformerConfig(
            vocabulary=self.vocabulary, width=self.width, heads=self.heads, feedforward=self.feedforward,
            norm="pre", activation=self.activation, max_length=self.context,  # type: ignore[arg-type]
        )  # fmt: skip


@dataclass(frozen=True, slots=True)
class GPTState:
    """What has been read so far; a value that later steps leave as it is.

    Attributes:
        layers: of each layer the keys and values so far, each (B, heads, length, d/heads).
        length: number of tokens read.
    """

    layers: tuple[tuple[Tensor, Tensor], ...]
    length: int = 0

    def select(self, rows: Tensor) -> GPTState:
        """The state of other rows, by index."""
        layers = tuple((key.index_select(0, rows), value.index_select(0, rows)) for key, value in self.layers)
        return replace(self, layers=layers)


@dataclass(frozen=True, slots=True)
class GPTMaps:
    """One pass with every attention weight.

    Attributes:
        logits: (B, T, vocabulary).
        decoder: float32 (layer, B, H, T, T), causal.
    """

    logits: Tensor
    decoder: Tensor


class GPT(nn.Module):
    """The whole model. It holds weights only: nothing of a run stays on it."""

    def __init__(self, config: GPTConfig) -> None:
        super().__init__()
        self.config = config
        self.embedding = nn.Embedding(config.vocabulary, config.width)
        self.positions = nn.Parameter(torch.empty(config.context, config.width))
        self.layers = nn.ModuleList(EncoderLayer(config.shape) for _ in range(config.layers))
        self.norm = nn.LayerNorm(config.width)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Normal weights, zero biases; what writes into the residual stream is smaller by √(2 layers), as in GPT-2."""
        for name, parameter in self.named_parameters():
            if name.endswith("bias"):
                nn.init.zeros_(parameter)
            elif parameter.ndim > 1:
                deep = name.endswith(("out_proj.weight", "down.weight"))
                nn.init.normal_(parameter, std=STANDARD_DEVIATION / ((2 * self.config.layers) ** 0.5 if deep else 1))

    def check_length(self, length: int) -> None:
        """Refuse what the positions do not reach, before memory is taken for it.

        Raises:
            InputTooLong: more tokens than positions.
        """
        if length > self.config.context:
            raise InputTooLong(
                f"This model sees {self.config.context} tokens at most, and the text has {length}. Shorten it."
            )

    def place(self, vectors: Tensor, first: int = 0) -> Tensor:
        """Add the positions first, first + 1, ... to vectors (B, T, d).

        Raises:
            InputTooLong: there are not so many.
        """
        last = first + vectors.shape[1]
        self.check_length(last)
        return vectors + self.positions[first:last].to(vectors.dtype)

    def hidden_from_embeddings(self, vectors: Tensor, taps: Taps = NO_TAPS) -> Tensor:
        """Token vectors (B, T, d) to the last layer's outputs (B, T, d)."""
        x = self.place(vectors)
        for index, layer in enumerate(self.layers):
            assert isinstance(layer, EncoderLayer)
            x = layer.finish(
                x, layer.attention.attend(*layer.project(x), causal=True, tap=taps.get(("decoder", index)))
            )
        hidden: Tensor = self.norm(x)
        return hidden

    def logits(self, hidden: Tensor) -> Tensor:
        """(..., d) to (..., vocabulary): the embedding matrix, transposed."""
        return F.linear(hidden, self.embedding.weight)

    def forward(self, ids: Tensor, taps: Taps = NO_TAPS) -> Tensor:
        """Logits (B, T, vocabulary) of tokens (B, T): position i reads ids[:, i] and predicts the next token.

        Padding needs no mask, being last.
        """
        return self.forward_from_embeddings(self.embedding(ids), taps)

    def forward_from_embeddings(self, vectors: Tensor, taps: Taps = NO_TAPS) -> Tensor:
        """The same from token vectors (B, T, d), as `embedding` gives them; positions are added here."""
        return self.logits(self.hidden_from_embeddings(vectors, taps))

    def forward_with_maps(self, ids: Tensor, taps: Taps = NO_TAPS) -> GPTMaps:
        """`forward` on the explicit path, with every attention weight; `taps` may change or watch more."""
        batch, long = ids.shape
        self.check_length(long)
        size = (self.config.layers, batch, self.config.heads, long, long)
        maps = torch.empty(size, dtype=torch.float32, device=ids.device)
        return GPTMaps(self(ids, watching(taps, {"decoder": maps})), maps)

    def encode(self, source: Tensor) -> GPTState:
        """Step protocol: the state after reading tokens (B, T); T may be 0."""
        return self._read(self.start(len(source)), source)[1]

    def start(self, batch: int = 1) -> GPTState:
        """The state before the first token."""
        config = self.config
        empty = self.positions.new_empty(batch, config.heads, 0, config.width // config.heads)
        return GPTState(((empty, empty),) * config.layers)

    def step(self, state: GPTState, tokens: Tensor) -> tuple[Tensor, GPTState]:
        """Step protocol: read tokens (B,), give natural log-probabilities float32 (B, vocabulary) and the next state.

        Raises:
            InputTooLong: the context is full.
        """
        hidden, state = self._read(state, tokens[:, None])
        return self.logits(hidden[:, -1]).float().log_softmax(-1), state

    def _read(self, state: GPTState, ids: Tensor) -> tuple[Tensor, GPTState]:
        """Read tokens (B, T) after a state: last outputs (B, T, d) and the next state."""
        if not ids.shape[1]:
            return self.positions.new_empty(len(ids), 0, self.config.width), state
        x, after = self.place(self.embedding(ids), state.length), []
        for layer, past in zip(self.layers, state.layers, strict=True):
            assert isinstance(layer, EncoderLayer)
            query, *own = layer.project(x)
            key, value = (torch.cat(both, dim=2) for both in zip(past, own, strict=True))
            x = layer.finish(x, layer.attention.attend(query, key, value, causal=True))
            after.append((key, value))
        return self.norm(x), GPTState(tuple(after), state.length + ids.shape[1])
