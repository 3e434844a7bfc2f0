"""Encoders of several families with random weights and tokenizers trained here, as a Cloze."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

from engine.cloze import Cloze
from engine.huggingface.encoder import HostedEncoder
from engine.huggingface.hosted import hosted
from engine.huggingface.restoring import cloze_of_hosted
from engine.huggingface.tokens import HostedTokenizer
from engine.model_card import ModelCard
from tests.engine.huggingface import families, tiny

CONTEXT = 96  # some of the page's examples have more than 64 tokens


@dataclass(frozen=True)
class Family:
    """How a family reads texts.

    Attributes:
        files: writes its tokenizer's files into a folder.
        segments: whether it tells a first text from a second one.
        encloses: labels of the ends.
        between: special tokens between two texts.
        extra: rows of its vocabulary that no token has.
    """

    files: Callable[[Path], Path]
    segments: bool
    encloses: str
    between: int = 1
    extra: int = 0


def _roberta(folder: Path) -> Path:
    return tiny.byte_bpe(folder, roberta=True)


def _albert(folder: Path) -> Path:
    """T5's pieces with ALBERT's special tokens."""
    from tokenizers import AddedToken, processors
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(tiny.unigram(folder))
    mask = AddedToken("[MASK]", lstrip=True, special=True)
    tokenizer.add_special_tokens({"cls_token": "[CLS]", "sep_token": "[SEP]", "mask_token": mask})
    ends = [(name, tokenizer.convert_tokens_to_ids(name)) for name in ("[CLS]", "[SEP]")]
    tokenizer.backend_tokenizer.post_processor = processors.TemplateProcessing(
        "[CLS] $A [SEP]", "[CLS] $A [SEP] $B:1 [SEP]:1", ends
    )
    tokenizer.save_pretrained(folder)
    return folder


FAMILIES = {
    "bert": Family(tiny.wordpiece, True, "[CLS] [SEP]"),
    "roberta": Family(_roberta, False, "<s> </s>", between=2),
    "albert": Family(_albert, True, "[CLS] [SEP]"),
    "distilbert": Family(tiny.wordpiece, False, "[CLS] [SEP]"),
    "electra": Family(tiny.wordpiece, True, "[CLS] [SEP]"),
    "modernbert": Family(_roberta, False, "<s> </s>", between=2, extra=7),
}


@cache
def tokenizer(name: str) -> Any:
    """transformers' own tokenizer of a family."""
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(FAMILIES[name].files(Path(mkdtemp()) / name))


@cache
def network(name: str) -> Any:
    """transformers' own model, on its eager path."""
    return _made(name).requires_grad_(False)


def _made(name: str) -> Any:
    own, family = tokenizer(name), families.reaching(families.ENCODERS[name], CONTEXT)
    return families.network(family, ids=len(own) + FAMILIES[name].extra, pad_token_id=own.pad_token_id)


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
    model = HostedEncoder(hosted(_made(name), "encoder", CONTEXT), restores=True, segments=FAMILIES[name].segments)
    read_by = HostedTokenizer(own, start=-1, end=-1, pad=own.pad_token_id, size=model.config.vocabulary)
    return cloze_of_hosted(card_of(name), model, read_by, "cpu")
