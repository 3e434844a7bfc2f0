"""What BERT reads: one text or two as pieces between [CLS] and [SEP], some masked, and the text spelled back."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import groupby

from engine.cloze_tokens import CLS, LINE, MASK, SEP, TYPED_MASK, ClozeSubwords, ClozeTokenizer, Part, Special
from engine.errors import EmptyInput, InputError, InputTooLong, UnknownCharacters
from engine.text import BOUNDARY, quoted
from engine.types import MASKED, Tokens

__all__ = ["CLS", "LONGEST", "MASK", "SEP", "TYPED_MASK", "ClozeInput", "ClozeSubwords", "put", "read_cloze"]

LONGEST = 100_000  # characters: more are refused before they are tokenized


@dataclass(frozen=True, slots=True)
class ClozeInput:
    r"""One text or two, as BERT reads them: [CLS] first [SEP], or [CLS] first [SEP] second [SEP].

    Attributes:
        first: the first text as it is read, with "[MASK]" for each blank.
        second: the second one; empty where there is none.
        tokens: one per position (T,); spans point into first + "\\n" + second. A blank is labelled "[MASK]" and is not
            special: it is part of the text. `tokens.words` has an index for each word, punctuation mark and special
            token, in reading order; masking changes none of them.
        segments: 0 up to the first [SEP], 1 behind it (T,).
        blanks: positions that are masked and still to be filled, in reading order.
        own: the id that the text has at each position (T,); −1 where it is not known: at a typed "[MASK]", and where
            one mask stands for several pieces.
        leads: whether a space stands before each position's text (T,), where it does not begin its line.
        words: what the text has for each word's index, masked or not.
        taken: what was put in: position and id.
        notes: what a reader should know of this reading.
        spelt: what the text has at each position (T,), the space before it included; "" where `own` is not known, and
            where several pieces make one character.
    """

    first: str
    second: str
    tokens: Tokens
    segments: tuple[int, ...]
    blanks: tuple[int, ...]
    own: tuple[int, ...]
    leads: tuple[bool, ...]
    words: tuple[str, ...]
    taken: tuple[tuple[int, int], ...] = ()
    notes: tuple[str, ...] = ()
    spelt: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.tokens)

    def positions_of(self, word: int) -> tuple[int, ...]:
        """Where a word's pieces, or the masks in their place, stand.

        Raises:
            InputError: there is no such word, or it is [CLS] or [SEP].
        """
        found = tuple(i for i, index in enumerate(self.tokens.words) if index == word and not self.tokens.special[i])
        if not found:
            raise InputError(f"There is no word {word} in this text. Choose one of its words to mask.")
        return found


@dataclass(frozen=True, slots=True)
class _Position:
    """One token on its way into a `ClozeInput`."""

    token: int
    surface: str  # without the space before it
    lead: bool
    word: int
    segment: int
    own: int
    label: str  # "" for the surface
    spelt: str = ""
    special: bool = False
    blank: bool = False
    shares: bool = False
    put: bool = False


def read_cloze(
    tokenizer: ClozeTokenizer,
    first: str,
    second: str = "",
    masked: Iterable[int] = (),
    taken: Iterable[tuple[int, int]] = (),
    *,
    single: bool = False,
    longest: int,
) -> ClozeInput:
    """One text or two as BERT reads them.

    Args:
        tokenizer: what the model reads by.
        first: any text; line breaks become spaces, and each "[MASK]" in it is a blank. Other special tokens are text.
        second: another one; may be empty.
        masked: indices of words (`Tokens.words`) that are masked.
        taken: positions of blanks, each with the id that is put there instead.
        single: one mask for each masked word, not one for each of its pieces.
        longest: the most tokens, [CLS] and [SEP] included.

    Raises:
        EmptyInput: the first text is empty.
        InputTooLong: too many tokens; the message states how many there are and how many may be.
        UnknownCharacters: no piece of either text is known.
        InputError: no such word, no blank at a position that is to be filled, or no such piece.
    """
    texts = _texts(tokenizer, first, second)
    line = _line(tokenizer, texts)
    words = _words(line)
    line = _masked(line, frozenset(masked), tokenizer.mask, single=single)
    if len(line) > longest:
        ends = dict.fromkeys(position.label for position in line if position.special)
        raise InputTooLong(
            f"{'These two texts have' if len(texts) == 2 else 'This text has'} {len(line):,} tokens, "
            f"{' and '.join(ends) or 'special tokens'} included, and {longest} is the most that the model sees at "
            f"once. Shorten {'one of them' if len(texts) == 2 else 'it'}."
        )
    chosen = tuple(taken)
    line = _taken(line, chosen, tokenizer)
    return _input(line, words, chosen, _notes(line, tokenizer.unknown))


def put(tokenizer: ClozeTokenizer, given: ClozeInput, taken: Iterable[tuple[int, int]]) -> ClozeInput:
    """The same with ids put in at some of its blanks.

    Raises:
        InputError: no blank at a position, or no such piece.
    """
    more = tuple(taken)
    filled = {place for place, _ in given.taken}
    line = [_position(given, place, put=place in filled) for place in range(len(given))]
    return _input(_taken(line, more, tokenizer), given.words, (*given.taken, *more), given.notes)


def _position(given: ClozeInput, place: int, *, put: bool) -> _Position:
    """One of an input's positions, as it was when that was made."""
    tokens = given.tokens
    span, special = tokens.spans[place], tokens.special[place]
    shares = not special and place > 0 and span[0] < span[1] and span == tokens.spans[place - 1]
    return _Position(
        tokens.ids[place], "" if shares or special else tokens.text[slice(*span)], given.leads[place],
        tokens.words[place], given.segments[place], given.own[place], tokens.labels[place], given.spelt[place],
        special, place in given.blanks, shares, put,
    )  # fmt: skip


