"""What a language model says of a text: the next token, how surprising each token was, and what was drawn."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from engine.types.trace import Tokens, TraceRequest


@dataclass(frozen=True, slots=True)
class Choice:
    """One token that may come next.

    Attributes:
        token: its id.
        label: what a screen shows of it: without its leading space, "↵" for the break between paragraphs.
        text: what it adds to the text, its leading space included; "" for </s>.
        before: its probability by the model, in [0, 1].
        after: its probability after temperature, top-k and top-p, in [0, 1]; 0 where it cannot be drawn.
        count: times that it was seen after the same words, of a model that counts; None of another.
    """

    token: int
    label: str
    text: str
    before: float
    after: float
    count: int | None = None


@dataclass(frozen=True, slots=True)
class NextToken:
    """The distribution of the next token, its most probable end.

    Attributes:
        choices: tokens that a text can have, most probable first.
        entropy: of the model's own distribution over its whole vocabulary, in bits.
        kept: tokens that can be drawn after top-k and top-p.
        of: tokens that could be drawn without them: the vocabulary less what no text has, such as <pad>.
        note: what is to be said of it, as sentences; "" for nothing.
    """

    choices: tuple[Choice, ...]
    entropy: float
    kept: int
    of: int
    note: str = ""


@dataclass(frozen=True, slots=True)
class Drawn:
    """One token of a sample.

    Attributes:
        token: its id.
        label: what a screen shows of it.
        text: what it adds to the text so far; a paragraph's first word comes without a space.
        logprob: natural log-probability by the model itself, ≤ 0, whatever the temperature was.
        note: what happened before it, as a sentence: the oldest tokens fell out of a full context; "" for nothing.
    """

    token: int
    label: str
    text: str
    logprob: float
    note: str = ""


@dataclass(frozen=True, slots=True)
class Surprise:
    """How well a model predicts a text that it did not write.

    Attributes:
        tokens: of the text, T of them, without what is read in front of it.
        bits: float32 (T,), −log2 of the probability of each token given those before it, ≥ 0.
        perplexity: 2 to the mean of them, ≥ 1; models with other tokens have another one of the same text.
        bits_per_character: the sum of `bits`, and what characters unknown to the model cost, over the number of
            characters: can be compared between models.
        characters: of the normalised text, breaks between paragraphs included.
        notes: what else is to be said, as sentences.
    """

    tokens: Tokens
    bits: np.ndarray
    perplexity: float
    bits_per_character: float
    characters: int
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        assert self.bits.shape == (len(self.tokens),) and self.bits.dtype == np.float32
        self.bits.setflags(write=False)


@dataclass(frozen=True, slots=True)
class GenerationRequest(TraceRequest):
    """What the trace of a continued text depends on: the prompt as `text`, the output as `target`, and its tokens.

    Attributes:
        taken: ids of the output, which its text alone does not tell: a text can be cut into tokens in several ways.
    """

    taken: tuple[int, ...] = ()
