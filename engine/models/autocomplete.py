"""Autocomplete: characters in, at every one of them the whole word out.

Source: Madsen 2019, "Visualizing memorization in RNNs" (Distill). Every character, the space before a word included,
predicts the word that it belongs to. Five networks of about one size: tanh, GRU, LSTM, nested LSTM, Transformer.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal, get_args

import torch
from torch import Tensor, nn

from engine.characters import CHARACTERS
from engine.errors import ConfigError, InputTooLong, Unsupported
from engine.models.counts import check_counts
from engine.models.recurrent import CellKind, Recording, RecurrentStack, State
from engine.models.taps import NO_TAPS, Taps, watching
from engine.models.transformer import EncoderLayer, TransformerConfig, sinusoids
from engine.types import Kind

BodyKind = Literal["rnn", "gru", "lstm", "nlstm", "transformer"]


@dataclass(frozen=True, slots=True)
class AutocompleteConfig:
    """Shape of one network.

    Attributes:
        cell: what reads the characters.
        words: number of words that can come out.
        characters: number of character ids, see `engine.characters`.
        embedding: width of a character's vector; that of the Transformer is `width`.
        width: of every layer.
        layers: depth; a nested LSTM's two levels are one layer.
        heads: of the Transformer; divides `width`.
        feedforward: hidden width of the Transformer's position-wise network.
        max_length: the most characters for which the Transformer has positions; the others take any number.
    """

    cell: BodyKind
    words: int
    characters: int = CHARACTERS
    embedding: int = 64
    width: int = 384
    layers: int = 2
    heads: int = 8
    feedforward: int = 1024
    max_length: int = 256

    def attention_layers(self, kind: Kind) -> int:
        """Layers of a kind of attention: of a Transformer "decoder", of a recurrent network none."""
        return self.layers if kind == "decoder" and self.cell == "transformer" else 0

    def attention_heads(self, kind: Kind) -> int:
        """Heads of each layer."""
        return self.heads

    def __post_init__(self) -> None:
        if self.cell not in get_args(BodyKind):
            raise ConfigError(f"cell {self.cell!r}: choose one of {', '.join(get_args(BodyKind))}.")
        check_counts(self, "words", "characters", "embedding", "width", "layers", "heads", "feedforward", "max_length")
        if self.cell == "transformer" and (self.width % self.heads or self.width % 2 or self.embedding != self.width):
            raise ConfigError(
                f"A transformer of width {self.width} needs it to be even, divisible by heads {self.heads}, and equal "
                f"to embedding {self.embedding}."
            )


# About 2.9 million weights each, 5.8 MB in float16. The article's nested LSTM, too, has one layer, of depth 2.
SHAPES: dict[str, AutocompleteConfig] = {
    "autocomplete-rnn": AutocompleteConfig("rnn", words=4096, width=512),
    "autocomplete-gru": AutocompleteConfig("gru", words=4096, width=384),
    "autocomplete-lstm": AutocompleteConfig("lstm", words=4096, width=344),
    "autocomplete-nlstm": AutocompleteConfig("nlstm", words=4096, width=344, layers=1),
    "autocomplete-transformer": AutocompleteConfig(
        "transformer", words=4096, embedding=224, width=224, layers=4, heads=8, feedforward=640
    ),
}


@dataclass(frozen=True, slots=True)
class AutocompleteState:
    """What has been read so far; a value that later steps leave as it is.

    Attributes:
        layers: of each layer, a recurrent cell's state, each (B, H), or the Transformer's keys and values so far, each
            (B, heads, length, d/heads).
        length: number of characters read.
    """

    layers: tuple[State, ...]
    length: int = 0

    def select(self, rows: Tensor) -> AutocompleteState:
        """The state of other rows, by index."""
        layers = tuple(tuple(part.index_select(0, rows) for part in layer) for layer in self.layers)
        return replace(self, layers=layers)


@dataclass(frozen=True, slots=True)
class AutocompleteMaps:
    """One pass of the Transformer with every attention weight.

    Attributes:
        logits: (B, T, words).
        decoder: float32 (layer, B, H, T, T), causal.
    """

    logits: Tensor
    decoder: Tensor


@dataclass(frozen=True, slots=True)
class AutocompleteStates:
    """One pass of a recurrent network with every state and gate.

    Attributes:
        logits: (B, T, words).
        recording: states and gates of every layer at every character.
    """

    logits: Tensor
    recording: Recording


class CausalTransformer(nn.Module):
    """A decoder-only Transformer: masked self-attention and position-wise networks, layer norms before each.

    Source: Vaswani et al. 2017, section 3.1, without the attention over a source; norms as in Radford et al. 2019.
    """

    positions: Tensor

    def __init__(self, config: AutocompleteConfig) -> None:
        super().__init__()
        self.config = config
        shape = TransformerConfig(
            vocabulary=config.characters, width=config.width, heads=config.heads, feedforward=config.feedforward,
            norm="pre", activation="gelu", max_length=config.max_length,
        )  # fmt: skip
        self.layers = nn.ModuleList(EncoderLayer(shape) for _ in range(config.layers))
        self.norm = nn.LayerNorm(config.width)
        self.register_buffer("positions", sinusoids(config.max_length, config.width), persistent=False)
        for name, parameter in self.named_parameters():
            if parameter.ndim > 1:
                nn.init.xavier_uniform_(parameter)
            elif name.endswith("bias"):
                nn.init.zeros_(parameter)

    def _place(self, vectors: Tensor, first: int = 0) -> Tensor:
        """Add the positions first, first + 1, ... to vectors (B, T, d)."""
        last = first + vectors.shape[1]
        if last > self.config.max_length:
            raise InputTooLong(
                f"This model reads {self.config.max_length} characters at most, and the text has {last}. Shorten it."
            )
        return vectors + self.positions[first:last].to(vectors.dtype)

    def forward(self, vectors: Tensor, taps: Taps = NO_TAPS) -> Tensor:
        """Character vectors (B, T, d) to outputs (B, T, d)."""
        x = self._place(vectors)
        for index, layer in enumerate(self.layers):
            assert isinstance(layer, EncoderLayer)
            tap = taps.get(("decoder", index))
            x = layer.finish(x, layer.attention.attend(*layer.project(x), causal=True, tap=tap))
        return self.norm(x)

    def initial(self, batch: int, like: Tensor) -> tuple[State, ...]:
        """Empty keys and values for each layer."""
        config = self.config
        empty = like.new_zeros(batch, config.heads, 0, config.width // config.heads)
        return ((empty, empty),) * config.layers

    def step(self, vectors: Tensor, states: tuple[State, ...], length: int) -> tuple[Tensor, tuple[State, ...]]:
        """One position (B, d) after `length` others: output (B, d) and the keys and values with it."""
        x, after = self._place(vectors[:, None], length), []
        for layer, past in zip(self.layers, states, strict=True):
            assert isinstance(layer, EncoderLayer)
            query, *own = layer.project(x)
            key, value = (torch.cat(both, dim=2) for both in zip(past, own, strict=True))
            x = layer.finish(x, layer.attention.attend(query, key, value))
            after.append((key, value))
        return self.norm(x)[:, 0], tuple(after)


class Autocomplete(nn.Module):
    """The whole model. It holds weights only: nothing of a run stays on it."""

    body: RecurrentStack | CausalTransformer

    def __init__(self, config: AutocompleteConfig) -> None:
        super().__init__()
        self.config = config
        self.embedding = nn.Embedding(config.characters, config.embedding)
        kind = _recurrent_kind(config)
        if kind is None:
            self.body = CausalTransformer(config)
        else:
            self.body = RecurrentStack(kind, config.embedding, config.width, config.layers)
        self.output = nn.Linear(config.width, config.words)

    def hidden_from_embeddings(self, vectors: Tensor, taps: Taps = NO_TAPS) -> Tensor:
        """Character vectors (B, T, d) to the last layer's outputs (B, T, width); training reads words at some only.

        Raises:
            Unsupported: taps on a recurrent network, which has no attention.
        """
        if isinstance(self.body, CausalTransformer):
            return self.body(vectors, taps)
        if taps:
            raise Unsupported(_no_attention(self.config.cell))
        return self.body(vectors)

    def logits(self, hidden: Tensor) -> Tensor:
        """(..., width) to (..., words)."""
        return self.output(hidden)

    def forward(self, ids: Tensor, taps: Taps = NO_TAPS) -> Tensor:
        """Logits (B, T, words) of characters (B, T): the word to which position t, or the space there, belongs, from
        characters 0..t. Padding needs no mask, being last.
        """
        return self.forward_from_embeddings(self.embedding(ids), taps)

    def forward_from_embeddings(self, vectors: Tensor, taps: Taps = NO_TAPS) -> Tensor:
        """The same from character vectors (B, T, d), as `embedding` gives them; positions are added here."""
        return self.logits(self.hidden_from_embeddings(vectors, taps))

    def forward_with_maps(self, ids: Tensor, taps: Taps = NO_TAPS) -> AutocompleteMaps:
        """`forward` on the explicit path, with every attention weight; `taps` may change or watch more.

        Raises:
            Unsupported: the network is recurrent.
        """
        config = self.config
        if not isinstance(self.body, CausalTransformer):
            raise Unsupported(_no_attention(config.cell))
        batch, long = ids.shape
        maps = torch.empty(config.layers, batch, config.heads, long, long, dtype=torch.float32, device=ids.device)
        return AutocompleteMaps(self(ids, watching(taps, {"decoder": maps})), maps)

    def run_with_states(self, ids: Tensor) -> AutocompleteStates:
        """`forward` on the explicit path, with every hidden state and gate.

        Raises:
            Unsupported: the network is a Transformer.
        """
        if not isinstance(self.body, RecurrentStack):
            raise Unsupported("A Transformer has no recurrent state: choose a recurrent network, or look at its maps.")
        recording = self.body.record(self.embedding(ids))
        return AutocompleteStates(self.logits(recording.output), recording)

    def start(self, batch: int = 1) -> AutocompleteState:
        """The state before the first character."""
        return AutocompleteState(self.body.initial(batch, self.embedding.weight))

    def step(self, state: AutocompleteState, ids: Tensor) -> tuple[Tensor, AutocompleteState]:
        """Read one character, ids (B,): logits (B, words) and the next state."""
        vectors = self.embedding(ids)
        if isinstance(self.body, CausalTransformer):
            hidden, layers = self.body.step(vectors, state.layers, state.length)
        else:
            hidden, layers = self.body.step(vectors, state.layers)
        return self.logits(hidden), AutocompleteState(layers, state.length + 1)


def _recurrent_kind(config: AutocompleteConfig) -> CellKind | None:
    """The recurrent cell, None for a Transformer."""
    return None if config.cell == "transformer" else config.cell


def _no_attention(cell: str) -> str:
    return f"A recurrent network ({cell}) has no attention maps: choose the Transformer, or look at its states."


def parameter_counts(config: AutocompleteConfig) -> dict[str, int]:
    """Weights of the "embedding", of what reads ("body"), of the "output" matrix, and their "total"."""
    with torch.device("meta"):  # shapes only, no memory
        model = Autocomplete(config)
    parts = {name: sum(p.numel() for p in part.parameters()) for name, part in model.named_children()}
    return parts | {"total": sum(parts.values())}
