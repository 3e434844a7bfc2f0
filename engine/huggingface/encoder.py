"""An encoder-only transformers model, as the rest of the engine sees the native BERT."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from engine.huggingface.hosted import Hosted, Shape
from engine.models.taps import NO_TAPS, Taps, watching


@dataclass(frozen=True, slots=True)
class EncoderMaps:
    """One pass with every attention weight.

    Attributes:
        output: (B, T, vocabulary), logits of the token at each position; (B, T, d), the last layer's outputs, of a
            model that restores nothing.
        encoder: float32 (layer, B, H, T, T).
    """

    output: Tensor
    encoder: Tensor


class HostedEncoder(nn.Module):
    """An encoder with or without a head that restores masked tokens. Nothing of a run stays on it."""

    def __init__(self, hosted: Hosted, *, restores: bool, segments: bool) -> None:
        """Args:
        hosted: the model.
        restores: whether its output are logits of tokens.
        segments: whether it tells a first text from a second one.
        """
        super().__init__()
        self.hosted, self.network = hosted, hosted.model
        self.restores, self.segments = restores, segments
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

    def forward(self, ids: Tensor, segments: Tensor | None = None, taps: Taps = NO_TAPS) -> Tensor:
        """What `EncoderMaps.output` is, of ids (B, T) and segments (B, T) in {0, 1}."""
        self.config.check_length(ids.shape[1])
        return self._run(taps, segments, input_ids=ids)

    def forward_from_embeddings(self, vectors: Tensor, segments: Tensor | None = None, taps: Taps = NO_TAPS) -> Tensor:
        """The same from token vectors (B, T, d), as `embedding` gives them."""
        self.config.check_length(vectors.shape[1])
        return self._run(taps, segments, inputs_embeds=vectors)

    def forward_with_maps(self, ids: Tensor, segments: Tensor | None = None, taps: Taps = NO_TAPS) -> EncoderMaps:
        """A forward on the explicit path, with every attention weight; `taps` may change or watch more."""
        (batch, long), shape = ids.shape, self.config
        self.config.check_length(long)
        layers, heads = shape.layers["encoder"], shape.heads["encoder"]
        maps = torch.empty(layers, batch, heads, long, long, dtype=torch.float32, device=ids.device)
        return EncoderMaps(self(ids, segments, watching(taps, {"encoder": maps})), maps)

    def _run(self, taps: Taps, segments: Tensor | None, **inputs: Any) -> Tensor:
        if self.segments and segments is not None:
            inputs["token_type_ids"] = segments
        output = self.hosted.run(taps, **inputs)
        found: Tensor = output.logits if self.restores else output.last_hidden_state
        return found
