"""Encoders of several families with random weights and tokenizers trained here, as a Cloze."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

import torch

from engine.cloze import Cloze
from engine.huggingface.encoder import HostedEncoder
from engine.huggingface.hosted import hosted
from engine.huggingface.restoring import cloze_of_hosted
from engine.huggingface.tokens import HostedTokenizer
from engine.model_card import ModelCard
from tests.engine.huggingface import tiny

CONTEXT = 96
SIZES = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 24}


@dataclass(frozen=True)
class Family:
    """One architecture: its tokenizer's files, and its model for a vocabulary of so many ids."""

    files: Callable[[Path], Path]
    model: Callable[[int], Any]
    segments: bool
    encloses: str  # labels of the ends
    between: int = 1  # special tokens between two texts


def _wordpiece(folder: Path) -> Path:
    return tiny.wordpiece(folder)


def _roberta(folder: Path) -> Path:
    """Its mask takes the space before it along."""
    from tokenizers import AddedToken

    return _with(tiny.byte_bpe(folder, roberta=True), mask_token=AddedToken("<mask>", lstrip=True, special=True))


def _albert(folder: Path) -> Path:
    """T5's pieces with ALBERT's special tokens."""
    from tokenizers import AddedToken, processors

    folder = _with(
        tiny.unigram(folder),
        cls_token="[CLS]",
        sep_token="[SEP]",
        mask_token=AddedToken("[MASK]", lstrip=True, special=True),
    )
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(folder)
    ends = [(name, tokenizer.convert_tokens_to_ids(name)) for name in ("[CLS]", "[SEP]")]
    tokenizer.backend_tokenizer.post_processor = processors.TemplateProcessing(
        "[CLS] $A [SEP]", "[CLS] $A [SEP] $B:1 [SEP]:1", ends
    )
    tokenizer.save_pretrained(folder)
    return folder


def _with(folder: Path, **specials: Any) -> Path:
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(folder)
    tokenizer.add_special_tokens(specials)
    tokenizer.save_pretrained(folder)
    return folder


def _bert(size: int) -> Any:
    from transformers import BertConfig, BertForMaskedLM

    return BertForMaskedLM(BertConfig(vocab_size=size, max_position_embeddings=CONTEXT, **SIZES))


def _roberta_model(size: int) -> Any:
    from transformers import RobertaConfig, RobertaForMaskedLM

    config = RobertaConfig(
        vocab_size=size, max_position_embeddings=CONTEXT + 2, type_vocab_size=1, pad_token_id=1, **SIZES
    )
    return RobertaForMaskedLM(config)


def _albert_model(size: int) -> Any:
    from transformers import AlbertConfig, AlbertForMaskedLM

    return AlbertForMaskedLM(AlbertConfig(vocab_size=size, max_position_embeddings=CONTEXT, embedding_size=8, **SIZES))


def _distilbert(size: int) -> Any:
    from transformers import DistilBertConfig, DistilBertForMaskedLM

    config = DistilBertConfig(
        vocab_size=size, max_position_embeddings=CONTEXT, dim=16, n_layers=2, n_heads=2, hidden_dim=24
    )
    return DistilBertForMaskedLM(config)


def _electra(size: int) -> Any:
    from transformers import ElectraConfig, ElectraForMaskedLM

    return ElectraForMaskedLM(
        ElectraConfig(vocab_size=size, max_position_embeddings=CONTEXT, embedding_size=8, **SIZES)
    )


def _modernbert(size: int) -> Any:
    """Rotary positions, sliding windows, and a vocabulary larger than the tokenizer's."""
    from transformers import ModernBertConfig, ModernBertForMaskedLM

    config = ModernBertConfig(
        vocab_size=size + 7,
        max_position_embeddings=CONTEXT,
        pad_token_id=1,
        global_attn_every_n_layers=2,
        local_attention=8,
        **SIZES,
    )
    return ModernBertForMaskedLM(config)


FAMILIES = {
    "bert": Family(_wordpiece, _bert, True, "[CLS] [SEP]"),
    "roberta": Family(_roberta, _roberta_model, False, "<s> </s>", between=2),
    "albert": Family(_albert, _albert_model, True, "[CLS] [SEP]"),
    "distilbert": Family(_wordpiece, _distilbert, False, "[CLS] [SEP]"),
    "electra": Family(_wordpiece, _electra, True, "[CLS] [SEP]"),
    "modernbert": Family(_roberta, _modernbert, False, "<s> </s>", between=2),
}


@cache
def tokenizer(name: str) -> Any:
    """transformers' own tokenizer of a family."""
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(FAMILIES[name].files(Path(mkdtemp()) / name))


@cache
def network(name: str) -> Any:
    """transformers' own model, on its eager path; weights far enough from 0 for answers to differ."""
    return _made(name, "eager")


def _made(name: str, attention: str) -> Any:
    torch.manual_seed(5)
    model = FAMILIES[name].model(len(tokenizer(name))).eval().requires_grad_(False)
    for parameter in model.parameters():
        parameter.add_(0.3 * torch.randn_like(parameter))
    model.set_attn_implementation(attention)
    return model


def card_of(name: str) -> ModelCard:
    """As an opened model has it."""
    return ModelCard(
        name=f"somebody/tiny-{name}",
        family="huggingface",
        title=f"somebody/tiny-{name}",
        summary="A model of somebody's own.",
        sha256={"weights.safetensors": "0123456789abcdef"},
        supports=frozenset({"cloze", "encoder", "read"}),
        longest=CONTEXT,
        data=(),
        licence="unknown",
        limits=(),
        path=Path("somewhere"),
    )


@cache
def cloze(name: str) -> Cloze:
    """The same model as Saccade opens it."""
    own = tokenizer(name)
    model = HostedEncoder(
        hosted(_made(name, "eager"), "encoder", CONTEXT), restores=True, segments=FAMILIES[name].segments
    )
    read_by = HostedTokenizer(own, start=-1, end=-1, pad=own.pad_token_id, size=model.config.vocabulary)
    return cloze_of_hosted(card_of(name), model, read_by, "cpu")
