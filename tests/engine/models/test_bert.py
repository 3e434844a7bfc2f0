"""BERT: equal to the published model and to torch's layers with the same weights, padding and segments included."""

from __future__ import annotations

import math
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, replace

import pytest
import torch
from torch import Tensor, nn

from engine.errors import ConfigError, InputTooLong
from engine.models.bert import Bert, BertConfig
from engine.models.gpt import STANDARD_DEVIATION
from engine.models.taps import Tap
from engine.weights import from_json

SMALL = BertConfig(vocabulary=19, width=16, heads=4, layers=3, feedforward=24, context=12)
IDS = torch.tensor([[4, 7, 13, 5, 16, 9, 11, 12, 5], [4, 10, 14, 8, 5, 17, 5, 0, 0], [4, 15, 5, 18, 5, 0, 0, 0, 0]])
SEGMENTS = torch.tensor([[0, 0, 0, 0, 1, 1, 1, 1, 1], [0, 0, 0, 0, 0, 1, 1, 0, 0], [0, 0, 0, 1, 1, 0, 0, 0, 0]])
LENGTHS = (9, 7, 5)
ROWS, LENGTH = IDS.shape
NORMS = pytest.mark.parametrize("norm", ["post", "pre"])
# Two float64 ways to the same sums of up to 24 products of numbers around 1, through three layers: some tens of
# roundings of 2^-53. A mask, a segment or a norm out of place changes logits by 1e-2.
FLOAT64 = {"rtol": 0, "atol": 1e-12}
# Maps are float32: half a unit of the last place is 3e-8 of a weight. What is mixed by weights that passed through a
# float32 map, later layers' maps too, differs as much some times over.
MAPS32, LOGITS32 = {"rtol": 0, "atol": 1e-6}, {"rtol": 0, "atol": 2e-6}


