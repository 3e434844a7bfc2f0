"""Sentences that need no adjective to be resolved: "it" is the subject of its own clause."""

from __future__ import annotations

import random
from collections.abc import Mapping

from engine.training import lexicon
from engine.training.clauses import Templates, join, relative, with_subject
from engine.training.lexicon import Noun
from engine.training.sentences import Draft

# A state and what came of it: English and French state, English and French result.
_STATES = (
    ("was tired", "était fatigué{e:x}", "slept", "a dormi"),
    ("was hungry", "avait faim", "ate", "a mangé"),
    ("was thirsty", "avait soif", "drank", "a bu"),
    ("was scared", "avait peur", "hid", "se est caché{e:x}"),
    ("was cold", "avait froid", "came back inside", "est rentré{e:x}"),
    ("was hot", "avait chaud", "looked for some shade", "a cherché de l'ombre"),
    ("was sick", "était malade", "stayed inside", "est resté{e:x} à l'intérieur"),
    ("was bored", "se ennuyait", "left", "est parti{e:x}"),
    ("heard a noise", "a entendu un bruit", "ran away", "se est enfui{e:x}"),
    ("saw a light", "a vu une lumière", "came closer", "se est approché{e:x}"),
    ("was happy", "était content{e:x}", "jumped", "a sauté"),
    ("was late", "était en retard", "ran", "a couru"),
    ("was alone", "était seul{e:x}", "cried", "a pleuré"),
    ("was sad", "était triste", "did not move", "ne a pas bougé"),
    ("was lost", "était perdu{e:x}", "stopped", "se est arrêté{e:x}"),
)
_THING_STATES = (
    ("was damaged", "était endommagé{e:x}", "was repaired", "a été réparé{e:x}"),
    ("was dirty", "était sale", "was cleaned", "a été nettoyé{e:x}"),
    ("was old", "était vieux", "was replaced", "a été remplacé{e:x}"),
    ("was expensive", "était cher", "was not sold", "ne a pas été vendu{e:x}"),
    ("was useless", "était inutile", "was thrown away", "a été jeté{e:x}"),
    ("was beautiful", "était beau", "was photographed", "a été photographié{e:x}"),
    ("was new", "était neuf", "was admired", "a été admiré{e:x}"),
)
_FEMININES = {"vieux": "vieille", "cher": "chère", "beau": "belle", "neuf": "neuve"}
# In these tables, an entry that stands twice is drawn twice as often.
_CHAINS = (
    ("{x} <state>, so {it:x} <result>", "{x} <state>, alors {il:x} <result>"),
    ("{x} <state>, so {it:x} <result>", "{x} <state>, donc {il:x} <result>"),
    ("{x} <result> because {it:x} <state>", "{x} <result> parce que {il:x} <state>"),
    ("{x} <result> because {it:x} <state>", "{x} <result> parce que {il:x} <state>"),
)
_CLASSES = (
    (lexicon.LARGE_ANIMALS, _STATES),
    (lexicon.LARGE_ANIMALS, _STATES),
    (lexicon.ANIMALS, _STATES),
    (lexicon.ITEMS, _THING_STATES),
    (lexicon.VEHICLES, _THING_STATES),
)
_LINKS = ((", and ", ", et "), (", but ", ", mais "), (", while ", ", tandis que "), (". ", ". "))


def draw_local(rng: random.Random) -> Draft:
    """Draw a sentence that the nearest clause's own subject resolves."""
    return _local_relative(rng) if rng.random() < 0.3 else _local_clauses(rng)


def _local_clauses(rng: random.Random) -> Draft:
    """Return "The dog was tired, so it slept, and the cow was hungry, so it ate."."""
    pool, state_pool = rng.choice(_CLASSES)
    roles = "xyz" if rng.random() < 0.25 else "xy"
    states = rng.sample(state_pool, len(roles))
    nouns = dict(zip(roles, rng.sample(pool, len(roles)), strict=True))
    chain = rng.choice(_CHAINS)
    text, *others = [_clause(s, chain, role, noun) for s, (role, noun) in zip(states, nouns.items(), strict=True)]
    # Three clauses make a sentence of one and a sentence of two.
    links = ((". ", ". "),) * (len(others) - 1) + (rng.choice(_LINKS),)
    for link, clause in zip(links, others, strict=True):
        text = join(text, link, clause)
    return _draft(text, nouns, "local_clauses")


def _local_relative(rng: random.Random) -> Draft:
    """Return "The dog that followed the cow slept because it was tired."."""
    x, z = rng.sample(lexicon.LARGE_ANIMALS, 2)
    subject = relative(rng, animals=True)
    clause = _clause(rng.choice(_STATES), rng.choice(_CHAINS), "x", x)
    return _draft(with_subject(clause, subject), {"x": x, "z": z}, "local_relative")


def _draft(text: Templates, roles: Mapping[str, Noun], shape: str) -> Draft:
    return Draft(text[0] + ".", text[1] + ".", roles, "", shape)


def _clause(state: tuple[str, str, str, str], chain: Templates, role: str, noun: Noun) -> Templates:
    """Return "the dog was tired, so it slept" for the noun in `role`."""
    english_state, french_state, english_result, french_result = state
    if noun.gender == "f":
        *head, last = french_state.split(" ")
        french_state = " ".join((*head, _FEMININES.get(last, last)))
    english = chain[0].replace("<state>", english_state).replace("<result>", english_result)
    french = chain[1].replace("<state>", french_state).replace("<result>", french_result)
    return english.replace("x}", role + "}"), french.replace("x}", role + "}")