def _texts(tokenizer: ClozeTokenizer, first: str, second: str) -> list[str]:
    """Normalised, the second one only if there is any."""
    length = len(first) + len(second)
    if length > LONGEST:
        raise InputTooLong(f"This text has {length:,} characters and {LONGEST:,} is the most. Shorten it.")
    texts = [tokenizer.normalise(first), tokenizer.normalise(second)]
    if not texts[0]:
        what = "The first text is empty" if texts[1] else "There is no text yet"
        raise EmptyInput(f"{what}. Type a sentence, for example: The old man sat by the river.")
    return texts if texts[1] else texts[:1]


def _line(tokenizer: ClozeTokenizer, texts: Sequence[str]) -> list[_Position]:
    """[CLS] first [SEP], or [CLS] first [SEP] second [SEP]; typed masks are blanks."""
    before, *behind = tokenizer.frame(len(texts))
    line: list[_Position] = []
    _close(line, before, 0, 0)
    for segment, (text, ends) in enumerate(zip(texts, behind, strict=True)):
        line += _body(tokenizer.parts(text), _next(line), segment)
        # Of several special tokens between two texts the first ends one text, and the others begin the next.
        _close(line, ends, segment, min(segment + 1, len(texts) - 1))
    read = [position for position in line if not position.special and position.surface]
    if all(position.token == tokenizer.unknown for position in read):
        raise UnknownCharacters(tokenizer.unreadable)
    return line


def _next(line: Sequence[_Position]) -> int:
    """The index of the word that would follow."""
    return line[-1].word + 1 if line else 0


def _close(line: list[_Position], specials: Sequence[Special], first: int, rest: int) -> None:
    """Append special tokens, the first of one segment and the rest of another."""
    for index, (token, label) in enumerate(specials):
        segment = rest if index else first
        line.append(_Position(token, "", False, _next(line), segment, token, label, special=True))


def _body(parts: Sequence[Part], word: int, segment: int) -> list[_Position]:
    """The pieces of one text; words count from `word`."""
    together = [part.shares or any(after.shares for after in parts[i + 1 : i + 2]) for i, part in enumerate(parts)]
    return [
        _Position(
            part.token, part.text, part.lead, word + part.word, segment, MASKED if part.mask else part.token,
            part.label, "" if part.mask or shared else " " * part.lead + part.text, blank=part.mask,
            shares=part.shares,
        )
        for part, shared in zip(parts, together, strict=True)
    ]  # fmt: skip


