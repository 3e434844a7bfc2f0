"""`load_completer(name)` gives a Completer: a network that completes words, behind texts and connected texts."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch

from engine.catalogue import ModelCard, card
from engine.characters import Folded, fold
from engine.connectivity import connectivity, plan
from engine.connectivity_blocks import Mode
from engine.errors import EmptyInput, InputError, InputTooLong, Unsupported
from engine.models.autocomplete import Autocomplete, AutocompleteConfig
from engine.runner import DTYPES, guard_memory, pick_device
from engine.types import MASKED, ConnectedText, Connectivity, Suggestions
from engine.weights import CONFIG, WEIGHTS, from_json, load_weights, read_json, verify
from engine.windows import windows

WORDS = "words.txt"
LONGEST = 1000  # characters of a text
SUGGESTED = 3
TYPED = 120  # characters of a text that is being typed: more would make each letter wait
Target = Literal["desired", "first", "second", "third", "word"]
RANKS: tuple[Target, ...] = ("first", "second", "third")  # suggestion


@dataclass(frozen=True, slots=True)
class Completion:
    """Suggestions at the end of a text, and what the first of them rests on.

    Attributes:
        text: the characters read (T,), folded; its end is where the reader types.
        suggestions: the three most probable words.
        influence: float32 (T,) in [0, 1]: of each character on the first suggestion's logit, divided by the largest.
        start: where the letters of the word being typed begin in `text`; its length where there are none yet.
    """

    text: str
    suggestions: Suggestions
    influence: np.ndarray
    start: int


@dataclass(frozen=True, slots=True)
class Completer:
    """A network that completes words, ready to run. It keeps weights only; every result is returned, none is stored.

    Attributes:
        card: what is known of it.
        model: in evaluation mode.
        words: what can come out, most frequent first.
        device: where it runs.
    """

    card: ModelCard
    model: Autocomplete
    words: tuple[str, ...]
    device: str

    def word_id(self, word: str) -> int:
        """The number of a word.

        Raises:
            InputError: it is not in the vocabulary.
        """
        try:
            return self.words.index(word)
        except ValueError:
            raise InputError(
                f"“{word}” is not among the {len(self.words):,} words that this network can complete. Choose a more "
                "frequent one, in small letters."
            ) from None

    def desired(self, folded: Folded) -> tuple[int, ...]:
        """For each character the number of the word that it belongs to, −1 where it is outside the vocabulary."""
        numbers = {word: number for number, word in enumerate(self.words)}
        found = [numbers.get(word, MASKED) for word in folded.word_texts]
        return tuple(found[word] for word in folded.words)

    def read(
        self,
        text: str,
        target: Target = "desired",
        mode: Mode = "one-hot",
        report: Callable[[float], None] | None = None,
        *,
        word: str = "",
    ) -> ConnectedText:
        """What is suggested at each character of a text, and how much that rests on each earlier one.

        Args:
            text: any; it is folded to a–z and the space.
            target: whose logit is differentiated: "desired", the word that is being typed; "first", "second" or
                "third", the suggestion of that rank; or "word", the same word at every character.
            mode: see `engine.types.Connectivity`.
            report: called with the share that is done, in (0, 1]; what it raises ends the work.
            word: of the vocabulary, for the target "word".

        Raises:
            EmptyInput, InputTooLong, InputError: a text or a word that cannot be used.
            DeviceError: out of memory.
        """
        folded = fold_checked(text)
        desired = self.desired(folded)
        with guard_memory(self.device):
            best, likely = self._likely(folded)
            wanted = self._targets(target, word, desired, best)
            found = self._connectivity(folded, wanted, mode, report)
        parts = windows(folded.text, self.reach)
        return ConnectedText(
            self.name,
            folded.text,
            self._named(desired),
            likely,
            self._named(wanted),
            found,
            self.reach if len(parts) > 1 else 0,
            tuple(part.start for part in parts for _ in range(part.first, part.end)) if len(parts) > 1 else (),
        )

    @property
    def name(self) -> str:
        """What it is called beside the others of its family."""
        return self.card.short

    @property
    def reach(self) -> int:
        """The most characters that are read at once."""
        return self.card.longest

    def memory(self, length: int) -> int:
        """Bytes that `read` takes for so many characters beside the weights, estimated."""
        matrices = length * length * (8 + 8)  # float64, and two of float32
        return plan(self.model, min(length, self.reach)).memory + matrices

    def complete(self, text: str) -> Completion:
        """What is suggested for the word at the end of a text that is being typed, and what the first rests on.

        Args:
            text: any; it is folded, and its last `TYPED` characters are read. Empty text is the space before a word.

        Raises:
            DeviceError: out of memory.
        """
        tail = _end_of(fold(text))
        with guard_memory(self.device):
            best, likely = self._likely(tail)
            wanted = [MASKED] * (len(tail) - 1) + [int(best[-1, 0])]
            found = connectivity(self.model, tail.ids, wanted, method="naive")  # of one target
        return Completion(tail.text, likely[-1], found.relative[-1].copy(), len(tail) - tail.known[-1])

    def _named(self, numbers: tuple[int, ...]) -> tuple[str, ...]:
        return tuple("" if number == MASKED else self.words[number] for number in numbers)

    def _targets(self, target: Target, word: str, desired: tuple[int, ...], best: np.ndarray) -> tuple[int, ...]:
        if target == "desired":
            return desired
        if target == "word":
            return (self.word_id(word),) * len(desired)
        return tuple(best[:, RANKS.index(target)].tolist())

    @torch.inference_mode()
    def _likely(self, folded: Folded) -> tuple[np.ndarray, tuple[Suggestions, ...]]:
        """The most probable words at each character: their numbers (T, 3), and what is shown of them."""
        parts = []
        for window in windows(folded.text, self.reach):
            ids = torch.tensor([folded.ids[window.start : window.end]], device=self.device)
            logits = self.model(ids)[0, window.first - window.start :].float()
            parts.append(logits.softmax(-1).topk(min(SUGGESTED, logits.shape[-1]), dim=-1))
        numbers = torch.cat([part.indices for part in parts]).cpu().numpy()
        shares = torch.cat([part.values for part in parts]).tolist()
        rows = zip(numbers.tolist(), shares, strict=True)
        return numbers, tuple(tuple((self.words[n], p) for n, p in zip(*row, strict=True)) for row in rows)

    def _connectivity(
        self, folded: Folded, wanted: tuple[int, ...], mode: Mode, report: Callable[[float], None] | None
    ) -> Connectivity:
        """Of the whole text at once, or window by window; what a window does not reach is 0."""
        parts = windows(folded.text, self.reach)
        if len(parts) == 1:
            return connectivity(self.model, folded.ids, wanted, mode, report=report)
        length = len(folded)
        values, relative = np.zeros((2, length, length), dtype=np.float32)
        peaks, done = np.zeros(length), 0
        for window in parts:
            inside = slice(window.start, window.end)
            rows = [MASKED] * (window.first - window.start) + list(wanted[window.first : window.end])

            def within(share: float, done: int = done, rows: int = window.end - window.first) -> None:
                if report is not None:
                    report((done + share * rows) / length)

            part = connectivity(self.model, folded.ids[inside], rows, mode, report=within)
            taken, given = slice(window.first, window.end), slice(window.first - window.start, None)
            values[taken, inside], relative[taken, inside] = part.values[given], part.relative[given]
            peaks[taken], done = part.peaks[given], window.end
        return Connectivity(values, relative, peaks, mode, wanted)


def fold_checked(text: str, longest: int = LONGEST) -> Folded:
    """A text in the networks' alphabet.

    Raises:
        EmptyInput: no letter is in it.
        InputTooLong: more characters than `longest`.
    """
    if len(text) > 50 * longest:  # folding it would take long
        raise InputTooLong(_too_long(len(text), longest))
    folded = fold(text)
    if not folded.text.strip():
        raise EmptyInput(
            "There is no text to read. Type at least one letter."
            if not text.strip()
            else "Nothing of this text is left in the letters a to z that these networks read. Type English words."
        )
    if len(folded) > longest + 1:  # the space before the first word is no one's typing
        raise InputTooLong(_too_long(len(folded) - 1, longest))
    return folded


def _end_of(folded: Folded) -> Folded:
    """The last whole words of a text, `TYPED` characters at most."""
    if len(folded) <= TYPED:
        return folded
    earliest = len(folded) - TYPED
    space = folded.text.find(" ", earliest)
    return fold(folded.text[earliest + 1 if space < 0 else space :])  # a word that long is cut


def _too_long(length: int, longest: int) -> str:
    return f"This text has {length:,} characters and {longest:,} is the most. Shorten it."


def load_completer(name: str | ModelCard, device: str = "auto", dtype: str = "float32") -> Completer:
    """A shipped network that completes words, verified against the catalogue.

    Args:
        name: a key of `engine.catalogue.MODELS` of the family "autocomplete".
        device: "auto", "cpu", "cuda" or "mps".
        dtype: "float32" or "bfloat16"; results are float32 in any case.

    Raises:
        UnknownModel, WeightsMissing, WeightsDamaged, DeviceError: each says what to do.
        Unsupported: no such dtype, or the model is of another family.
    """
    found = card(name)
    if found.family != "autocomplete":
        raise Unsupported(f"{name} does not complete words: use {found.loader}.")
    where = pick_device(device)
    if dtype not in DTYPES:
        raise Unsupported(f"There is no dtype {dtype!r}. Choose one of: {', '.join(DTYPES)}.")
    verify(found)
    model = Autocomplete(from_json(AutocompleteConfig, read_json(found.folder / CONFIG), CONFIG))
    load_weights(model, found.folder / WEIGHTS)
    words = tuple((found.folder / WORDS).read_text("utf-8").split())
    with guard_memory(where):
        model.requires_grad_(False).eval().to(device=where, dtype=DTYPES[dtype])
    return Completer(found, model, words, where)
