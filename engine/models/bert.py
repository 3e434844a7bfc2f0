"""BERT: an encoder-only Transformer that restores masked tokens and tells whether one text follows another.

Source: Devlin et al. 2019, "BERT: Pre-training of Deep Bidirectional Transformers for Language Understanding".
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from engine.errors import InputTooLong
from engine.models.counts import check_counts
from engine.models.gpt import STANDARD_DEVIATION
from engine.models.taps import NO_TAPS, Taps, watching
from engine.models.transformer import ACTIVATIONS, EncoderLayer, TransformerConfig
from engine.types import Kind

SEGMENTS = 2
SHIFT = 3.0


@dataclass(frozen=True, slots=True)
class BertConfig:
    """Shape of a BERT.

    Attributes:
        vocabulary: number of pieces.
        width: of token vectors and layers.
        heads: per layer; divides `width`.
        layers: depth.
        feedforward: hidden width of the position-wise network.
        activation: of the position-wise network and of what restores tokens.
        norm: "post" (layer norm after each sublayer and on the embeddings, as in the paper) or "pre" (before each
            sublayer, one more after the last layer, none on the embeddings).
        context: the most tokens that it sees at once.
        pad: id of padding.
    """

    vocabulary: int
    width: int = 192
    heads: int = 8
    layers: int = 6
    feedforward: int = 768
    activation: str = "gelu"
    norm: Literal["pre", "post"] = "post"
    context: int = 128
    pad: int = 0

    def __post_init__(self) -> None:
        check_counts(self, "vocabulary", "width", "heads", "layers", "feedforward", "context")
        _ = self.shape  # raises what is wrong with width, heads, norm and activation

    def attention_layers(self, kind: Kind) -> int:
        """Layers of a kind of attention: it has one kind, "encoder"."""
        return self.layers if kind == "encoder" else 0

    def attention_heads(self, kind: Kind) -> int:
        """Heads of each layer."""
        return self.heads

    @property
    def shape(self) -> TransformerConfig:
        """What its layers are made from."""
        return TransformerConfig(
            vocabulary=self.vocabulary, width=self.width, heads=self.heads, feedforward=self.feedforward,
            norm=self.norm, activation=self.activation, max_length=self.context, pad=self.pad,  # type: ignore[arg-type]
        )  # fmt: skip


@dataclass(frozen=True, slots=True)
class BertMaps:
    """One pass with every attention weight.

    Attributes:
        logits: (B, T, vocabulary), of the token at each position.
        following: (B, 2), logits of "the second text follows the first" and "it does not".
        encoder: float32 (layer, B, H, T, T).
    """

    logits: Tensor
    following: Tensor
    encoder: Tensor


class Bert(nn.Module):
    """The whole model. It holds weights only: nothing of a run stays on it."""

    def __init__(self, config: BertConfig) -> None:
        super().__init__()
        self.config = config
        width, post = config.width, config.norm == "post"
        self.embedding = nn.Embedding(config.vocabulary, width)
        self.positions = nn.Parameter(torch.empty(config.context, width))
        self.segments = nn.Parameter(torch.empty(SEGMENTS, width))
        self.embedding_norm: nn.Module = nn.LayerNorm(width) if post else nn.Identity()
        self.layers = nn.ModuleList(EncoderLayer(config.shape) for _ in range(config.layers))
        self.norm: nn.Module = nn.Identity() if post else nn.LayerNorm(width)
        self.transform = nn.Linear(width, width)
        self.transform_norm = nn.LayerNorm(width)
        self.output_bias = nn.Parameter(torch.zeros(config.vocabulary))
        self.pooler = nn.Linear(width, width)
        self.following = nn.Linear(width, 2)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Normal weights, zero biases."""
        for name, parameter in self.named_parameters():
            if name.endswith("bias"):
                nn.init.zeros_(parameter)
            elif parameter.ndim > 1:
                nn.init.normal_(parameter, std=STANDARD_DEVIATION)
        # What restores tokens starts as good as the identity: far from 0 the activation is a straight line, and the
        # norm after it takes the shift away. So layers that began as a GPT's are understood at once.
        nn.init.eye_(self.transform.weight)
        nn.init.constant_(self.transform.bias, SHIFT)

    def mask(self, ids: Tensor) -> Tensor | None:
        """Bool (B, 1, 1, T), False at padding of ids (B, T); None if nothing is padded."""
        keep = ids != self.config.pad
        return None if bool(keep.all()) else keep[:, None, None, :]

    def check_length(self, length: int) -> None:
        """Refuse what the positions do not reach, before memory is taken for it.

        Raises:
            InputTooLong: more tokens than positions.
        """
        if length > self.config.context:
            raise InputTooLong(
                f"This model sees {self.config.context} tokens at most, and the text has {length}. Shorten it."
            )

    def hidden_from_embeddings(
        self, vectors: Tensor, segments: Tensor, mask: Tensor | None = None, taps: Taps = NO_TAPS
    ) -> Tensor:
        """Token vectors (B, T, d), as `embedding` gives them, and segments (B, T) in {0, 1} to outputs (B, T, d).

        Raises:
            InputTooLong: more tokens than positions.
        """
        long = vectors.shape[1]
        self.check_length(long)
        placed = vectors + (self.positions[:long] + self.segments[segments]).to(vectors.dtype)
        x = self.embedding_norm(placed)
        for index, layer in enumerate(self.layers):
            x = layer(x, mask, taps.get(("encoder", index)))
        hidden: Tensor = self.norm(x)
        return hidden

    def restore(self, hidden: Tensor) -> Tensor:
        """Outputs (..., d) to what the token matrix is multiplied by, (..., d)."""
        restored: Tensor = self.transform_norm(ACTIVATIONS[self.config.activation](self.transform(hidden)))
        return restored

    def logits(self, hidden: Tensor) -> Tensor:
        """Outputs (..., d) to logits (..., vocabulary) of the token there."""
        return F.linear(self.restore(hidden), self.embedding.weight, self.output_bias)

    def follows(self, hidden: Tensor) -> Tensor:
        """Outputs (B, T, d), [CLS] first, to logits (B, 2) of "follows" and "does not follow", in BERT's order."""
        answer: Tensor = self.following(torch.tanh(self.pooler(hidden[:, 0])))
        return answer

    def forward(self, ids: Tensor, segments: Tensor, taps: Taps = NO_TAPS) -> tuple[Tensor, Tensor]:
        """Logits (B, T, vocabulary) and (B, 2) of tokens and segments (B, T); padding is not looked at."""
        hidden = self.hidden_from_embeddings(self.embedding(ids), segments, self.mask(ids), taps)
        return self.logits(hidden), self.follows(hidden)

    def forward_with_maps(self, ids: Tensor, segments: Tensor, taps: Taps = NO_TAPS) -> BertMaps:
        """`forward` on the explicit path, with every attention weight; `taps` may change or watch more."""
        batch, long = ids.shape
        self.check_length(long)
        size = (self.config.layers, batch, self.config.heads, long, long)
        maps = torch.empty(size, dtype=torch.float32, device=ids.device)
        logits, following = self(ids, segments, watching(taps, {"encoder": maps}))
        return BertMaps(logits, following, maps)