def _words(line: Sequence[_Position]) -> tuple[str, ...]:
    """What each word is, by its index."""
    words = [""] * (line[-1].word + 1)
    for position in line:
        words[position.word] += position.label if position.special else position.surface
    return tuple(word or BOUNDARY for word in words)


def _masked(line: list[_Position], words: frozenset[int], mask: int, *, single: bool) -> list[_Position]:
    """The same with [MASK] for each piece of some words, or once for each of the words."""
    ordinary = {position.word for position in line if not position.special}
    if absent := sorted(words - ordinary):
        raise InputError(f"There is no word {absent[0]} in this text to mask. Choose one of its words.")
    result: list[_Position] = []
    for position in line:
        if position.word not in words or position.blank:
            result.append(position)
        elif single and result[-1].word == position.word:
            result[-1] = replace(result[-1], own=MASKED, spelt="")
        else:
            result.append(replace(position, token=mask, surface=MASK, label="", blank=True, shares=False))
    return result


def _taken(line: list[_Position], taken: Sequence[tuple[int, int]], tokenizer: ClozeTokenizer) -> list[_Position]:
    """The same with pieces put in at some of the blanks."""
    result = list(line)
    for place, token in taken:
        if not 0 <= place < len(line) or not result[place].blank:
            raise InputError(f"Position {place} is not masked, so nothing can be put there. Mask its word first.")
        if not 0 <= token < len(tokenizer) or token in tokenizer.specials:
            raise InputError(f"There is no piece {token} to put in. Choose one of the candidates.")
        result[place] = replace(result[place], token=token, blank=False, put=True)
    for how, group in groupby(range(len(result)), key=lambda i: (result[i].segment, _source(result[i]))):
        places = list(group)
        if how[1] == "own":
            for place in places:
                text = result[place].spelt
                result[place] = replace(
                    result[place], surface=text.removeprefix(" "), lead=text.startswith(" "), label="", shares=False
                )
        elif how[1] == "put":
            parts = tokenizer.spelled([result[place].token for place in places])
            for place, part in zip(places, parts, strict=True):
                result[place] = replace(
                    result[place], surface=part.text, lead=part.lead, label=part.label, shares=part.shares
                )
    return result


def _source(position: _Position) -> str:
    """Where the text of a position comes from: it was read, it is the text's "own" piece put back, or one "put" in."""
    if not position.put:
        return ""
    return "own" if position.token == position.own and position.spelt else "put"


def _notes(line: Sequence[_Position], unknown: int) -> tuple[str, ...]:
    surfaces = dict.fromkeys(position.surface for position in line if position.token == unknown)
    if not surfaces:
        return ()
    shown = ", ".join(map(quoted, list(surfaces)[:5])) + (" …" if len(surfaces) > 5 else "")
    return (f"The model does not know {shown}: it reads an unknown piece there.",)


def _input(
    line: Sequence[_Position], words: tuple[str, ...], taken: tuple[tuple[int, int], ...], notes: tuple[str, ...]
) -> ClozeInput:
    texts, spans = ["", ""], [(0, 0)] * len(line)
    for index, position in enumerate(line):
        if position.special:
            continue
        if position.shares and not position.surface:
            spans[index] = spans[index - 1]
            continue
        before = "" if not texts[position.segment] or not position.lead else " "
        texts[position.segment] += before + position.surface
        end = len(texts[position.segment])
        spans[index] = (end - len(position.surface), end)
    shift = len(texts[0]) + len(LINE)
    placed = [
        (a + shift, b + shift) if position.segment and not position.special else (a, b)
        for position, (a, b) in zip(line, spans, strict=True)
    ]
    tokens = Tokens(
        LINE.join(texts) if line[-1].segment else texts[0],
        tuple(position.label or position.surface or BOUNDARY for position in line),
        tuple(position.token for position in line),
        tuple(position.word for position in line),
        tuple(placed),
        tuple(position.special for position in line),
    )
    return ClozeInput(
        texts[0],
        texts[1],
        tokens,
        tuple(position.segment for position in line),
        tuple(index for index, position in enumerate(line) if position.blank),
        tuple(position.own for position in line),
        tuple(position.lead for position in line),
        words,
        taken,
        notes,
        tuple(position.spelt for position in line),
    )
