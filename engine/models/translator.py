"""The models that translate, whatever they are made of."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from engine.models.seq2seq import Seq2Seq, Seq2SeqConfig
from engine.models.transformer import Transformer, TransformerConfig
from engine.weights import from_json

Translator = Transformer | Seq2Seq
TranslatorConfig = TransformerConfig | Seq2SeqConfig


def translator_config(values: Mapping[str, Any], where: str) -> TranslatorConfig:
    """The shape of a translator from a JSON object: a recurrent one names its attention.

    Raises:
        ConfigError: unknown or missing keys, impossible values.
    """
    if "attention" in values:
        return from_json(Seq2SeqConfig, values, where)
    return from_json(TransformerConfig, values, where)


def translator(config: TranslatorConfig) -> Translator:
    """A model of that shape, with random weights."""
    return Seq2Seq(config) if isinstance(config, Seq2SeqConfig) else Transformer(config)
