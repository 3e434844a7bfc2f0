"""Recurrent layers that read a sequence from either end, with padding left out."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from engine.models.recurrent import RecurrentStack


def reverse(x: Tensor, lengths: Tensor | None) -> Tensor:
    """Each row of (B, T, D) read from its last real position to its first; padding stays where it is.

    Args:
        x: the rows.
        lengths: int64 (B,), of the rows without padding; None where nothing is padded.
    """
    if lengths is None:
        return x.flip(1)
    place = torch.arange(x.shape[1], device=x.device)
    mirrored = lengths[:, None] - 1 - place
    index = torch.where(mirrored >= 0, mirrored, place)
    return x.gather(1, index[:, :, None].expand_as(x))


class BidirectionalLayer(nn.Module):
    """Two networks over one sequence, one from either end. Source: Schuster and Paliwal 1997."""

    def __init__(self, input_width: int, width: int) -> None:
        super().__init__()
        self.forwards = RecurrentStack("gru", input_width, width)
        self.backwards = RecurrentStack("gru", input_width, width)

    def forward(self, x: Tensor, lengths: Tensor | None) -> Tensor:
        """X (B, S, I) to (B, S, 2·H), forward half first; position s has read x up to s, and x from s on."""
        back = reverse(self.backwards(reverse(x, lengths)), lengths)
        return torch.cat([self.forwards(x), back], dim=-1)
