"""Models of every family that is tested, watched on both paths, against transformers' own eager path."""

from __future__ import annotations

import threading

import numpy as np
import pytest
import torch

from engine.errors import Unsupported
from engine.huggingface.decoder import HostedDecoder
from engine.huggingface.encoder import HostedEncoder
from engine.huggingface.hosted import hosted
from engine.huggingface.seq2seq import HostedSeq2Seq
from engine.models.taps import Tap, looking
from tests.engine.huggingface.families import (
    DECODERS,
    DEFAULT,
    ENCODERS,
    HEADS,
    LAYERS,
    POSITIONS,
    SEQ2SEQ,
    WINDOW,
    network,
)

SAME = 1e-5  # float32: the two paths round differently
LONG, WIDE = 11, 6
torch.manual_seed(3)
IDS = torch.randint(3, DEFAULT, (1, LONG))
TARGET = torch.randint(3, DEFAULT, (1, WIDE))
every_decoder = pytest.mark.parametrize("name", DECODERS)
every_encoder = pytest.mark.parametrize("name", ENCODERS)
every_seq2seq = pytest.mark.parametrize("name", SEQ2SEQ)


def decoder(name: str) -> HostedDecoder:
    return HostedDecoder(hosted(network(DECODERS[name]), "decoder", POSITIONS))


def encoder(name: str) -> HostedEncoder:
    return HostedEncoder(hosted(network(ENCODERS[name]), "encoder", POSITIONS), restores=True, segments=False)


def seq2seq(name: str) -> HostedSeq2Seq:
    return HostedSeq2Seq(hosted(network(SEQ2SEQ[name]), "encoder-decoder", POSITIONS), 0)


@torch.inference_mode()
def eager(model, **inputs):
    """What transformers gives on its own eager path, which the models are made with."""
    return model(**inputs, output_attentions=True)


def stacked(layers) -> torch.Tensor:
    return torch.stack([layer[0] for layer in layers])


def near(found: torch.Tensor, expected: torch.Tensor) -> None:
    assert found.shape == expected.shape
    torch.testing.assert_close(found, expected, atol=SAME, rtol=SAME)


# --- Maps equal transformers' own -------------------------------------------------------------------------------------


@every_decoder
@torch.inference_mode()
def test_a_decoder_on_both_paths(name):
    """Maps and logits equal output_attentions; recomputed weights equal the maps; the fused path says the same."""
    reference = eager(network(DECODERS[name]), input_ids=IDS, use_cache=False)
    model = decoder(name)
    passed = model.forward_with_maps(IDS)
    near(passed.decoder[:, 0], stacked(reference.attentions))
    near(passed.logits, reference.logits)
    seen = {}
    fused = model(IDS, looking({("decoder", 1): lambda found: seen.update(weights=found.weights([1, 3], (2, 9)))}))
    near(fused, reference.logits)
    near(seen["weights"][0], passed.decoder[1, 0][[1, 3], 2:9])
    assert passed.decoder.std() > 0.05, "the weights are all alike: nothing is compared"


@every_decoder
@torch.inference_mode()
def test_a_decoder_from_vectors_and_step_by_step(name):
    model = decoder(name)
    logits = model(IDS)
    near(model.forward_from_embeddings(model.embedding(IDS)), logits)
    state = model.encode(IDS[:, :4])
    for position in range(4, LONG):
        logprobs, after = model.step(state, IDS[:, position])
        near(logprobs, logits[:, position].log_softmax(-1))
        again, _ = model.step(state, IDS[:, position])  # a state is a value: what came after it left it as it was
        near(again, logprobs)
        state = after
    both, _ = model.step(state.select(torch.tensor([0, 0])), torch.tensor([5, 9]))
    one, _ = model.step(state, torch.tensor([9]))
    near(both[1:], one)


@torch.inference_mode()
def test_a_decoder_reads_nothing_before_its_first_token():
    model = decoder("gpt2")
    first, _ = model.step(model.encode(IDS[:, :0]), IDS[:, 0])
    near(first, model(IDS)[:, 0].log_softmax(-1))


