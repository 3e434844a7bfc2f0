"""The pronoun grammar: English to French sentence pairs in which "it" must be resolved.

French marks gender, so a translation of "it" shows which noun the model took it for. Three things make *binding* pay:
each adjective's noun comes first in about half of its sentences, distractors of the same class stand in the way, and
sentences with several pronouns need each one resolved by itself.

The words are in `lexicon`. A scene (`scenes`) is told as clauses (`clauses`) in one of several shapes (`shapes`); some
sentences need no scene (`local_clauses`). The templates become text in `sentences` and `french`, and `folds` says which
pairs of nouns training may show. Here are the endless training stream, the two sets that score it, and the guessers to
beat.
"""

from __future__ import annotations

import random
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import cache
from itertools import islice
from typing import Literal

from engine.training import lexicon
from engine.training.folds import LECTURE, LECTURE_NOUNS, Fold, folds, pair_fold, resembles_lecture
from engine.training.french import french_pronoun
from engine.training.local_clauses import draw_local
from engine.training.scenes import draw_scene
from engine.training.sentences import Draft, Mention, PronounExample, render
from engine.training.shapes import draw_scored, draw_trained

__all__ = ["LECTURE", "Mention", "PronounExample", "baselines", "set_a", "set_b", "training_examples"]

_LOCAL_SHARE = 0.18
_FIXED = frozenset(lexicon.LAND + lexicon.WATER + lexicon.BUILDINGS)


def training_examples(seed: int) -> Iterator[PronounExample]:
    """Yield training examples without end; the same seed gives the same stream.

    Args:
        seed: Seed of the stream.
    """
    rng = random.Random(f"pronouns {seed}")
    while True:
        draft = draw_local(rng) if rng.random() < _LOCAL_SHARE else draw_trained(rng, draw_scene(rng))
        if folds(draft.roles.values()) == {"train"} and not resembles_lecture(draft):
            yield render(draft, _determiners(rng, draft))


def _determiners(rng: random.Random, draft: Draft) -> dict[str, str]:
    """Draw a determiner for each noun, mostly "the"; only "this" goes with a place."""
    chosen = {}
    for role, noun in draft.roles.items():
        chosen[role] = "the" if rng.random() < 0.88 else "this" if noun in _FIXED else rng.choice(("this", "my", "our"))
    return chosen


def set_a(half: Literal["valid", "test"], count: int = 1200) -> tuple[PronounExample, ...]:
    """Return the held-out bar: opposite-gender noun pairs that no training sentence shows together.

    Args:
        half: Which half; the two share no held-out noun pair.
        count: How many distinct sentences.
    """
    rng = random.Random(f"set a {half}")
    return _balanced(rng, _scored_drafts(rng, half, reserved=False), count)


def set_b(count: int = 500) -> tuple[PronounExample, ...]:
    """Return sentences whose adjectives the training stream never uses.

    Args:
        count: How many distinct sentences.
    """
    rng = random.Random("set b")
    return _balanced(rng, _scored_drafts(rng, "train", reserved=True), count)


def _scored_drafts(rng: random.Random, fold: Fold, *, reserved: bool) -> Iterator[Draft]:
    """Yield drafts whose main nouns differ in gender, form a pair of `fold` and are not the lecture's."""
    while True:
        scene = draw_scene(rng, reserved=reserved, opposite=1.0)
        if pair_fold(scene.nouns["x"], scene.nouns["y"]) != fold:
            continue
        draft = draw_scored(rng, scene)
        if not draft.names & LECTURE_NOUNS and folds(draft.roles.values()) <= {fold, "train"}:
            yield draft


def _balanced(rng: random.Random, drafts: Iterator[Draft], count: int) -> tuple[PronounExample, ...]:
    """Collect distinct sentences in which the first noun is the answer half of the time, and il half of the time."""
    quota = {(first, pronoun): count // 4 for first in (True, False) for pronoun in ("il", "elle")}
    quota[True, "il"] += count - sum(quota.values())
    chosen: dict[str, PronounExample] = {}
    while len(chosen) < count:
        example = render(next(drafts))
        kind = (example.answer == 0, example.french_pronoun)
        if quota[kind] and example.english not in chosen:
            quota[kind] -= 1
            chosen[example.english] = example
    examples = list(chosen.values())
    rng.shuffle(examples)
    return tuple(examples)


def baselines(examples: Iterable[PronounExample]) -> dict[str, float]:
    """Return the accuracy at il or elle of three guessers that resolve nothing.

    Args:
        examples: The examples to score.

    Returns:
        "majority" always says the more frequent pronoun, "always_subject" takes the first noun, and "adjective_only"
        says the pronoun that the adjective had most often in 20,000 training examples.
    """
    examples = tuple(examples)
    trained = _trained_pronouns()
    usual = _most_common(sum(trained.values(), Counter()))
    frequent = _most_common(Counter(example.french_pronoun for example in examples))
    pronouns = {noun.english: french_pronoun(noun) for noun in lexicon.NOUNS}

    def by_adjective(example: PronounExample) -> str:
        return _most_common(trained[example.adjective]) if example.adjective in trained else usual

    def accuracy(guess: Callable[[PronounExample], str]) -> float:
        return sum(guess(example) == example.french_pronoun for example in examples) / len(examples)

    return {
        "majority": accuracy(lambda example: frequent),
        "always_subject": accuracy(lambda example: pronouns[example.nouns[0]]),
        "adjective_only": accuracy(by_adjective),
    }


@cache
def _trained_pronouns() -> Mapping[str, Counter[str]]:
    """Return how often each adjective went with il and with elle in 20,000 training examples."""
    counts: defaultdict[str, Counter[str]] = defaultdict(Counter)
    for example in islice(training_examples(0), 20_000):
        counts[example.adjective][example.french_pronoun] += 1
    return dict(counts)


def _most_common(counts: Counter[str]) -> str:
    return counts.most_common(1)[0][0]
