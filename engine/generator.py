"""A language model that continues texts, behind prompts and tokens."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from engine.branches import sampled_tree, walk_of
from engine.decoding.continuing import Continuing, dropped
from engine.decoding.options import SampleOptions
from engine.decoding.sampling import filtered, sample_tree
from engine.decoding.search import Vocabulary
from engine.errors import InputError, InputTooLong
from engine.generation_trace import trace_of
from engine.huggingface.decoder import HostedDecoder
from engine.model_card import ModelCard
from engine.models.char_lm import CharLM
from engine.models.gpt import GPT
from engine.models.trigram import Trigram
from engine.prose_tokens import LINE, ProseTokenizer, fronted
from engine.reduce import select
from engine.runner import guard_memory
from engine.surprise import surprise_of
from engine.text import quoted
from engine.trigram_notes import backed_off, counts_after
from engine.types import BeamTree, Choice, Drawn, NextToken, Surprise, Tokens, Trace

LONGEST = 20_000  # characters of a prompt
REACH = 1_000  # characters of a prompt that a recurrent network is given: more would make each token wait
SHOWN = 12  # choices
NO_END = -1
RARE = 0.001  # a probability that is not worth a sentence


@dataclass(frozen=True, slots=True)
class Prompt:
    """What a model reads of a prompt.

    Attributes:
        text: all of it, as it is read: prose is normalised for our own models.
        tokens: what is read: <s> or a line break in front, which is no part of the text, unless the beginning was cut
            off; then the last tokens of the text.
        cut: tokens of the text that are not read, since the context is full.
        notes: what is to be said of it, as sentences.
    """

    text: str
    tokens: Tokens
    cut: int
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Generator:
    """A language model ready to continue texts. It keeps weights only; every result is returned and none is stored.

    A text is a prompt, as it was typed, and the ids that were taken after it. Texts are read from `front` on.

    Attributes:
        card: what is known of it.
        model: in evaluation mode.
        tokenizer: text to tokens and back.
        device: where it runs.
        front: id of what stands before every text: <s>, or a line break, as before a paragraph.
        end: id of </s>, after which nothing comes; −1 where there is none.
        unknown: id of what the vocabulary lacks; −1 where it lacks nothing.
        banned: ids that are never drawn: <pad>, the unknown, ....
        context: the most tokens that it sees at once; 0 where there is no limit.
        reach: the most tokens of a prompt that it is given, where `context` has no limit; 0 for all.
        habit: what is to be said of what stands before every text, as a sentence; "" for nothing.
    """

    card: ModelCard
    model: GPT | CharLM | Trigram | HostedDecoder
    tokenizer: ProseTokenizer
    device: str
    front: int
    end: int
    unknown: int
    banned: tuple[int, ...]
    context: int = 0
    reach: int = 0
    habit: str = ""

    # ---- texts ----

    def prompt(self, text: str) -> Prompt:
        """What is read of a prompt; none is a text's beginning. Too long a one is cut from the left, with a note.

        Raises:
            InputTooLong: more than `LONGEST` characters.
        """
        whole = self._whole(text, ())
        form, cut = whole.text, self._cut(len(whole))
        notes = self.unknown_notes(whole)
        if not cut:
            return Prompt(form, whole, 0, notes)
        kept = select(whole, range(cut, len(whole)))
        why = f"the model sees {self.context} at once" if self.context else f"the model is given {self.reach:,} at most"
        note = (
            f"The prompt has {len(whole) - 1:,} tokens and {why}: it reads the last {len(kept)}, from "
            f"{_beginning(kept)} on."
        )
        return Prompt(form, kept, cut - 1, (note, *notes))

    def text_of(self, prompt: str, taken: Sequence[int]) -> str:
        """The prompt, as it is read, and what was taken after it; `typed` makes a prompt of it.

        A prompt of our own models is normalised: of repeated spaces and breaks that a model said, one is left.
        """
        self._check(taken)
        return self._whole(prompt, taken).text

    def typed(self, text: str) -> str:
        """What one types to have a text as the prompt."""
        return self.tokenizer.typed(text)

    @property
    def end_label(self) -> str:
        """What a screen shows of the end of a text: "</s>"; "" where nothing ends one."""
        return self.tokenizer.label_of(self.end) if self.end != NO_END else ""

    def tokens_of(self, prompt: str, taken: Sequence[int]) -> Tokens:
        """What is read of a prompt, and what was taken after it."""
        self._check(taken)
        whole = self._whole(prompt, taken)
        return select(whole, range(self._cut(len(whole) - len(taken)), len(whole)))

    def whole(self, prompt: str) -> Tokens:
        """All tokens of a prompt, `front` before them, those too that `tokens_of` would leave out."""
        return self._whole(prompt, ())

    def _whole(self, prompt: str, taken: Sequence[int]) -> Tokens:
        """All tokens of a prompt as it was typed and of ids after it, `front` before them."""
        if len(prompt) > 10 * LONGEST:  # refused before it is normalised, which takes a second for a million
            raise InputTooLong(f"This prompt has {len(prompt):,} characters and {LONGEST:,} is the most. Shorten it.")
        form = self.tokenizer.form(prompt)
        if len(form) > LONGEST:
            raise InputTooLong(f"This prompt has {len(form):,} characters and {LONGEST:,} is the most. Shorten it.")
        tokens = self.tokenizer.extended(self.tokenizer.encode(form), taken, self.end)
        return fronted(tokens, self.front, self.tokenizer.label_of(self.front))

    def _cut(self, length: int) -> int:
        """How many of the tokens of a prompt, the one in front included, are not read."""
        return dropped(length, self.context) if self.context or not self.reach else max(0, length - self.reach)

    def _goes_on(self, prompt: str, taken: Sequence[int]) -> Tokens:
        """`tokens_of` a text that more is to come after."""
        self._check(taken, goes_on=True)
        return self.tokens_of(prompt, taken)

    def says(self, taken: Sequence[int]) -> bool:
        """Whether a text of this model can have these tokens one after another."""
        try:
            self._check(taken)
        except InputError:
            return False
        return True

    def _check(self, taken: Sequence[int], *, goes_on: bool = False) -> None:
        """Raises InputError where a text cannot have these tokens, or cannot go on after them."""
        for place, token in enumerate(taken):
            if not 0 <= token < len(self.tokenizer) or token in self.banned:
                raise InputError("The text holds a token that this model never says. Rewind, and take another one.")
            if token == self.end and (goes_on or place < len(taken) - 1):
                raise InputError(
                    f"The text has ended with {self.end_label}: nothing comes after it. Rewind, and take another token."
                )

    def unknown_notes(self, tokens: Tokens) -> tuple[str, ...]:
        """What is to be said of characters or words that the vocabulary lacks."""
        labels = dict.fromkeys(
            label for label, token in zip(tokens.labels, tokens.ids, strict=True) if token == self.unknown
        )
        if not labels:
            return ()
        named = ", ".join(map(quoted, [*labels][:5])) + (", …" if len(labels) > 5 else "")
        return (f"The model does not know {named}: it reads something unknown there.",)

    # ---- the next token ----

    @torch.inference_mode()
    def next_token(self, prompt: str, taken: Sequence[int], options: SampleOptions, n: int = SHOWN) -> NextToken:
        """What may come next, before and after temperature, top-k and top-p.

        Args:
            prompt: as it was typed.
            taken: ids after it.
            options: what could be drawn from.
            n: the most choices to list.

        Raises:
            InputError: a prompt that is too long, or tokens that no text goes on from.
        """
        tokens = self._goes_on(prompt, taken)
        with guard_memory(self.device):
            logprobs = self._logprobs_after(tokens.ids)
        own = logprobs.double()
        shares = own.exp()
        entropy = -float((shares * own.clamp_min(-1e4)).sum()) / math.log(2)  # of an impossible token 0
        left = self._allowed(logprobs[None], options)[0]
        after = left.double().exp()
        size = len(logprobs) - len(self.banned)
        listed = _best(self._said(own), after, min(n, size))
        counts = counts_after(self.model, tokens.ids) if isinstance(self.model, Trigram) else None
        choices = tuple(
            Choice(
                token,
                self.tokenizer.label_of(token),
                self.tokenizer.added(tokens.text, tokens.ids, token),
                float(shares[token]),
                float(after[token]),
                counts.get(token, 0) if counts is not None else None,
            )
            for token in listed
        )
        return NextToken(
            choices,
            max(0.0, entropy),
            int(left.isfinite().sum()),
            size,
            self._note(tokens, float(shares[self.unknown]) if self.unknown >= 0 else 0.0),
        )

    @property
    def steps(self) -> Continuing:
        """The model as searches see it: texts may become longer than its context."""
        return Continuing(self.model, self.context)

    def tensor(self, ids: Sequence[int]) -> Tensor:
        """Ids as a batch of one, int64 (1, T), on the model's device."""
        return torch.tensor([tuple(ids)], dtype=torch.long, device=self.device)

    def _logprobs_after(self, ids: Sequence[int]) -> Tensor:
        """Natural log-probabilities of the next token, float32 (V,) on the CPU."""
        read = self.tensor(ids)
        return self.steps.step(self.steps.encode(read[:, :-1]), read[:, -1])[0][0].float().cpu()

    def _said(self, logprobs: Tensor) -> Tensor:
        """Log-probabilities (..., V) with −∞ at what is never drawn."""
        return logprobs.index_fill(-1, torch.tensor(self.banned, dtype=torch.long), -torch.inf)

    def _allowed(self, logprobs: Tensor, options: SampleOptions) -> Tensor:
        """Log-probabilities (N, V) after temperature, top-k and top-p; what cannot be drawn is −∞."""
        return filtered(self._said(logprobs).log_softmax(-1), options)

    def _note(self, tokens: Tokens, unknown: float) -> str:
        notes = [backed_off(self.model, tokens)] if isinstance(self.model, Trigram) else []
        if unknown >= RARE:
            notes.append(
                f"Something outside its vocabulary has {100 * unknown:.1f} %: that is left out here and never drawn."
            )
        return " ".join(filter(None, notes))

    # ---- samples ----

    def stream(self, prompt: str, taken: Sequence[int], options: SampleOptions) -> Iterator[Drawn]:
        """One sample, token by token: the only one of `continuations` with the same options and `samples` 1.

        It ends after </s>, or after `max_length` tokens. Once the context is full, its older half falls out before the
        next token, whose note says so.

        Args:
            prompt: as it was typed.
            taken: ids after it.
            options: how to draw; the same seed gives the same text. `samples` counts for nothing.

        Raises:
            InputError: as `next_token`, before the first token is drawn.
        """
        return self._draw(self._goes_on(prompt, taken), options)

    def _draw(self, tokens: Tokens, options: SampleOptions) -> Iterator[Drawn]:
        generator = torch.Generator().manual_seed(options.seed)
        steps, read, text, ids = self.steps, self.tensor(tokens.ids), tokens.text, [*tokens.ids]
        with torch.inference_mode(), guard_memory(self.device):
            state = steps.encode(read[:, :-1])
        last = tokens.ids[-1]
        for _ in range(options.max_length):
            note = self._slid() if steps.full(state) else ""
            with torch.inference_mode(), guard_memory(self.device):
                logprobs, state = steps.step(state, torch.tensor([last], device=self.device))
                logprobs = logprobs.float().cpu()
                shares = self._allowed(logprobs, options).exp()
                last = int(torch.multinomial(shares[0], 1, replacement=True, generator=generator))
            piece = self.tokenizer.added(text, ids, last)
            text += piece
            ids.append(last)
            yield Drawn(last, self.tokenizer.label_of(last), piece, min(0.0, float(logprobs[0, last])), note)
            if last == self.end:
                return

    def _slid(self) -> str:
        oldest = dropped(self.context + 1, self.context)
        return f"The context of {self.context} tokens is full: the oldest {oldest} fall out."

    def continuations(
        self,
        prompt: str,
        taken: Sequence[int],
        options: SampleOptions,
        report: Callable[[int], None] = lambda step: None,
    ) -> BeamTree:
        """Several samples as a tree: those that begin alike share its nodes, and `count` says how many they are.

        Args:
            prompt: as it was typed.
            taken: ids after it; they and the prompt are the tree's source.
            options: how to draw; the same seed gives the same samples.
            report: called after each step with the number of steps done; what it raises ends the draw.

        Raises:
            InputError: as `next_token`.
        """
        tokens = self._goes_on(prompt, taken)
        vocabulary = Vocabulary(self.front, tokens.ids[-1], self.end, self.banned)
        with guard_memory(self.device):
            found = sample_tree(self.steps, tokens.ids[:-1], vocabulary, options, self.device, report=report)
        return sampled_tree(self, tokens, found, options)

    # ---- what was said, looked at ----

    def walk(self, prompt: str, paths: Sequence[Sequence[int]]) -> BeamTree:
        """The tree of some walks from one prompt: see `engine.branches.walk_of`."""
        return walk_of(self, prompt, paths)

    def surprise(self, text: str, report: Callable[[float], None] | None = None) -> Surprise:
        """How well the model predicts a text: see `engine.surprise.surprise_of`."""
        return surprise_of(self, text, report)

    def trace(self, prompt: str, taken: Sequence[int]) -> Trace:
        """One causal map over prompt and output: see `engine.generation_trace.trace_of`."""
        return trace_of(self, prompt, taken)


def _best(said: Tensor, drawn: Tensor, count: int) -> list[int]:
    """The most probable tokens, of equals first those that are the more likely drawn, then by id.

    Args:
        said: float64 (V,), log-probabilities.
        drawn: float64 (V,), probabilities after temperature, top-k and top-p.
        count: how many, at most V.
    """
    if not count:
        return []
    least = said.topk(count).values[-1]
    among = (said >= least).nonzero()[:, 0].numpy()  # a few of many, unless all are alike
    order = np.lexsort((-drawn.numpy()[among], -said.numpy()[among]))
    found: list[int] = among[order[:count]].tolist()
    return found


def _beginning(tokens: Tokens) -> str:
    """The first few words of tokens in quotation marks, for people to find them in their text."""
    start = tokens.spans[0][0]
    return quoted(tokens.text[start : start + 60].replace(LINE, " "))
