"""The pronoun of an English sentence and the two nouns it may stand for, found by word lists and word order.

A first guess for a reader to correct; the nouns are those of `engine.nouns`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher
from itertools import groupby

from engine.nouns import (
    FAINT,
    OPENERS,
    PRONOUNS,
    RELATIVES,
    Noun,
    Words,
    bag,
    find_nouns,
    is_function,
    is_verb,
    sentence_starts,
    stem,
)
from engine.types import Tokens


@dataclass(frozen=True, slots=True)
class Word:
    """One word of a text, punctuation included, with its characters' offsets [start, end)."""

    text: str
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Mentions:
    """The pronoun of a sentence and two nouns it may stand for; empty where none was found.

    Attributes:
        pronoun: the pronoun's words.
        first: candidate A, the head of its noun phrase.
        second: candidate B.
    """

    pronoun: Words = ()
    first: Words = ()
    second: Words = ()


def words_of(tokens: Tokens) -> tuple[Word, ...]:
    """The words of tokenized text without special tokens, numbered as `engine.analysis.merge_words` has them."""
    groups = groupby((i for i in range(len(tokens)) if not tokens.special[i]), key=lambda i: tokens.words[i])
    spans = [[tokens.spans[i] for i in group] for _, group in groups]
    offsets = [(min(start for start, _ in span), max(end for _, end in span)) for span in spans]
    return tuple(Word(tokens.text[start:end], start, end) for start, end in offsets)


def span_of(words: Sequence[Word], chosen: Words) -> tuple[int, int]:
    """Character offsets [start, end) from the first chosen word to the last; (0, 0) if none is chosen."""
    return (words[chosen[0]].start, words[chosen[-1]].end) if chosen else (0, 0)


def words_at(words: Sequence[Word], start: int, end: int) -> Words:
    """The words that share a character with [start, end): the inverse of `span_of` for neighbouring words."""
    return tuple(i for i, word in enumerate(words) if word.start < end and word.end > start)


def find_mentions(words: Sequence[str]) -> Mentions:
    """The pronoun of a text and the two nouns it most likely stands for.

    The pronoun is the one with most candidates; among equals a subject comes before a relative pronoun, and this before
    an object and a possessive. The candidates stand before it, in its sentence or the nearest earlier ones; where it
    opens the sentence ("Because it was too tired, the dog ..."), behind it.

    Args:
        words: the words of an English text, punctuation as words of its own.
    """
    nouns, starts = find_nouns(words), sentence_starts(words)
    pronouns = [(rank, i) for rank, group in enumerate(PRONOUNS) for i, w in enumerate(words) if stem(w) in group]
    choices = [((-len(found), behind, rank, i), found)
               for rank, i in pronouns
               for behind, candidates in enumerate((_before, _after))
               for found in [candidates(words, nouns, starts, i)]]  # fmt: skip
    if not choices:
        return Mentions()
    (*_, pronoun), found = min(choices, key=lambda choice: choice[0])
    return Mentions((pronoun,), *(noun.words for noun in found))


def find_pair_mentions(first: Sequence[str], second: Sequence[str]) -> tuple[Mentions, Mentions]:
    """Mentions of two sentences that differ a little, with the same candidates A and B in both.

    Where the two guesses disagree, the fuller one (the first's, if they are equal) is carried over to the other
    sentence: to the equal words aligned with it, to the only equal ones, or to what replaces it. What has no
    counterpart there is left empty.
    """
    one, two = find_mentions(first), find_mentions(second)
    forth, back = _carried(one, two, first, second), _carried(two, one, second, first)
    lost, lost_back = _found(one) - _found(forth), _found(two) - _found(back)
    if (_found(two), -lost_back) > (_found(one), -lost):
        return back, two
    return one, forth


def differing(first: Sequence[str], second: Sequence[str]) -> tuple[Words, Words]:
    """The words of each sentence that have no equal partner in the other; the capital at its start does not count."""
    same = [(i, j) for tag, i, j in _partners(first, second) if tag == "equal"]
    ours, theirs = {i for i, _ in same}, {j for _, j in same}
    return (tuple(i for i in range(len(first)) if i not in ours),
            tuple(j for j in range(len(second)) if j not in theirs))  # fmt: skip


def aligned(first: Sequence[str], second: Sequence[str]) -> tuple[tuple[int, int], ...]:
    """Positions that belong together, one to one and in reading order: equal words, and replaced words where as many
    replace them.
    """
    return tuple((i, j) for _, i, j in _partners(first, second))


def _partners(first: Sequence[str], second: Sequence[str]) -> list[tuple[str, int, int]]:
    inside = {words[i] for words in (first, second) for i in set(range(len(words))) - sentence_starts(words)}
    ours, theirs = (
        [w.lower() if i in sentence_starts(words) and w not in inside else w for i, w in enumerate(words)]
        for words in (first, second)
    )
    blocks = SequenceMatcher(None, ours, theirs, autojunk=False).get_opcodes()
    return [(tag, i, j) for tag, a, b, c, d in blocks if b - a == d - c
            for i, j in zip(range(a, b), range(c, d), strict=True)]  # fmt: skip


