"""What a model is, by what its configuration says: what reads and what writes, what it can do, how much it sees."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

import torch

from engine.model_card import Capability
from engine.types import Kind

Architecture = Literal["encoder", "decoder", "encoder-decoder"]
KINDS_OF: Mapping[Architecture, tuple[Kind, ...]] = {
    "encoder": ("encoder",),
    "decoder": ("decoder",),
    "encoder-decoder": ("encoder", "decoder", "cross"),
}
WORDS: Mapping[Architecture, str] = {
    "encoder": "encoder-only",
    "decoder": "decoder-only",
    "encoder-decoder": "encoder-decoder",
}
DISCRIMINATORS = ("electra", "funnel", "splinter")  # families whose pretraining restores no words
_SUPPORTS: Mapping[Architecture, frozenset[Capability]] = {
    "encoder-decoder": frozenset({"translate", "encoder", "decoder", "cross", "interventions", "search", "read"}),
    "decoder": frozenset({"generate", "decoder", "read"}),
    "encoder": frozenset({"encoder", "read"}),
}


def architecture_of(config: Any) -> Architecture:
    """What reads and what writes.

    Args:
        config: the library's own configuration.
    """
    from transformers.models.auto.modeling_auto import (
        MODEL_FOR_CAUSAL_LM_MAPPING_NAMES as CAUSAL,
    )
    from transformers.models.auto.modeling_auto import (
        MODEL_FOR_MASKED_LM_MAPPING_NAMES as MASKED,
    )

    names = tuple(config.architectures or ())
    if any(name.endswith("EncoderModel") for name in names):
        return "encoder"
    if config.is_encoder_decoder:
        return "encoder-decoder"
    if any(name.endswith(("ForCausalLM", "LMHeadModel")) for name in names) or getattr(config, "is_decoder", False):
        return "decoder"
    return "decoder" if config.model_type in CAUSAL and config.model_type not in MASKED else "encoder"


def restores(config: Any) -> bool:
    """Whether an encoder was saved with the head that restores masked words; discriminators were trained without."""
    names = tuple(config.architectures or ())
    trained = any(name.endswith("ForPreTraining") for name in names) and config.model_type not in DISCRIMINATORS
    return trained or any(name.endswith("ForMaskedLM") for name in names)


def network_class(config: Any) -> Any:
    """The library's class that builds a model with what it was saved with."""
    import transformers

    architecture = architecture_of(config)
    if architecture == "encoder-decoder":
        return transformers.AutoModelForSeq2SeqLM
    if architecture == "decoder":
        return transformers.AutoModelForCausalLM
    if any(name.endswith("EncoderModel") for name in config.architectures or ()):
        return transformers.AutoModelForTextEncoding
    return transformers.AutoModelForMaskedLM if restores(config) else transformers.AutoModel


def supports(architecture: Architecture, *, cloze: bool) -> frozenset[Capability]:
    """What a model can do; of an encoder whether it restores masked words."""
    return _SUPPORTS[architecture] | (frozenset({"cloze"}) if cloze and architecture == "encoder" else frozenset())


def context_of(config: Any, longest: float, network: torch.nn.Module) -> int:
    """The most tokens that a model sees at once, 0 for any number: what its positions and its tokenizer allow.

    Args:
        config: the library's own configuration.
        longest: the tokenizer's limit; 0 or a huge number for none.
        network: the model, or one of its kind without weights.
    """
    text = config.get_text_config()
    limits = [int(longest)] if 0 < longest < 10**9 else []
    positions = 0
    if not hasattr(text, "relative_attention_num_buckets"):
        positions = int(getattr(text, "max_position_embeddings", 0) or 0)
    if positions > 0:
        limits.append(positions - _offset(network))
    return min(limits, default=0)


def _offset(network: torch.nn.Module) -> int:
    """Positions that stand for no token: RoBERTa counts from behind its padding's id."""
    for name, module in network.named_modules():
        if name.endswith("position_embeddings") and isinstance(module, torch.nn.Embedding):
            return 0 if module.padding_idx is None else module.padding_idx + 1
    return 0
