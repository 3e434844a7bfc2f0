"""A BERT with random weights and the subwords of a few sentences, small enough for each test to make."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import torch

from engine.catalogue import MODELS
from engine.cloze import Cloze
from engine.cloze_text import ClozeSubwords
from engine.models.bert import Bert, BertConfig
from engine.training.language.prepared import train_subwords

LONGEST = 48
BOOK = """The animal didn't cross the street because it was too tired.
The old man sat by the river and the dog slept in the sun.
The street was too wide, and the animal was walking home.
She was reading a book; he was sleeping.
It was late, so they were going to the house by the sea.
"Where is the animal?" she asked. "It is in the street," said the old man.
The man and the woman walked along the river."""


@cache
def subwords() -> ClozeSubwords:
    """140 pieces: common words are whole, others fall apart."""
    return ClozeSubwords(train_subwords([BOOK], 140))


@cache
def cloze(longest: int = LONGEST) -> Cloze:
    """Random weights, far enough from 0 for its answers to differ."""
    torch.manual_seed(5)
    config = BertConfig(len(subwords()), width=16, heads=2, layers=2, feedforward=32, context=LONGEST, norm="pre")
    model = Bert(config).eval().requires_grad_(False)
    for parameter in model.parameters():
        parameter.add_(0.3 * torch.randn_like(parameter))
    return Cloze(replace(MODELS["bert"], name="tiny-bert", longest=longest), model, subwords(), "cpu")
