"""The models that translate, whatever they are made of."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from engine.huggingface.hosted import Shape
from engine.huggingface.seq2seq import HostedSeq2Seq
from engine.models.seq2seq import Seq2Seq, Seq2SeqConfig
from engine.models.transformer import Transformer, TransformerConfig
from engine.types import Kind
from engine.weights import from_json

NativeTranslator = Transformer | Seq2Seq
NativeConfig = TransformerConfig | Seq2SeqConfig
Translator = NativeTranslator | HostedSeq2Seq
TranslatorConfig = NativeConfig | Shape


def head_names(config: TranslatorConfig, kind: Kind) -> tuple[str, ...]:
    """What a screen calls the heads of a kind of attention; none where they are numbered."""
    return config.head_names(kind) if isinstance(config, Shape) else ()


def translator_config(values: Mapping[str, Any], where: str) -> NativeConfig:
    """The shape of a translator from a JSON object: a recurrent one names its attention.

    Raises:
        ConfigError: unknown or missing keys, impossible values.
    """
    if "attention" in values:
        return from_json(Seq2SeqConfig, values, where)
    return from_json(TransformerConfig, values, where)


def translator(config: NativeConfig) -> NativeTranslator:
    """A model of that shape, with random weights."""
    return Seq2Seq(config) if isinstance(config, Seq2SeqConfig) else Transformer(config)
