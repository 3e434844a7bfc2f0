"""French around a noun: determiner, pronoun, elision and contraction."""

from __future__ import annotations

import re

from engine.training.lexicon import ASPIRATED_H, Noun

_VOWELS = "aeiouâàéèêëîïôœû"
# No h here: a noun never stands without its determiner, which french_noun_phrase has elided already.
_ELISION = re.compile(rf"\b(le|la|de|ne|se|que|puisque) (?=[{_VOWELS}])")
_SI = re.compile(r"\bsi il ")
_DETERMINERS = {"the": ("le", "la"), "our": ("notre", "notre"), "this": ("ce", "cette"), "my": ("mon", "ma")}
_BEFORE_VOWEL = {"le": "l'", "la": "l'", "ce": "cet", "ma": "mon"}


def french_noun_phrase(noun: Noun, determiner: str = "the") -> str:
    """Return determiner and noun, such as "le chien", "l'animal", "cet ours", "mon abeille".

    Args:
        noun: The noun.
        determiner: The English determiner: "the", "this", "my" or "our".
    """
    masculine, feminine = _DETERMINERS[determiner]
    form = masculine if noun.gender == "m" else feminine
    if noun.french[0] in _VOWELS + "h" and noun.french not in ASPIRATED_H:
        form = _BEFORE_VOWEL.get(form, form)
    return form + noun.french if form.endswith("'") else f"{form} {noun.french}"


def french_pronoun(noun: Noun) -> str:
    """Return the subject pronoun for `noun`, "il" or "elle"."""
    return "il" if noun.gender == "m" else "elle"


def elide(text: str) -> str:
    """Apply elision and contraction to lower-case French: "parce que il" becomes "parce qu'il"."""
    text = _ELISION.sub(lambda match: match[1][:-1] + "'", text)
    text = _SI.sub("s'il ", text)
    return text.replace(" de le ", " du ").replace(" à le ", " au ")
