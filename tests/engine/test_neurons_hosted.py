"""Neurons of transformers models, tiny and of random weights: they add up to the library's own attention maps."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

from engine.huggingface.architecture import Architecture
from engine.huggingface.hosted import hosted
from engine.models.taps import Taps
from engine.neurons import head_vectors, neurons_at
from engine.reading import Axes, Reading
from engine.types import Kind, Tokens, TraceRequest
from tests.engine.test_neurons import adds_up

ROUNDED = 1e-5
IDS = torch.tensor([[5, 9, 2, 14, 7, 3, 11]])
READ = torch.tensor([[1, 8, 4, 6]])
SIZES = dict(vocab_size=32, hidden_size=32, intermediate_size=48, num_hidden_layers=2, num_attention_heads=4)


def t5() -> Any:
    from transformers import T5Config, T5ForConditionalGeneration

    shape = dict(d_model=32, d_kv=6, d_ff=48, num_layers=2, num_decoder_layers=3, num_heads=4)
    return T5ForConditionalGeneration(T5Config(vocab_size=32, decoder_start_token_id=0, **shape))


def llama() -> Any:
    from transformers import LlamaConfig, LlamaForCausalLM

    return LlamaForCausalLM(LlamaConfig(**SIZES, num_key_value_heads=2))


def mistral() -> Any:
    from transformers import MistralConfig, MistralForCausalLM

    return MistralForCausalLM(MistralConfig(**SIZES, num_key_value_heads=2, sliding_window=3))


def gemma2() -> Any:
    from transformers import Gemma2Config, Gemma2ForCausalLM

    special = dict(head_dim=8, sliding_window=3, attn_logit_softcapping=0.5, query_pre_attn_scalar=4)
    return Gemma2ForCausalLM(Gemma2Config(**SIZES, num_key_value_heads=2, **special))


def gpt_oss() -> Any:
    from transformers import GptOssConfig, GptOssForCausalLM

    special = dict(head_dim=8, num_local_experts=2, num_experts_per_tok=1, sliding_window=3)
    return GptOssForCausalLM(GptOssConfig(**SIZES, num_key_value_heads=2, **special))


def bert() -> Any:
    from transformers import BertConfig, BertModel

    return BertModel(BertConfig(**SIZES))


FAMILIES: dict[Architecture, tuple[Callable[[], Any], ...]] = {
    "encoder-decoder": (t5,),
    "decoder": (llama, mistral, gemma2, gpt_oss),
    "encoder": (bert,),
}
MODELS = [(architecture, make) for architecture, some in FAMILIES.items() for make in some]


def tokens(count: int) -> Tokens:
    labels = tuple(f"t{n}" for n in range(count))
    return Tokens("", labels, (), tuple(range(count)), ((0, 0),) * count, (False,) * count)


def loud(model: Any) -> Any:
    """The model with weights so large that its attention is far from even."""
    torch.manual_seed(7)
    for parameter in model.parameters():
        parameter.data.add_(0.25 * torch.randn_like(parameter))
    return model.eval()


def expected(model: Any, architecture: Architecture) -> dict[Kind, list[torch.Tensor]]:
    """The library's own maps."""
    model.set_attn_implementation("eager")
    with torch.inference_mode():
        if architecture != "encoder-decoder":
            return {architecture: model(IDS, output_attentions=True).attentions}
        found = model(input_ids=IDS, decoder_input_ids=READ, output_attentions=True)
    return {
        "encoder": found.encoder_attentions,
        "decoder": found.decoder_attentions,
        "cross": found.cross_attentions,
    }


def reading(model: Any, architecture: Architecture) -> Reading:
    found = hosted(model, architecture, 0)
    shape, source, target = found.shape, tokens(IDS.shape[1]), tokens(READ.shape[1])
    axes: dict[Kind, Axes] = {"encoder": Axes(source, source), "cross": Axes(target, source)}
    axes["decoder"] = Axes(source, source) if architecture == "decoder" else Axes(target, target)
    inputs = {"decoder_input_ids": READ} if architecture == "encoder-decoder" else {}

    def run(taps: Taps) -> None:
        with torch.inference_mode():
            found.run(taps, input_ids=IDS, **inputs)

    return Reading(
        TraceRequest("own@12345678", "", None, 0), {kind: axes[kind] for kind in shape.layers}, shape.layers,
        shape.heads, shape.key_heads, run, {kind: shape.head_names(kind) for kind in shape.layers},
    )  # fmt: skip


@pytest.mark.parametrize(("architecture", "make"), MODELS, ids=[make.__name__ for _, make in MODELS])
def test_rows_are_those_of_the_library_s_maps(architecture: Architecture, make: Callable[[], Any]) -> None:
    model = loud(make())
    maps = expected(model, architecture)
    found = reading(model, architecture)
    assert set(found.axes) == set(maps)
    for kind, layers in maps.items():
        assert found.layers[kind] == len(layers)
        for layer, weights in enumerate(layers):
            for head in range(found.heads[kind]):
                seen = head_vectors(found, kind, layer, head)
                assert len(seen.shared_by) == found.heads[kind] // found.key_heads[kind] and head in seen.shared_by
                for row in range(weights.shape[2]):
                    one = neurons_at(seen, row)
                    adds_up(one)
                    np.testing.assert_allclose(one.weights, weights[0, head, row], atol=ROUNDED)


def test_what_makes_families_different_is_said() -> None:
    relative = neurons_at(head_vectors(reading(loud(t5()), "encoder-decoder"), "encoder", 0, 1), 3)
    assert relative.bias.all() and relative.scaling == 1
    grouped = neurons_at(head_vectors(reading(loud(llama()), "decoder"), "decoder", 1, 3), 6)
    assert (grouped.key_head, grouped.shared_by) == (1, (2, 3)) and grouped.scaling == pytest.approx(8**-0.5)
    capped = neurons_at(head_vectors(reading(loud(gemma2()), "decoder"), "decoder", 1, 0), 6)
    assert capped.cap == 0.5 and capped.capped.any() and (np.abs(capped.logits[capped.allowed]) < 0.5).all()
    sliding = neurons_at(head_vectors(reading(loud(mistral()), "decoder"), "decoder", 0, 0), 6)
    assert sliding.allowed.tolist() == [False] * 4 + [True] * 3
    sunk = neurons_at(head_vectors(reading(loud(gpt_oss()), "decoder"), "decoder", 1, 0), 6)
    assert sunk.sink is not None and 0 < sunk.sink_weight < 1
