"""The peer: transformers' Marian of our shape, with our weights in it."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from engine.models.attention import MultiHeadAttention
from engine.models.transformer import EncoderLayer, Transformer, TransformerConfig


def marian(config: TransformerConfig, attention: str) -> Any:
    """A MarianMTModel with random weights.

    Args:
        config: whose shape it takes.
        attention: "sdpa" (no maps) or "eager" (maps on request).
    """
    from transformers import MarianConfig, MarianMTModel

    shape = MarianConfig(
        vocab_size=config.vocabulary,
        d_model=config.width,
        encoder_layers=config.encoder_layers,
        decoder_layers=config.decoder_layers,
        encoder_ffn_dim=config.feedforward,
        decoder_ffn_dim=config.feedforward,
        encoder_attention_heads=config.heads,
        decoder_attention_heads=config.heads,
        max_position_embeddings=config.max_length,
        activation_function="swish",
        scale_embedding=config.scale_embedding,
        pad_token_id=config.pad,
        eos_token_id=config.end,
        bos_token_id=config.start,
        decoder_start_token_id=config.start,
        forced_eos_token_id=None,
        attn_implementation=attention,
    )
    model = MarianMTModel(shape).eval().requires_grad_(False)
    if model.config._attn_implementation != attention:
        raise RuntimeError(f"transformers runs {model.config._attn_implementation!r} instead of {attention!r}")
    return model


def like_marian(config: TransformerConfig) -> TransformerConfig:
    """The same shape with Marian's conventions, which weights can be copied into."""
    values: dict[str, Any] = {name: getattr(config, name) for name in TransformerConfig.__slots__}
    marian_has = {"norm": "post", "final_norm": None, "activation": "silu", "positions": "concatenated"}
    return TransformerConfig(**(values | marian_has))


@torch.no_grad()
def copy_encoder(ours: Transformer, theirs: Any) -> None:
    """Put our encoder's weights into Marian's."""
    theirs.model.shared.weight.copy_(ours.embedding.tokens.weight)
    for our, their in zip(ours.encoder, theirs.model.encoder.layers, strict=True):
        assert isinstance(our, EncoderLayer)
        copy_attention(our.attention, their.self_attn)
        their.self_attn_layer_norm.load_state_dict(our.attention_norm.state_dict())
        their.fc1.load_state_dict(our.feedforward.up.state_dict())
        their.fc2.load_state_dict(our.feedforward.down.state_dict())
        their.final_layer_norm.load_state_dict(our.feedforward_norm.state_dict())


def copy_attention(ours: MultiHeadAttention, theirs: nn.Module) -> None:
    weights, biases = ours.in_proj.weight.chunk(3), ours.in_proj.bias.chunk(3)
    for name, weight, bias in zip(("q_proj", "k_proj", "v_proj"), weights, biases, strict=True):
        projection = theirs.get_submodule(name)
        projection.load_state_dict({"weight": weight, "bias": bias})
    theirs.get_submodule("out_proj").load_state_dict(ours.out_proj.state_dict())
