"""A character language model: an LSTM that predicts every character from those before it.

Source: Graves 2013, "Generating Sequences With Recurrent Neural Networks"; Karpathy 2015, "The Unreasonable
Effectiveness of Recurrent Neural Networks".
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from torch import Tensor, nn

from engine.models.counts import check_counts
from engine.models.recurrent import Recording, RecurrentStack, State


@dataclass(frozen=True, slots=True)
class CharLMConfig:
    """Shape of the network.

    Attributes:
        characters: number of character ids, unknown ones included; training takes as many as its text has.
        embedding: width of a character's vector.
        width: of every layer.
        layers: depth.
    """

    characters: int
    embedding: int = 64
    width: int = 512
    layers: int = 2

    def __post_init__(self) -> None:
        check_counts(self, "characters", "embedding", "width", "layers")


@dataclass(frozen=True, slots=True)
class CharLMState:
    """What has been read so far; a value that later steps leave as it is.

    Attributes:
        layers: of each layer its hidden state and memory, each (B, H).
        length: number of characters read.
    """

    layers: tuple[State, ...]
    length: int = 0

    def select(self, rows: Tensor) -> CharLMState:
        """The state of other rows, by index."""
        layers = tuple(tuple(part.index_select(0, rows) for part in layer) for layer in self.layers)
        return replace(self, layers=layers)


class CharLM(nn.Module):
    """The whole model. It holds weights only: nothing of a run stays on it."""

    def __init__(self, config: CharLMConfig) -> None:
        super().__init__()
        self.config = config
        self.embedding = nn.Embedding(config.characters, config.embedding)
        self.body = RecurrentStack("lstm", config.embedding, config.width, config.layers)
        self.output = nn.Linear(config.width, config.characters)

    def hidden_from_embeddings(self, vectors: Tensor) -> Tensor:
        """Character vectors (B, T, d) to the last layer's outputs (B, T, H)."""
        return self.body(vectors)

    def logits(self, hidden: Tensor) -> Tensor:
        """(..., H) to (..., characters)."""
        logits: Tensor = self.output(hidden)
        return logits

    def forward(self, ids: Tensor) -> Tensor:
        """Logits (B, T, characters) of characters (B, T): position i reads ids[:, i] and predicts the next one."""
        return self.forward_from_embeddings(self.embedding(ids))

    def forward_from_embeddings(self, vectors: Tensor) -> Tensor:
        """The same from character vectors (B, T, d), as `embedding` gives them."""
        return self.logits(self.hidden_from_embeddings(vectors))

    def record(self, ids: Tensor, state: CharLMState | None = None) -> Recording:
        """Every state and gate while characters (B, T), T at least 1, are read after a state."""
        return self.body.record(self.embedding(ids), state.layers if state else None)

    def start(self, batch: int = 1) -> CharLMState:
        """The state before the first character."""
        return CharLMState(self.body.initial(batch, self.embedding.weight))

    def encode(self, source: Tensor) -> CharLMState:
        """Step protocol: the state after reading characters (B, T); T may be 0."""
        return self.read(source)[1]

    def read(self, ids: Tensor, state: CharLMState | None = None) -> tuple[Tensor, CharLMState]:
        """Read characters (B, T) after a state: the last layer's outputs (B, T, H) and the state after them."""
        state = state or self.start(len(ids))
        if not ids.shape[1]:
            return self.embedding.weight.new_empty(len(ids), 0, self.config.width), state
        hidden, layers = self.body.read(self.embedding(ids), state.layers)
        return hidden, CharLMState(layers, state.length + ids.shape[1])

    def step(self, state: CharLMState, tokens: Tensor) -> tuple[Tensor, CharLMState]:
        """Step protocol: read tokens (B,), give natural log-probabilities float32 (B, characters), and the next
        state.
        """
        hidden, layers = self.body.step(self.embedding(tokens), state.layers)
        return self.logits(hidden).float().log_softmax(-1), CharLMState(layers, state.length + 1)