def randomise(model: nn.Module, seed: int) -> nn.Module:
    """Weights of trained size, biases and norms too, or one that is left out would not show."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            noise = torch.randn(parameter.shape, generator=generator, dtype=torch.float64)
            scale = 1.5 / math.sqrt(parameter.shape[-1]) if parameter.ndim > 1 else 0.3
            norm = name.endswith("norm.weight") or name.endswith("LayerNorm.weight")
            parameter.copy_(noise * scale + norm)
    return model.eval()


def build(norm: str = "post") -> Bert:
    made = randomise(Bert(replace(SMALL, norm=norm)).double(), seed=1).requires_grad_(False)
    assert isinstance(made, Bert)
    return made


@pytest.fixture(scope="module", params=["post", "pre"])
def model(request) -> Bert:
    return build(request.param)


# --- The published model, and torch's layers --------------------------------------------------------------------------


@torch.no_grad()
def from_published(theirs: nn.Module) -> Bert:
    """Our model with the weights of a BertForPreTraining."""
    ours = Bert(SMALL).double().eval()
    embeddings, head = theirs.bert.embeddings, theirs.cls.predictions
    ours.positions.copy_(embeddings.position_embeddings.weight)
    ours.segments.copy_(embeddings.token_type_embeddings.weight)
    ours.output_bias.copy_(head.bias)
    pairs = [
        (ours.embedding, embeddings.word_embeddings), (ours.embedding_norm, embeddings.LayerNorm),
        (ours.transform, head.transform.dense), (ours.transform_norm, head.transform.LayerNorm),
        (ours.pooler, theirs.bert.pooler.dense), (ours.following, theirs.cls.seq_relationship),
    ]  # fmt: skip
    for own, block in zip(ours.layers, theirs.bert.encoder.layer, strict=True):
        looked = [getattr(block.attention.self, name) for name in ("query", "key", "value")]
        own.attention.in_proj.weight.copy_(torch.cat([part.weight for part in looked]))
        own.attention.in_proj.bias.copy_(torch.cat([part.bias for part in looked]))
        pairs += [
            (own.attention.out_proj, block.attention.output.dense),
            (own.attention_norm, block.attention.output.LayerNorm),
            (own.feedforward.up, block.intermediate.dense), (own.feedforward.down, block.output.dense),
            (own.feedforward_norm, block.output.LayerNorm),
        ]  # fmt: skip
    for own, their in pairs:
        own.load_state_dict(their.state_dict())
    return ours


@torch.no_grad()
def test_equals_bert():
    """Logits of both objectives and all maps equal those of transformers, with segments and padding."""
    from transformers import BertConfig as TheirConfig
    from transformers import BertForPreTraining

    config = TheirConfig(
        vocab_size=19, hidden_size=16, num_hidden_layers=3, num_attention_heads=4, intermediate_size=24,
        hidden_act="gelu", max_position_embeddings=12, type_vocab_size=2, layer_norm_eps=1e-5, pad_token_id=0,
        hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0, attn_implementation="eager",
    )  # fmt: skip
    theirs = randomise(BertForPreTraining(config).double(), seed=2)
    model = from_published(theirs)
    expected = theirs(IDS, (IDS != 0).long(), token_type_ids=SEGMENTS, output_attentions=True)
    assert expected.prediction_logits.std() > 0.5 and len(expected.attentions) == 3
    logits, following = model(IDS, SEGMENTS)
    torch.testing.assert_close(logits, expected.prediction_logits, **FLOAT64)
    torch.testing.assert_close(following, expected.seq_relationship_logits, **FLOAT64)
    maps = model.forward_with_maps(IDS, SEGMENTS)
    assert maps.encoder.dtype == torch.float32 and maps.encoder.shape == (3, ROWS, 4, LENGTH, LENGTH)
    assert all(weights.max() > 0.4 for weights in expected.attentions)  # uneven, or parity says little
    torch.testing.assert_close(maps.encoder.double(), torch.stack(expected.attentions), **MAPS32)
    torch.testing.assert_close(maps.logits, expected.prediction_logits, **LOGITS32)
    torch.testing.assert_close(maps.following, expected.seq_relationship_logits, **LOGITS32)


@NORMS
@torch.no_grad()
def test_outputs_equal_those_of_torchs_layers(norm):
    """Both places of the norms; of the outputs before the two objectives."""
    model = build(norm)
    first = norm == "pre"
    layer = nn.TransformerEncoderLayer(16, 4, 24, 0.0, "gelu", batch_first=True, norm_first=first, dtype=torch.float64)
    theirs = nn.TransformerEncoder(layer, 3, enable_nested_tensor=False).train()  # no dropout; no fast path
    for own, block in zip(model.layers, theirs.layers, strict=True):
        block.self_attn.in_proj_weight.copy_(own.attention.in_proj.weight)
        block.self_attn.in_proj_bias.copy_(own.attention.in_proj.bias)
        for mine, their in (
            (own.attention.out_proj, block.self_attn.out_proj), (own.attention_norm, block.norm1),
            (own.feedforward.up, block.linear1), (own.feedforward.down, block.linear2),
            (own.feedforward_norm, block.norm2),
        ):  # fmt: skip
            their.load_state_dict(mine.state_dict())
    x = model.embedding.weight[IDS] + model.positions[:LENGTH] + model.segments[SEGMENTS]
    if not first:
        x = nn.functional.layer_norm(x, (16,), model.embedding_norm.weight, model.embedding_norm.bias)
    expected = theirs(x, src_key_padding_mask=IDS == 0)
    if first:
        expected = nn.functional.layer_norm(expected, (16,), model.norm.weight, model.norm.bias)
    found = model.hidden_from_embeddings(model.embedding(IDS), SEGMENTS, model.mask(IDS))
    torch.testing.assert_close(found, expected, **FLOAT64)


# --- What it gives ----------------------------------------------------------------------------------------------------


def test_parts_of_a_forward_give_the_whole(model):
    logits, following = model(IDS, SEGMENTS)
    assert logits.shape == (ROWS, LENGTH, 19) and following.shape == (ROWS, 2)
    hidden = model.hidden_from_embeddings(model.embedding(IDS), SEGMENTS, model.mask(IDS))
    assert torch.equal(model.logits(hidden), logits) and torch.equal(model.follows(hidden), following)
    restored = model.restore(hidden) @ model.embedding.weight.T + model.output_bias
    torch.testing.assert_close(restored, logits, **FLOAT64)
    changed = hidden.clone()
    changed[:, 1:] = 0
    assert torch.equal(model.follows(changed), following)  # [CLS] alone is asked


def test_padding_changes_nothing(model):
    logits, following = model(IDS, SEGMENTS)
    for row, length in enumerate(LENGTHS):
        alone, answer = model(IDS[row : row + 1, :length], SEGMENTS[row : row + 1, :length])
        torch.testing.assert_close(alone[0], logits[row, :length], **FLOAT64)
        torch.testing.assert_close(answer[0], following[row], **FLOAT64)


def test_the_mask_is_what_is_padded(model):
    assert model.mask(IDS[:1]) is None
    mask = model.mask(IDS)
    assert mask is not None and mask.shape == (ROWS, 1, 1, LENGTH)
    assert mask[:, 0, 0].sum(1).tolist() == list(LENGTHS)


def test_every_token_reaches_every_position(model):
    """It looks both ways."""
    logits, following = model(IDS[:1], SEGMENTS[:1])
    for t in range(LENGTH):
        changed = IDS[:1].clone()
        changed[:, t] = changed[:, t] + 1
        other, answer = model(changed, SEGMENTS[:1])
        assert (other - logits).abs().amax(-1).min() > 1e-4
        assert (answer - following).abs().max() > 1e-5


def test_segments_and_positions_matter(model):
    logits, following = model(IDS[:1], SEGMENTS[:1])
    other, answer = model(IDS[:1], 1 - SEGMENTS[:1])
    assert (other - logits).abs().amax(-1).min() > 1e-3 and (answer - following).abs().max() > 1e-4
    same = model(torch.full((1, 5), 7), torch.zeros(1, 5, dtype=torch.long))[0][0]
    assert (same[1:] - same[:-1]).abs().amax(-1).min() > 1e-3


def test_gradients_equal_finite_differences(model):
    vectors = model.embedding(IDS[:1, :3]).clone().requires_grad_()

    def outputs(x: Tensor) -> tuple[Tensor, Tensor]:
        hidden = model.hidden_from_embeddings(x, SEGMENTS[:1, :3])
        return model.logits(hidden)[..., :3], model.follows(hidden)

    assert torch.autograd.gradcheck(outputs, vectors)


@NORMS
def test_every_weight_is_reached(norm):
    model = build(norm).requires_grad_()
    ids = torch.arange(4, 16)[None]  # a whole context, so that every position is read
    logits, following = model(ids, (ids > 9).long())
    (logits.square().sum() + following.square().sum()).backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None and parameter.grad.abs().max() > 0, name


def test_threads_share_one_model(model):
    """Nothing of a run stays on it."""
    before = {name: value.clone() for name, value in model.state_dict().items()}

    def read(row: int) -> list[Tensor]:
        maps = model.forward_with_maps(IDS[row : row + 1], SEGMENTS[row : row + 1])
        return [maps.logits, maps.following, maps.encoder]

    alone = [read(row) for row in range(ROWS)]
    with ThreadPoolExecutor(3) as pool:
        together = list(pool.map(read, [*range(ROWS)] * 5))
    assert all(all(map(torch.equal, *both)) for both in zip(together, alone * 5, strict=True))
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


# --- Maps and taps ----------------------------------------------------------------------------------------------------


def test_rows_of_maps_sum_to_one_and_padding_is_not_seen(model):
    maps = model.forward_with_maps(IDS, SEGMENTS).encoder
    torch.testing.assert_close(maps.sum(-1), torch.ones(3, ROWS, 4, LENGTH), rtol=0, atol=1e-6)
    for row, length in enumerate(LENGTHS):
        assert not maps[:, row, :, :, length:].any()
        assert bool((maps[:, row, :, :, :length] > 0).all())
    assert maps[:, 0].std(-1).min() > 1e-3  # nothing is spread evenly


def test_taps_that_ask_for_nothing_change_nothing(model):
    logits, following = model(IDS, SEGMENTS)
    taps = {("encoder", layer): Tap() for layer in range(3)}
    for changed in ({}, taps, {("decoder", 0): Tap(change_outputs=torch.zeros_like)}):  # it has no decoder
        assert all(map(torch.equal, model(IDS, SEGMENTS, changed), (logits, following)))


@pytest.mark.parametrize("layer", range(3))
def test_a_tap_reaches_its_layer_and_the_map_shows_what_was_used(model, layer):
    def first_only(weights: Tensor) -> Tensor:
        changed = torch.zeros_like(weights)
        changed[..., 0] = 1
        return changed

    taps = {("encoder", layer): Tap(change_weights=first_only)}
    plain, found = (model.forward_with_maps(IDS, SEGMENTS, changes) for changes in ({}, taps))
    assert bool((found.encoder[layer][..., 0] == 1).all()) and not found.encoder[layer][..., 1:].any()
    torch.testing.assert_close(found.encoder[:layer], plain.encoder[:layer], **MAPS32)  # layers before are as they were
    assert all((found.encoder[later] - plain.encoder[later]).abs().max() > 1e-3 for later in range(layer + 1, 3))
    logits, following = model(IDS, SEGMENTS, taps)
    torch.testing.assert_close(found.logits, logits, **LOGITS32)
    torch.testing.assert_close(found.following, following, **LOGITS32)
    assert (found.logits - plain.logits).abs().max() > 1e-2


# --- Limits, sizes and configurations ---------------------------------------------------------------------------------


def test_a_full_context_is_read_and_one_token_more_is_refused(model):
    ids = torch.arange(4, 17)[None]
    segments = torch.zeros_like(ids)
    assert model(ids[:, :12], segments[:, :12])[0].shape == (1, 12, 19)
    with pytest.raises(InputTooLong, match=r"12 tokens at most, and the text has 13\. Shorten it"):
        model(ids, segments)
    far = torch.ones(1, 2_000_000, dtype=torch.long)  # refused before its maps get 200 terabytes
    with pytest.raises(InputTooLong, match="12 tokens at most"):
        model.forward_with_maps(far, far)


def test_weights_start_as_in_bert():
    torch.manual_seed(0)
    model = Bert(BertConfig(vocabulary=500, width=64, heads=4, layers=2, feedforward=128, context=64))
    for name, parameter in model.named_parameters():
        if name.startswith("transform."):
            continue
        if parameter.ndim == 1:
            assert bool((parameter == (1 if name.endswith("norm.weight") else 0)).all()), name
        else:
            # the standard deviation of n normal numbers is known to 1/√(2n): five of that
            error = 5 / math.sqrt(2 * parameter.numel())
            assert float(parameter.detach().std()) == pytest.approx(STANDARD_DEVIATION, rel=error), name


@NORMS
@torch.no_grad()
def test_what_restores_tokens_starts_as_a_norm_alone(norm):
    """So outputs that the token matrix understands, such as those of a GPT to start from, are understood at once."""
    torch.manual_seed(0)
    model = Bert(replace(SMALL, norm=norm, width=64))
    hidden = torch.randn(50, 64)
    likeness = torch.cosine_similarity(model.restore(hidden), nn.functional.layer_norm(hidden, (64,)), dim=-1)
    assert likeness.min() > 0.98  # the activation is not quite straight three standard deviations from 0


@NORMS
def test_parameters_are_counted_by_hand(norm):
    """One matrix serves for tokens read and restored; before or after, one norm stands outside the layers."""
    model = Bert(BertConfig(vocabulary=6144, norm=norm))
    layer = 4 * 192 * 192 + 4 * 192 + 2 * 192 * 768 + 768 + 192 + 4 * 192  # attention, feed-forward, two norms
    heads = 2 * (192 * 192 + 192) + 2 * 192 + 6144 + 2 * 192 + 2  # transform, pooler; norm; bias; two answers
    assert sum(p.numel() for p in model.parameters()) == (6144 + 128 + 2) * 192 + 6 * layer + 2 * 192 + heads


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"vocabulary": 0}, "vocabulary 0: it must be at least 1"),
        ({"layers": 0}, "layers 0"),
        ({"feedforward": -2}, "feedforward -2"),
        ({"context": 0}, "context 0"),
        ({"heads": 3}, "width 16 must be even and divisible by heads 3"),
        ({"activation": "tanh"}, "activation 'tanh': choose one of"),
        ({"norm": "both"}, "norm 'both'"),
        ({"characters": 5}, "unknown key 'characters'"),
    ],
)
def test_impossible_configurations_are_named(changes, named):
    with pytest.raises(ConfigError, match=named):
        from_json(BertConfig, asdict(SMALL) | changes, "config.json")


@NORMS
def test_a_configuration_comes_back(norm):
    config = replace(SMALL, norm=norm)
    assert from_json(BertConfig, asdict(config), "config.json") == config
