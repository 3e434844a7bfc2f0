"""Both directions of an encoder: parity with torch.nn on packed sequences."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from engine.models.bidirectional import BidirectionalLayer, reverse
from engine.models.recurrent import RecurrentStack
from tests.engine.models.recurrent_cases import (
    BATCH,
    FLOAT64,
    LENGTHS,
    SOURCE,
    SPAN,
    build,
    torch_encoder,
)


def test_reverse_by_hand():
    x = torch.arange(12.0).reshape(3, 4, 1)
    assert reverse(x, None)[..., 0].tolist() == [[3, 2, 1, 0], [7, 6, 5, 4], [11, 10, 9, 8]]
    lengths = torch.tensor([4, 2, 1])  # what lies beyond stays where it is
    found = reverse(x, lengths)
    assert found[..., 0].tolist() == [[3, 2, 1, 0], [5, 4, 6, 7], [8, 9, 10, 11]]
    assert torch.equal(reverse(found, lengths), x)
    wide = torch.stack([x[..., 0], -x[..., 0]], dim=-1)
    assert torch.equal(reverse(wide, lengths)[..., 1], -found[..., 0])


@torch.no_grad()
def test_each_half_of_a_layer_is_a_one_way_network():
    layer = build("none").encoder[0]
    assert isinstance(layer, BidirectionalLayer)
    x = torch.randn(BATCH, SPAN, 6, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    both, whole = layer(x, LENGTHS), layer(x, None)
    assert both.shape == (BATCH, SPAN, 10) and both.std() > 0.1

    def one_way(stack: RecurrentStack, rows: Tensor) -> Tensor:
        theirs = nn.GRU(6, 5, batch_first=True, dtype=torch.float64)
        theirs.load_state_dict(stack.network.state_dict())
        output: Tensor = theirs(rows)[0]
        return output

    for row, length in enumerate(LENGTHS):
        real = x[row : row + 1, :length]
        torch.testing.assert_close(both[row, :length, :5], one_way(layer.forwards, real)[0], **FLOAT64)
        backward = one_way(layer.backwards, real.flip(1)).flip(1)[0]
        torch.testing.assert_close(both[row, :length, 5:], backward, **FLOAT64)
    torch.testing.assert_close(whole[..., 5:], one_way(layer.backwards, x.flip(1)).flip(1), **FLOAT64)


@torch.no_grad()
def test_the_padded_encoder_equals_torch_on_packed_sequences():
    """The outputs of every layer, and the states that either direction ends with."""
    model = build("dot")
    vectors, mask = model.embedding(SOURCE), model.source_mask(SOURCE)
    packed = pack_padded_sequence(vectors, LENGTHS, batch_first=True, enforce_sorted=False)
    real, x = mask[:, :, None], vectors
    for index, layer in enumerate(model.encoder):
        x = layer(x, LENGTHS)
        output, final = torch_encoder(model, index + 1)(packed)
        expected = pad_packed_sequence(output, batch_first=True)[0]
        torch.testing.assert_close(x * real, expected, **FLOAT64)
        ends = torch.cat([x[torch.arange(BATCH), LENGTHS - 1, :5], x[:, 0, 5:]], dim=-1)
        torch.testing.assert_close(ends, torch.cat([final[-2], final[-1]], dim=-1), **FLOAT64)
    seen = model.read_source(vectors, mask)
    torch.testing.assert_close(seen.annotations, expected, **FLOAT64)
    torch.testing.assert_close(seen.summary, torch.cat([final[-2], final[-1]], dim=-1), **FLOAT64)
    assert (seen.annotations[~mask] == 0).all() and seen.annotations[mask].std() > 0.1
    torch.testing.assert_close(seen.keys, expected @ model.keys.weight.T, **FLOAT64)