@every_encoder
@torch.inference_mode()
def test_an_encoder_on_both_paths(name):
    reference = eager(network(ENCODERS[name]), input_ids=IDS)
    model = encoder(name)
    passed = model.forward_with_maps(IDS)
    near(passed.encoder[:, 0], stacked(reference.attentions))
    near(passed.output, reference.logits)
    near(model(IDS), reference.logits)
    near(model.forward_from_embeddings(model.embedding(IDS)), reference.logits)
    seen = {}
    model(IDS, taps=looking({("encoder", 2): lambda found: seen.update(weights=found.weights())}))
    near(seen["weights"], passed.encoder[2])


@every_seq2seq
@torch.inference_mode()
def test_an_encoder_decoder_on_both_paths(name):
    reference = eager(network(SEQ2SEQ[name]), input_ids=IDS, decoder_input_ids=TARGET, use_cache=False)
    model = seq2seq(name)
    passed = model.forward_with_maps(IDS, TARGET)
    for kind, layers in (
        ("encoder", reference.encoder_attentions),
        ("decoder", reference.decoder_attentions),
        ("cross", reference.cross_attentions),
    ):
        near(passed.by_kind[kind][:, 0], stacked(layers))
        seen = {}
        model(IDS, TARGET, looking({(kind, 1): lambda found, seen=seen: seen.update(weights=found.weights())}))
        near(seen["weights"], passed.by_kind[kind][1])
    near(passed.logits, reference.logits)
    near(model(IDS, TARGET), reference.logits)
    near(model.forward_from_embeddings(model.embedding(IDS), model.target_embedding(TARGET)), reference.logits)


@every_seq2seq
@torch.inference_mode()
def test_an_encoder_decoder_step_by_step(name):
    model = seq2seq(name)
    passed = model.forward_with_maps(IDS, TARGET)
    state = model.encode(IDS)
    for position in range(WIDE):
        logprobs, state, cross = model.step_with_cross(state, TARGET[:, position])
        near(logprobs, passed.logits[:, position].log_softmax(-1))
        near(cross[0], passed.cross[:, 0, :, position])


@every_seq2seq
@torch.inference_mode()
def test_padding_is_never_looked_at(name):
    """A short source beside a longer one gives what it gives by itself."""
    model = seq2seq(name)
    padded = torch.cat([IDS, torch.cat([IDS[:, :7], torch.zeros(1, LONG - 7, dtype=torch.long)], dim=1)])
    both = model.forward_with_maps(padded, TARGET.expand(2, -1))
    alone = model.forward_with_maps(IDS[:, :7], TARGET)
    near(both.logits[1:], alone.logits)
    assert not both.cross[:, 1, :, :, 7:].any()
    state = model.encode(padded)
    logprobs, _ = model.step(state.select(torch.tensor([1])), TARGET[:, 0])
    near(logprobs, alone.logits[:, 0].log_softmax(-1))


# --- Shapes -----------------------------------------------------------------------------------------------------------


def test_unequal_depths_and_heads_are_found():
    shape = seq2seq("bart").config
    assert shape.layers == {"encoder": 3, "decoder": 2, "cross": 2}
    assert shape.heads == {"encoder": 4, "decoder": 2, "cross": 2}
    assert shape.attention_layers("cross") == 2 and shape.attention_heads("encoder") == 4


def test_shared_layers_are_layers_each():
    model = encoder("albert")
    assert model.config.layers == {"encoder": LAYERS} and len(model.hosted.places) == 1


def test_shared_key_heads_are_named():
    shape = decoder("llama").config
    assert (shape.heads["decoder"], shape.key_heads["decoder"]) == (HEADS, 2)
    assert shape.head_names("decoder") == (
        "head 1 (key head 1)", "head 2 (key head 1)", "head 3 (key head 2)", "head 4 (key head 2)",
    )  # fmt: skip
    assert decoder("gpt2").config.head_names("decoder")[3] == "head 4"


@torch.inference_mode()
def test_a_sliding_window_hides_what_is_before_it():
    model = decoder("mistral")
    maps = model.forward_with_maps(IDS).decoder[0, 0, 0]
    rows, columns = np.indices((LONG, LONG))
    hidden = torch.from_numpy((columns > rows) | (columns <= rows - WINDOW))
    assert not maps[hidden].any() and maps[~hidden].all()


