"""The pronoun of an English sentence and the two nouns it may stand for, found by word lists and word order.

A first guess for a reader to correct. There is no parser: a noun phrase begins at a determiner and ends at a function
word, a verb or punctuation, and what is a verb is known from a closed list, from "-ed" and from the pronoun grammar.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher
from itertools import groupby

from engine.training import lexicon
from engine.types import Tokens

Words = tuple[int, ...]  # word indices from 0, in reading order; several words are one span ("New York")


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


@dataclass(frozen=True, slots=True)
class _Noun:
    """A noun that a pronoun may stand for: its words, whether plural, and "person", "he", "she" or "thing"."""

    words: Words
    plural: bool
    kind: str


def _set(words: str) -> frozenset[str]:
    return frozenset(words.split())


def _inflected(verbs: str) -> frozenset[str]:
    """The verbs themselves, their form in -s, and the regular past and gerund."""
    forms = set()
    for verb in verbs.split():
        short = verb.removesuffix("e")
        third = verb + "es" if verb.endswith(("s", "sh", "ch", "x", "o")) else verb + "s"
        forms |= {verb, third, short + "ed", short + "ing"}
        if verb.endswith("y") and verb[-2] not in "aeou":
            forms |= {verb[:-1] + "ies", verb[:-1] + "ied"}
    return frozenset(forms)


# In the order of preference: subjects, relatives, objects, possessives.
_PRONOUNS = (_set("it he she they"), _set("who whom which"), _set("him them her"), _set("his hers their theirs its"))
_RELATIVES = _PRONOUNS[1]
_DETERMINERS = _set(
    "the a an this that these those my your his her its our their one two three four five six seven eight nine ten "
    "every each no some any many several both another all whose"
)
_STRICT = _set("that this these those her his one all both no")  # also pronouns: no verb begins their noun phrase
_PLURAL = _set("these those two three four five six seven eight nine ten many several both all")
_SINGULAR = _set("a an this that one every each another")
_AUXILIARIES = _set(
    "am is are was were be been being do does did have has had having can could will would shall should may might must "
    "cannot ought"
)
_DEGREES = _set("very too so most more less least much rather quite really almost just only still")
_OPENERS = _set("because since although though while when if unless until after before as whereas once")
_PREPOSITIONS = _set("of in on at to from by with without for about over under into onto through near")
_FUNCTION = (
    _DETERMINERS | _AUXILIARIES | _DEGREES | _OPENERS | _PREPOSITIONS | frozenset[str]().union(*_PRONOUNS)
    | _set("i me mine you yours we us ours myself itself himself herself themselves what where why how whoever nobody "
           "somebody everybody anybody nothing something everything anything someone everyone anyone none there here "
           "and or but nor yet than then even not never always often also again soon now today yesterday tomorrow ever "
           "above below between among "
           "during behind beside besides across along around against toward towards off out up down away back "
           "inside outside within upon next like except per via "
           "mr mrs ms dr st let later maybe perhaps however therefore instead together already enough such few "
           "yes oh well please")
)  # fmt: skip
_VERBS = (
    _inflected(
        "accept add admire agree allow answer appear apply arrive ask attack avoid bark bathe believe belong blame "
        "boil borrow break brush burn call care carry change chase check clean climb close collapse collect come "
        "complain contain continue cook cover cross crush cry damage dance decide demand deserve destroy die "
        "disappear discover drag drop eat enjoy enter escape examine expect explain explore fail fill find finish fit "
        "fix follow forget give go greet grow happen hate hear help hesitate hide hire hit hope hug hunt hurry hurt "
        "ignore impress include injure insist introduce invite join jump keep kick kill kiss know laugh lead learn "
        "leave lend let lift listen live lock look lose love make manage marry meet miss move need notice obey offer "
        "open overtake pass pay persuade phone pick praise prefer prepare promise protect prove pull push put reach "
        "read realise receive recognise refuse regret release remain remember remove repair replace reply rescue "
        "respect rest return roll run save say search see seem sell send serve shout show sing sit sleep smell smile "
        "speak spend stand start stay steal stop study suggest suit surprise survive swallow swim take talk taste "
        "teach tell thank think throw touch travel trust try turn understand use visit wait walk want warn wash watch "
        "wear win wish work worry write"
    )
    | _set("ate beat began bit blew broke bought brought built came caught chose cut dealt drank drew drove fed fell "
           "felt fled flew fly forgot fought found froze gave got get grew heard held hold hid hurt kept knew led left "
           "lent lost made meant met paid ran rang read rose said sang sank sat saw seen sent shone shot slept sold "
           "spent spoke spoken stole stood stuck stung struck swam taken taught thought threw told took understood "
           "went woke won wore wrote running sitting putting getting stopped dropped dragged fitted hugged planned")
    | {form for verbs in (lexicon.CROSSING, lexicon.DRIVING, lexicon.EATING, lexicon.REFUSING, lexicon.LIFTING,
                          lexicon.DROPPING, lexicon.CHASING)
       for verb in verbs for form in (verb.base, verb.base + "s", verb.past, verb.participle, verb.gerund)}
)  # fmt: skip
_ADJECTIVES = _set(
    "old new young good bad great little small big large long short tall high low wide narrow deep heavy light fast "
    "slow hot cold warm cool wet dry clean dirty red green blue black white yellow brown grey gray pink rich poor "
    "happy sad angry sick ill strong weak hard soft full empty ripe fresh free busy quiet loud brave clever stupid "
    "beautiful ugly nice kind own other same first last whole right wrong wild tiny huge enormous dangerous expensive "
    "cheap modern ancient wooden lovely friendly lonely early lazy hungry thirsty"
) | {word.english for name, pool in vars(lexicon).items() if name.endswith("_ADJECTIVES") for word in pool}
_KNOWN = {noun.english for noun in lexicon.NOUNS}
_WOMEN = _set("woman girl mother sister daughter aunt queen wife lady waitress actress grandmother niece princess")
_MEN = _set("man boy father brother son uncle king husband gentleman waiter grandfather nephew prince")
_PEOPLE = _set("child baby friend teacher doctor nurse student pupil lawyer driver worker neighbour neighbor person "
               "customer manager boss president minister farmer soldier player writer author officer guest "
               "people")  # fmt: skip
_IRREGULAR = {"men": "man", "women": "woman", "children": "child", "mice": "mouse", "geese": "goose", "feet": "foot",
              "teeth": "tooth", "wolves": "wolf", "people": "person", "knives": "knife"}  # fmt: skip
# Heads of set phrases and of times ("in front of", "out of the question"): candidates only where others are missing.
_FAINT = _set("front question way lot time day week month year morning evening night end middle top bottom side rest "
              "part room space place problem monday tuesday wednesday thursday friday saturday sunday")  # fmt: skip
_STOP = re.compile(r"[^\w]*[.!?。！？][^\w]*")
_TITLES = _set("mr mrs ms dr st")  # their full stop ends no sentence


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
    nouns, starts = _nouns(words), _starts(words)
    pronouns = [(rank, i) for rank, group in enumerate(_PRONOUNS) for i, w in enumerate(words) if _stem(w) in group]
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
    inside = {words[i] for words in (first, second) for i in set(range(len(words))) - _starts(words)}
    ours, theirs = (
        [w.lower() if i in _starts(words) and w not in inside else w for i, w in enumerate(words)]
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
    if not all(_stem(target[i]) in frozenset().union(*_PRONOUNS) for i in pronoun):
        pronoun = ()
    first, second = (() if any(_is_function(target[i]) for i in words) else words for words in (first, second))
    second = () if set(first) & set(second) else second
    return Mentions(pronoun or guess.pronoun, first, second)


def _found(mentions: Mentions) -> int:
    return sum(map(bool, (mentions.pronoun, mentions.first, mentions.second)))


def _stem(word: str) -> str:
    """Lower case, without what an apostrophe adds: "It's" is "it", "didn't" stays."""
    word = word.lower()
    return word if word.endswith("n't") else word.partition("'")[0]


def _starts(words: Sequence[str]) -> set[int]:
    """Where sentences begin."""
    ends = [i for i, w in enumerate(words) if _STOP.fullmatch(w) and not (i and words[i - 1].lower() in _TITLES)]
    return {0, *(i + 1 for i in ends)}


def _is_verb(word: str) -> bool:
    word = _stem(word)
    return word in _AUXILIARIES or word in _VERBS or word.endswith("n't") or (word.endswith("ed") and len(word) > 4)


def _is_function(word: str) -> bool:
    return not any(map(str.isalpha, _stem(word))) or _stem(word) in _FUNCTION or word.lower().endswith("n't")


def _is_adjective(word: str) -> bool:
    word = word.lower()
    return word in _ADJECTIVES or (word.endswith(("ed", "ing", "ly")) and len(word) > 4 and word not in _KNOWN)


def _is_possessive(word: str) -> bool:
    return word.lower().endswith(("'s", "s'")) and _stem(word) not in _FUNCTION


def _lemma(word: str) -> str:
    word = word.lower()
    if word in _IRREGULAR:
        return _IRREGULAR[word]
    known = _KNOWN | _WOMEN | _MEN | _PEOPLE
    return next((form for form in (word, word[:-1], word[:-2]) if form in known), word) if word.endswith("s") else word


def _nouns(words: Sequence[str]) -> list[_Noun]:
    """Every noun that stands for something: heads of noun phrases, names, and known or plural nouns by themselves."""
    nouns, starts, i = [], _starts(words), 0
    while i < len(words):
        opens = words[i].lower() in _DETERMINERS or _is_possessive(words[i])
        head, end = _head(words, i) if opens else _bare(words, i, starts)
        if head:
            nouns.append(_noun(words, head, words[i].lower(), name=end > i and head[0] == i and words[i][0].isupper()))
        i = max(end, i + 1)
    return nouns


def _noun(words: Sequence[str], head: Words, determiner: str, *, name: bool) -> _Noun:
    text = words[head[-1]].lower()
    lemma = _lemma(text)
    plural = determiner in _PLURAL or lemma != text or (text.endswith("s") and not text.endswith(("ss", "us", "is")))
    kind = "he" if lemma in _MEN else "she" if lemma in _WOMEN else "person" if lemma in _PEOPLE else "thing"
    if name and lemma not in _KNOWN and kind == "thing":
        return _Noun(head, False, "person")
    return _Noun(head, plural and determiner not in _SINGULAR, kind)


def _head(words: Sequence[str], determiner: int) -> tuple[Words, int]:
    """The head of the noun phrase that a determiner opens, and where the phrase ends."""
    head, certain, strict = -1, False, words[determiner].lower() in _STRICT
    for j in range(determiner + 1, len(words)):
        word = words[j]
        goes_on = j + 1 < len(words) and not _is_function(words[j + 1])
        if _is_possessive(word):
            head, certain = -1, False  # "the teacher's" is a determiner itself
        elif not certain and (word.lower() in _DEGREES or (word == "," and head >= 0 and goes_on)):
            continue
        elif _is_function(word) or (certain and (_is_adjective(word) or _is_verb(word))):
            return ((head,) if head >= 0 else (), j)
        elif strict and head < 0 and _is_verb(word) and not _is_adjective(word):
            return (), j
        elif not certain and _is_adjective(word):
            if not goes_on and head >= 0:
                return (head,), j
            if not goes_on and strict:
                return (), j
            head = j
        elif certain and word.endswith("s") and j + 1 < len(words) and words[j + 1].lower() in _DETERMINERS:
            return (head,), j  # an unknown verb: "the robot zaps the cat"
        else:
            head, certain = j, True
    return ((head,) if head >= 0 else (), len(words))


def _bare(words: Sequence[str], i: int, starts: set[int]) -> tuple[Words, int]:
    """A noun without a determiner at `i`: a name of one or more words, or a known or plural noun."""
    word = words[i]
    if _is_function(word):
        return (), i
    before_verb = i + 1 < len(words) and (_is_verb(words[i + 1]) or words[i + 1].lower() in ("and", "or"))
    before_name = i + 1 < len(words) and words[i + 1][:1].isupper() and not _is_function(words[i + 1])
    adverb = word.endswith(("ing", "ly"))
    opens = (before_name and not adverb) or (before_verb and not _is_adjective(word))
    if word[:1].isupper() and (i not in starts or opens):
        end = i + 1
        while end < len(words) and words[end][:1].isupper() and not _is_function(words[end]):
            end += 1
        return tuple(range(i, end)), end
    previous = _stem(words[i - 1]) if i not in starts else ""
    if _is_verb(word) and (previous in _FUNCTION or previous.endswith("n't")):
        return (), i
    if not _is_adjective(word) and (previous in _VERBS or previous in _PREPOSITIONS):
        end = next((j for j in range(i, len(words)) if _is_function(words[j]) or _is_verb(words[j])), len(words))
        return (tuple(range(i, end)), end) if end - i in (1, 2) else ((), i)  # "ate ice cream", "drinks milk"
    known = _lemma(word) in _KNOWN or _lemma(word) in _MEN | _WOMEN | _PEOPLE
    plural = word.endswith("s") and len(word) > 3 and not word.endswith(("ss", "us", "is"))
    free = not _is_verb(word) and (i not in starts or before_verb)
    return ((i,), i + 1) if known or (plural and free) else ((), i)


def _before(words: Sequence[str], nouns: list[_Noun], starts: set[int], pronoun: int) -> list[_Noun]:
    """The candidates before a pronoun, likeliest two in reading order; from its sentence or the nearest earlier."""
    kind = _stem(words[pronoun])
    for start in sorted((start for start in starts if start <= pronoun), reverse=True):
        window = _suitable([noun for noun in nouns if start <= noun.words[0] < pronoun], kind, words)
        if kind in _RELATIVES:
            return window[-2:]
        if len(window) >= 2:
            break
    opener = max((i for i in range(start + 1, pronoun) if _stem(words[i]) in _OPENERS), default=pronoun)
    return _two(words, [noun for noun in window if noun.words[0] < opener], opener, window)


def _after(words: Sequence[str], nouns: list[_Noun], starts: set[int], pronoun: int) -> list[_Noun]:
    """The candidates after a pronoun whose sentence opens with a subordinate clause."""
    start = max(start for start in starts if start <= pronoun)
    end = min((start for start in starts if start > pronoun), default=len(words))
    if words[start].lower() not in _OPENERS or _stem(words[pronoun]) in _RELATIVES:
        return []
    window = [noun for noun in nouns if pronoun < noun.words[0] < end]
    comma = next((i for i in range(pronoun, end) if words[i] == ","), pronoun)
    window = _suitable([noun for noun in window if noun.words[0] > comma] or window, _stem(words[pronoun]), words)
    return _two(words, window, end, window)


def _two(words: Sequence[str], clause: list[_Noun], end: int, window: list[_Noun]) -> list[_Noun]:
    """Subject and object of a clause: its first noun, and the first one after its last verb."""
    if len(clause) < 2:
        return window[:2]
    subject = clause[0]
    # What follows the second noun's own "that" or "who" says nothing of the clause.
    relatives = (i for i in range(clause[1].words[-1] + 1, end) if _stem(words[i]) in _RELATIVES or words[i] == "that")
    named = {i for noun in clause for i in noun.words}
    verbs = [i for i in range(subject.words[-1] + 1, next(relatives, end)) if _is_verb(words[i]) and i not in named]
    behind = [[noun for noun in clause[1:] if noun.words[0] > verb] for verb in reversed(verbs)]
    return [subject, next((found[0] for found in behind if found), clause[1])]


def _suitable(nouns: list[_Noun], pronoun: str, words: Sequence[str]) -> list[_Noun]:
    """Distinct nouns without those that agree least with the pronoun, as long as two are left."""
    distinct = list({" ".join(words[i].lower() for i in noun.words): noun for noun in reversed(nouns)}.values())[::-1]
    rules = [lambda noun: words[noun.words[-1]].lower() not in _FAINT]
    if pronoun in _set("they them their theirs"):
        rules = [lambda noun: noun.plural, *rules]
    elif pronoun in _set("it its"):
        rules = [lambda noun: not noun.plural, lambda noun: noun.kind == "thing", *rules]
    elif pronoun not in _RELATIVES:
        other = "she" if pronoun in _set("he him his") else "he"
        rules = [lambda noun: noun.kind not in ("thing", other), lambda noun: not noun.plural, *rules]
    for rule in rules:
        kept = [noun for noun in distinct if rule(noun)]
        distinct = kept if len(kept) >= 2 else distinct
    return distinct