def _carried(mentions: Mentions, guess: Mentions, source: Sequence[str], target: Sequence[str]) -> Mentions:
    """The same mentions in another sentence; a pronoun without a counterpart ("who", "whom") becomes the one guessed
    there.
    """
    places, counts = dict(aligned(source, target)), Counter(word.lower() for word in target)

    def carry(words: Words) -> Words:
        texts = [source[i].lower() for i in words]
        there = tuple(places[i] for i in words if i in places)
        if [target[i].lower() for i in there] != texts and all(counts[text] == 1 for text in texts):
            return tuple(sorted(i for i, word in enumerate(target) if word.lower() in texts))
        return there if len(there) == len(words) else ()

    pronoun, first, second = carry(mentions.pronoun), carry(mentions.first), carry(mentions.second)
    if not all(stem(target[i]) in frozenset().union(*PRONOUNS) for i in pronoun):
        pronoun = ()
    first, second = (() if any(is_function(target[i]) for i in words) else words for words in (first, second))
    second = () if set(first) & set(second) else second
    return Mentions(pronoun or guess.pronoun, first, second)


def _found(mentions: Mentions) -> int:
    return sum(map(bool, (mentions.pronoun, mentions.first, mentions.second)))


def _before(words: Sequence[str], nouns: list[Noun], starts: set[int], pronoun: int) -> list[Noun]:
    """The candidates before a pronoun, likeliest two in reading order; from its sentence or the nearest earlier."""
    kind = stem(words[pronoun])
    for start in sorted((start for start in starts if start <= pronoun), reverse=True):
        window = _suitable([noun for noun in nouns if start <= noun.words[0] < pronoun], kind, words)
        if kind in RELATIVES:
            return window[-2:]
        if len(window) >= 2:
            break
    opener = max((i for i in range(start + 1, pronoun) if stem(words[i]) in OPENERS), default=pronoun)
    return _two(words, [noun for noun in window if noun.words[0] < opener], opener, window)


def _after(words: Sequence[str], nouns: list[Noun], starts: set[int], pronoun: int) -> list[Noun]:
    """The candidates after a pronoun whose sentence opens with a subordinate clause."""
    start = max(start for start in starts if start <= pronoun)
    end = min((start for start in starts if start > pronoun), default=len(words))
    if words[start].lower() not in OPENERS or stem(words[pronoun]) in RELATIVES:
        return []
    window = [noun for noun in nouns if pronoun < noun.words[0] < end]
    comma = next((i for i in range(pronoun, end) if words[i] == ","), pronoun)
    window = _suitable([noun for noun in window if noun.words[0] > comma] or window, stem(words[pronoun]), words)
    return _two(words, window, end, window)


def _two(words: Sequence[str], clause: list[Noun], end: int, window: list[Noun]) -> list[Noun]:
    """Subject and object of a clause: its first noun, and the first one after its last verb."""
    if len(clause) < 2:
        return window[:2]
    subject = clause[0]
    # What follows the second noun's own "that" or "who" says nothing of the clause.
    relatives = (i for i in range(clause[1].words[-1] + 1, end) if stem(words[i]) in RELATIVES or words[i] == "that")
    named = {i for noun in clause for i in noun.words}
    verbs = [i for i in range(subject.words[-1] + 1, next(relatives, end)) if is_verb(words[i]) and i not in named]
    behind = [[noun for noun in clause[1:] if noun.words[0] > verb] for verb in reversed(verbs)]
    return [subject, next((found[0] for found in behind if found), clause[1])]


def _suitable(nouns: list[Noun], pronoun: str, words: Sequence[str]) -> list[Noun]:
    """Distinct nouns without those that agree least with the pronoun, as long as two are left."""
    distinct = list({" ".join(words[i].lower() for i in noun.words): noun for noun in reversed(nouns)}.values())[::-1]
    rules = [lambda noun: words[noun.words[-1]].lower() not in FAINT]
    if pronoun in bag("they them their theirs"):
        rules = [lambda noun: noun.plural, *rules]
    elif pronoun in bag("it its"):
        rules = [lambda noun: not noun.plural, lambda noun: noun.kind == "thing", *rules]
    elif pronoun not in RELATIVES:
        other = "she" if pronoun in bag("he him his") else "he"
        rules = [lambda noun: noun.kind not in ("thing", other), lambda noun: not noun.plural, *rules]
    for rule in rules:
        kept = [noun for noun in distinct if rule(noun)]
        distinct = kept if len(kept) >= 2 else distinct
    return distinct