def test_layers_that_differ_in_heads_are_refused(monkeypatch):
    import transformers

    config = transformers.BloomConfig(hidden_size=32, n_layer=2, n_head=4, vocab_size=DEFAULT)
    with pytest.raises(Unsupported, match="upload the file instead"):
        hosted(transformers.AutoModelForCausalLM.from_config(config), "decoder", 0)


# --- Changes travel beside a forward ----------------------------------------------------------------------------------


@torch.inference_mode()
def test_heads_are_changed_as_native_ones_are():
    """A head that is switched off gives what the output matrix makes of the others; the model is as it was after it."""
    model = decoder("gpt2")
    before = model(IDS)

    def off(mixed: torch.Tensor) -> torch.Tensor:
        mixed = mixed.clone()
        mixed[:, 2] = 0
        return mixed

    changed = model(IDS, {("decoder", 1): Tap(change_outputs=off)})
    network = model.hosted.model.transformer.h[1].attn.c_proj
    kept = network.weight.clone()
    network.weight[16:24] = 0  # rows of head 2: what it writes
    near(changed, model(IDS))
    network.weight.copy_(kept)
    near(model(IDS), before)
    assert (changed - before).abs().max() > 0.01


@torch.inference_mode()
def test_weights_are_changed_after_the_softmax():
    model = seq2seq("t5")
    one = torch.zeros(1, HEADS, WIDE, LONG)
    one[..., 4] = 1
    passed = model.forward_with_maps(IDS, TARGET, {("cross", 0): Tap(change_weights=lambda weights: one)})
    near(passed.cross[0], one)


def test_attention_weights_have_gradients():
    """Weight × gradient by autograd equals a finite difference, in float64."""
    model = HostedDecoder(hosted(network(DECODERS["gpt2"]).double(), "decoder", POSITIONS))
    added = torch.zeros(1, HEADS, LONG, LONG, dtype=torch.float64, requires_grad=True)

    def logit(change: torch.Tensor) -> torch.Tensor:
        return model(IDS, {("decoder", 0): Tap(change_weights=lambda weights: weights + change)})[0, -1, 7]

    with torch.enable_grad():
        (gradient,) = torch.autograd.grad(logit(added), added)
    moved = torch.zeros_like(added)
    moved[0, 3, 8, 2] = 1e-5
    with torch.no_grad():
        difference = (logit(moved) - logit(-moved)) / 2e-5
    assert float(difference) == pytest.approx(float(gradient[0, 3, 8, 2]), rel=1e-5)
    assert abs(float(difference)) > 1e-6


def test_threads_share_a_model():
    """One thread changes a head in every forward, others read: each gets what it gets by itself."""
    model = decoder("qwen3")

    def off(mixed: torch.Tensor) -> torch.Tensor:
        return torch.zeros_like(mixed)

    taps = {("decoder", 0): Tap(change_outputs=off)}
    with torch.inference_mode():
        plain, changed = model(IDS), model(IDS, taps)
    assert (plain - changed).abs().max() > 0.01
    wrong: list[str] = []

    def run(mine, expected) -> None:
        with torch.inference_mode():
            for _ in range(30):
                if not torch.equal(model(IDS, mine), expected):
                    wrong.append("differs")

    threads = [threading.Thread(target=run, args=pair) for pair in ((taps, changed), ({}, plain), ({}, plain))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


@torch.inference_mode()
def test_half_precision_maps_are_float32():
    model = HostedDecoder(hosted(network(DECODERS["llama"]).bfloat16(), "decoder", POSITIONS))
    maps = model.forward_with_maps(IDS).decoder
    assert maps.dtype == torch.float32
    torch.testing.assert_close(maps.sum(-1), torch.ones(LAYERS, 1, HEADS, LONG), atol=1e-5, rtol=0)
    exact = decoder("llama").forward_with_maps(IDS).decoder
    assert (maps - exact).abs().max() < 0.05  # bfloat16 has eight bits
