"""Nouns of an English sentence that a pronoun may stand for, found by word lists and word order.

There is no parser: a noun phrase begins at a determiner and ends at a function word, a verb or punctuation, and what
is a verb is known from a closed list, from "-ed" and from the pronoun grammar.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from engine.training import lexicon

Words = tuple[int, ...]
"""Word indices from 0, in reading order; several words are one span ("New York")."""


@dataclass(frozen=True, slots=True)
class Noun:
    """A noun that a pronoun may stand for: its words, whether plural, and "person", "he", "she" or "thing"."""

    words: Words
    plural: bool
    kind: str


def bag(words: str) -> frozenset[str]:
    """The set of a text's words, separated by spaces."""
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
PRONOUNS = (
    bag("it he she they"),
    bag("who whom which"),
    bag("him them her"),
    bag("his hers their theirs its"),
)
RELATIVES = PRONOUNS[1]
_DETERMINERS = bag(
    "the a an this that these those my your his her its our their one two three four five six seven eight nine ten "
    "every each no some any many several both another all whose"
)
_STRICT = bag("that this these those her his one all both no")  # also pronouns: no verb begins their noun phrase
_PLURAL = bag("these those two three four five six seven eight nine ten many several both all")
_SINGULAR = bag("a an this that one every each another")
_AUXILIARIES = bag(
    "am is are was were be been being do does did have has had having can could will would shall should may might must "
    "cannot ought"
)
_DEGREES = bag("very too so most more less least much rather quite really almost just only still")
OPENERS = bag("because since although though while when if unless until after before as whereas once")
_PREPOSITIONS = bag("of in on at to from by with without for about over under into onto through near")
_FUNCTION = (
    _DETERMINERS | _AUXILIARIES | _DEGREES | OPENERS | _PREPOSITIONS | frozenset[str]().union(*PRONOUNS)
    | bag("i me mine you yours we us ours myself itself himself herself themselves what where why how whoever nobody "
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
    | bag("ate beat began bit blew broke bought brought built came caught chose cut dealt drank drew drove fed fell "
           "felt fled flew fly forgot fought found froze gave got get grew heard held hold hid hurt kept knew led left "
           "lent lost made meant met paid ran rang read rose said sang sank sat saw seen sent shone shot slept sold "
           "spent spoke spoken stole stood stuck stung struck swam taken taught thought threw told took understood "
           "went woke won wore wrote running sitting putting getting stopped dropped dragged fitted hugged planned")
    | {form for verbs in (lexicon.CROSSING, lexicon.DRIVING, lexicon.EATING, lexicon.REFUSING, lexicon.LIFTING,
                          lexicon.DROPPING, lexicon.CHASING)
       for verb in verbs for form in (verb.base, verb.base + "s", verb.past, verb.participle, verb.gerund)}
)  # fmt: skip
_ADJECTIVES = bag(
    "old new young good bad great little small big large long short tall high low wide narrow deep heavy light fast "
    "slow hot cold warm cool wet dry clean dirty red green blue black white yellow brown grey gray pink rich poor "
    "happy sad angry sick ill strong weak hard soft full empty ripe fresh free busy quiet loud brave clever stupid "
    "beautiful ugly nice kind own other same first last whole right wrong wild tiny huge enormous dangerous expensive "
    "cheap modern ancient wooden lovely friendly lonely early lazy hungry thirsty"
) | {word.english for name, pool in vars(lexicon).items() if name.endswith("_ADJECTIVES") for word in pool}
_KNOWN = {noun.english for noun in lexicon.NOUNS}
_WOMEN = bag("woman girl mother sister daughter aunt queen wife lady waitress actress grandmother niece princess")
_MEN = bag("man boy father brother son uncle king husband gentleman waiter grandfather nephew prince")
_PEOPLE = bag("child baby friend teacher doctor nurse student pupil lawyer driver worker neighbour neighbor person "
               "customer manager boss president minister farmer soldier player writer author officer guest "
               "people")  # fmt: skip
_IRREGULAR = {"men": "man", "women": "woman", "children": "child", "mice": "mouse", "geese": "goose", "feet": "foot",
              "teeth": "tooth", "wolves": "wolf", "people": "person", "knives": "knife"}  # fmt: skip
# Heads of set phrases and of times ("in front of", "out of the question"): candidates only where others are missing.
FAINT = bag("front question way lot time day week month year morning evening night end middle top bottom side rest "
              "part room space place problem monday tuesday wednesday thursday friday saturday sunday")  # fmt: skip
_STOP = re.compile(r"[^\w]*[.!?。！？][^\w]*")
_TITLES = bag("mr mrs ms dr st")  # their full stop ends no sentence


def stem(word: str) -> str:
    """Lower case, without what an apostrophe adds: "It's" is "it", "didn't" stays."""
    word = word.lower()
    return word if word.endswith("n't") else word.partition("'")[0]


def sentence_starts(words: Sequence[str]) -> set[int]:
    """Where sentences begin."""
    ends = [i for i, w in enumerate(words) if _STOP.fullmatch(w) and not (i and words[i - 1].lower() in _TITLES)]
    return {0, *(i + 1 for i in ends)}


def is_verb(word: str) -> bool:
    """Whether a word is most likely a verb, or an auxiliary."""
    word = stem(word)
    return word in _AUXILIARIES or word in _VERBS or word.endswith("n't") or (word.endswith("ed") and len(word) > 4)


def is_function(word: str) -> bool:
    """Whether a word is a function word, punctuation included."""
    return not any(map(str.isalpha, stem(word))) or stem(word) in _FUNCTION or word.lower().endswith("n't")


def _is_adjective(word: str) -> bool:
    word = word.lower()
    return word in _ADJECTIVES or (word.endswith(("ed", "ing", "ly")) and len(word) > 4 and word not in _KNOWN)


def _is_possessive(word: str) -> bool:
    return word.lower().endswith(("'s", "s'")) and stem(word) not in _FUNCTION


def _lemma(word: str) -> str:
    word = word.lower()
    if word in _IRREGULAR:
        return _IRREGULAR[word]
    known = _KNOWN | _WOMEN | _MEN | _PEOPLE
    return next((form for form in (word, word[:-1], word[:-2]) if form in known), word) if word.endswith("s") else word


def find_nouns(words: Sequence[str]) -> list[Noun]:
    """Every noun that stands for something: heads of noun phrases, names, and known or plural nouns by themselves."""
    nouns, starts, i = [], sentence_starts(words), 0
    while i < len(words):
        opens = words[i].lower() in _DETERMINERS or _is_possessive(words[i])
        head, end = _head(words, i) if opens else _bare(words, i, starts)
        if head:
            nouns.append(_noun(words, head, words[i].lower(), name=end > i and head[0] == i and words[i][0].isupper()))
        i = max(end, i + 1)
    return nouns


def _noun(words: Sequence[str], head: Words, determiner: str, *, name: bool) -> Noun:
    text = words[head[-1]].lower()
    lemma = _lemma(text)
    plural = determiner in _PLURAL or lemma != text or (text.endswith("s") and not text.endswith(("ss", "us", "is")))
    kind = "he" if lemma in _MEN else "she" if lemma in _WOMEN else "person" if lemma in _PEOPLE else "thing"
    if name and lemma not in _KNOWN and kind == "thing":
        return Noun(head, False, "person")
    return Noun(head, plural and determiner not in _SINGULAR, kind)


def _head(words: Sequence[str], determiner: int) -> tuple[Words, int]:
    """The head of the noun phrase that a determiner opens, and where the phrase ends."""
    head, certain, strict = -1, False, words[determiner].lower() in _STRICT
    for j in range(determiner + 1, len(words)):
        word = words[j]
        goes_on = j + 1 < len(words) and not is_function(words[j + 1])
        if _is_possessive(word):
            head, certain = -1, False  # "the teacher's" is a determiner itself
        elif not certain and (word.lower() in _DEGREES or (word == "," and head >= 0 and goes_on)):
            continue
        elif is_function(word) or (certain and (_is_adjective(word) or is_verb(word))):
            return ((head,) if head >= 0 else (), j)
        elif strict and head < 0 and is_verb(word) and not _is_adjective(word):
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
    if is_function(word):
        return (), i
    before_verb = i + 1 < len(words) and (is_verb(words[i + 1]) or words[i + 1].lower() in ("and", "or"))
    before_name = i + 1 < len(words) and words[i + 1][:1].isupper() and not is_function(words[i + 1])
    adverb = word.endswith(("ing", "ly"))
    opens = (before_name and not adverb) or (before_verb and not _is_adjective(word))
    if word[:1].isupper() and (i not in starts or opens):
        end = i + 1
        while end < len(words) and words[end][:1].isupper() and not is_function(words[end]):
            end += 1
        return tuple(range(i, end)), end
    previous = stem(words[i - 1]) if i not in starts else ""
    if is_verb(word) and (previous in _FUNCTION or previous.endswith("n't")):
        return (), i
    if not _is_adjective(word) and (previous in _VERBS or previous in _PREPOSITIONS):
        end = next((j for j in range(i, len(words)) if is_function(words[j]) or is_verb(words[j])), len(words))
        return (tuple(range(i, end)), end) if end - i in (1, 2) else ((), i)  # "ate ice cream", "drinks milk"
    known = _lemma(word) in _KNOWN or _lemma(word) in _MEN | _WOMEN | _PEOPLE
    plural = word.endswith("s") and len(word) > 3 and not word.endswith(("ss", "us", "is"))
    free = not is_verb(word) and (i not in starts or before_verb)
    return ((i,), i + 1) if known or (plural and free) else ((), i)
