"""A toy language, and language models small enough to train on it while testing."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from engine.models.bert import BertConfig
from engine.models.char_lm import CharLMConfig
from engine.models.gpt import GPTConfig
from engine.training.language.config import LanguageConfig, LanguageTraining
from engine.training.language.prepared import ABOUT
from engine.weights import read_json

PIECES = 64
# Who it is tells what is done, and where: of the eleven tokens of a sentence only who, how and the mark are free.
DEEDS = {
    "cat": "sleeps on the mat", "dog": "runs to the gate", "hen": "sits on her nest", "fox": "hides in the wood",
    "owl": "looks at the moon", "cow": "eats all the grass",
}  # fmt: skip


def toy_book(sentences: int, seed: int) -> str:
    """Paragraphs of four sentences, broken into lines as a file has them."""
    rng = np.random.default_rng(seed)
    said = [
        f"{rng.choice(['The old', 'My', 'Mr. Grey said: The'])} {who} {DEEDS[who]}{rng.choice(['.', '!'])}"
        for who in rng.choice(list(DEEDS), sentences)
    ]
    paragraphs = ["\n".join(said[first : first + 4]) for first in range(0, sentences, 4)]
    return "\n\n".join(paragraphs)


def headed(title: str, text: str) -> str:
    return f"Title: {title}\n\nAuthor: Nobody\n\nYear: 1900\n\n-------\n{text}\n"


def shape_of(kind: str, prepared: Path) -> LanguageConfig:
    """A small GPT, BERT or character LSTM for the prepared text."""
    if kind == "char-lm":
        return CharLMConfig(read_json(prepared / ABOUT)["vocabulary"]["characters"], embedding=8, width=24, layers=1)
    small: dict[str, Any] = {"width": 24, "heads": 2, "layers": 2, "feedforward": 48, "context": 24}
    return GPTConfig(PIECES, **small) if kind == "gpt" else BertConfig(PIECES, **small, norm="pre")


def settings(kind: str, prepared: Path, **changes: Any) -> LanguageTraining:
    """A short run of one of them."""
    defaults: dict[str, Any] = {
        "batch": 8, "length": 24, "updates": 10, "peak_rate": 1e-2, "warmup": 0.1, "averaged": 0.3,
        "optimizer": "adamw" if kind == "char-lm" else "muon",
    }  # fmt: skip
    return LanguageTraining(kind, shape_of(kind, prepared), **defaults | changes)
