"""Writes docs/coreference.md, the lecture's two sentences through every method: python docs/coreference.py.

Its pictures are taken by docs/screenshots.py.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1]))
import engine
from docs.coreference_scores import limits, over_many, own_pairs, table
from engine.cards import resolver_heads
from engine.catalogue import MODELS, ModelCard
from engine.coreference import Decision, Places, find_decision, margins, places, pronoun_span
from engine.experiments import (
    Outcome,
    align_pieces,
    all_heads,
    force_onto,
    outcome,
    patch_from,
    sweep_heads,
)
from engine.interventions import Head, KnockOut, Patch
from engine.mentions import find_pair_mentions, span_of, words_of
from engine.pairs import Pair, load_pairs
from engine.runner import Runner
from engine.types import Kind, Trace
from engine.verdict import Side, change_of, effects, ranked, signed, verdict

FILE = Path(__file__).parent / "coreference.md"
MODEL = "en-fr"
EXPLAINED = "en-fr@679e8add"  # the weights that the explanations between the numbers were written for
SHOWN = 5  # heads in a table
NUMBERS = ("first", "second")
BLOCK: tuple[Kind, int] = ("encoder", 1)  # the layer whose heads look at the noun


@dataclass(frozen=True, slots=True)
class Case:
    """The pair through the model.

    Attributes:
        runner: the model.
        pair: the sentences.
        traces: of both.
        where: pronoun and nouns in both.
        decision: il or elle, after which beginning.
        sides: what the verdict is made of.
    """

    runner: Runner
    pair: Pair
    traces: tuple[Trace, Trace]
    where: tuple[Places, Places]
    decision: Decision
    sides: tuple[Side, Side]

    def after(self, number: int, *changes: Any) -> Outcome:
        """What becomes of a sentence, from 0, with interventions."""
        return outcome(self.runner, self.pair.sentences[number], self.decision, changes)


def read_case(runner: Runner, pair: Pair) -> Case:
    """Everything that the Coreference page finds for a pair by itself."""
    first, second = (runner.trace(text) for text in pair.sentences)
    decision = find_decision(first, second)
    assert decision is not None
    words = [words_of(trace.source) for trace in (first, second)]
    found = find_pair_mentions(*([word.text for word in side] for side in words))
    where, sides = [], []
    for number, (trace, side, mentions) in enumerate(zip((first, second), words, found, strict=True)):
        pronoun, *nouns = (span_of(side, part) for part in (mentions.pronoun, mentions.first, mentions.second))
        where.append(places(trace, pronoun, (nouns[0], nouns[1]), pronoun_span(trace.translation)))
        here, there = pair.sentences[number], pair.sentences[1 - number]
        sides.append(
            Side(
                outcome(runner, here, decision),
                margins(trace, where[number]),
                sweep_heads(runner, here, decision, "zero"),
                sweep_heads(runner, here, decision, "other", there),
            )
        )
    return Case(runner, pair, (first, second), (where[0], where[1]), decision, (sides[0], sides[1]))


def at(values: Mapping[Kind, np.ndarray], head: Head) -> float:
    """The value of one head."""
    return float(values[head.kind][head.layer, head.head])


def head_row(case: Case, head: Head) -> tuple[str, ...]:
    """A head's preference and what becomes of the log-odds without it, in both sentences."""
    return (
        head.name,
        *(signed(at(side.margins, head)) for side in case.sides),
        *(f"{signed(at(side.sweep.off, head))} ({signed(at(side.sweep.change, head))})" for side in case.sides),
    )


HEAD_COLUMNS = (
    "head",
    "preference, first",
    "preference, second",
    "log-odds without it, first (change)",
    "log-odds without it, second (change)",
)


def opening(card: ModelCard, case: Case) -> Iterator[str]:
    """Title, and what was run."""
    looks, matters = ranked(change_of(case.sides))[0][0], effects(case.sides)[0][0]
    best = resolver_heads(card) or ()
    assert best and all(head[:2] == BLOCK for head in best), "the text says so"
    yield "<!-- Written by `python docs/coreference.py`: change that file, not this one. -->"
    yield ""
    yield "# Which head knows what “it” refers to?"
    yield ""
    yield (
        f"Weights `{card.identity}`. `python docs/coreference.py` computed every number here but those under *Over "
        f"many sentences*, which are the scores of the [model's card](models/{card.name}.md). The Coreference page "
        "opens with the same two sentences and shows all of this, for sentences of yours too; the "
        "[guide](guide.md#the-coreference-page) says what each quantity is."
    )
    yield ""
    yield (
        f"**In short.** All heads of {looks.kind} layer {looks.layer + 1} look from “it” at the right noun, with "
        f"nearly all of their attention; the best of them do in {best[0][3]:.1%} of held-out sentences. The answer "
        "hardly depends on them: with the whole layer's heads off, the model says the same. What it does "
        f"depend on is {matters.name}, to which the pronoun's attention does not point, and a few cross heads. The "
        f"map of {looks.name} is true, and it is no explanation. Attention is a question to ask, not an answer."
    )
    yield ""


def the_sentences(case: Case) -> Iterator[str]:
    """Translations, probabilities, log-odds, and the verdict."""
    a, b = case.decision.words
    yield "## The two sentences"
    yield ""
    rows = [
        (
            text,
            side.outcome.translation,
            *(f"{share:.1%}" for share in side.outcome.probabilities),
            signed(side.outcome.log_odds),
        )
        for text, side in zip(case.pair.sentences, case.sides, strict=True)
    ]
    yield from table(("English", "the model's French", a, b, "log-odds"), rows)
    yield (
        f"Both outputs begin alike, “{case.decision.prefix}”, and then have to decide. The two probabilities are of "
        f"the next piece after this beginning; other pieces have the rest. The log-odds are log p({a}) − log p({b}), "
        f"in nats: above 0 the model prefers “{a}”, below 0 “{b}”, and ±2.3 is ten to one. In the pronoun grammar that "
        "the model practised with, “animal” and “street” never meet, no animal is tired and no street is wide."
    )
    yield ""
    yield "What the page says of the two, in plain words:"
    yield ""
    yield from (f"- {clause}" for clause in verdict(case.sides, case.decision, case.pair.candidates))
    yield ""
    yield (
        "![The Coreference page: the two sentences with pronoun and nouns marked, the verdict, and the preference of "
        "every head](images/coreference-1280-light.png)"
    )
    yield ""


def who_looks(case: Case) -> Iterator[str]:
    """The heads whose attention changes most, and that they are not needed."""
    a, b = case.pair.candidates
    kind, layer = BLOCK
    yield "## Which heads look at the noun"
    yield ""
    heads = [head for head, _ in ranked(change_of(case.sides))[:SHOWN]]
    assert {(head.kind, head.layer) for head in heads} == {BLOCK}, "the text says so"
    for side, sign in zip(case.sides, (1, -1), strict=True):
        assert (sign * side.margins[kind][layer] > 0.99).all(), "the text says so of all heads of the layer"
    yield f"The {SHOWN} of {len(effects(case.sides))} heads whose preference changes most from sentence to sentence:"
    yield ""
    yield from table(HEAD_COLUMNS, (head_row(case, head) for head in heads))
    yield (
        f"The preference is the attention that “it” gives to “{a}” minus what it gives to “{b}”: +1.00 is all of it on "
        f"“{a}”, −1.00 all on “{b}”. (Cross and decoder heads are read at the step that says il or elle.) These heads "
        f"could not be clearer, and all {SHOWN} are in {kind} layer {layer + 1}. The right half of the table is what "
        "happens when the head's output is replaced by zero: next to nothing."
    )
    yield ""
    off = KnockOut(all_heads(case.runner, kind, layer))
    changed = [case.after(number, off) for number in (0, 1)]
    assert all(one.translation == side.outcome.translation for one, side in zip(changed, case.sides, strict=True))
    moved = " and ".join(
        f"from {signed(side.outcome.log_odds)} to {signed(one.log_odds)}"
        for one, side in zip(changed, case.sides, strict=True)
    )
    yield (
        f"One head may be missed by nobody because its neighbours say the same. So here are all {len(off.heads)} heads "
        f"of {kind} layer {layer + 1} off at once: the log-odds go {moved}, and both translations stay as they are. "
        "What these heads see is seen elsewhere too, or is not what the answer is made from; their maps cannot say "
        "which."
    )
    yield ""


def who_matters(case: Case) -> Iterator[str]:
    """The heads whose loss moves the log-odds most."""
    yield "## Which heads matter"
    yield ""
    found = effects(case.sides)[:SHOWN]
    best = found[0][0]
    assert not any(off * side.sweep.base < 0 for side in case.sides for _, off in ranked(side.sweep.off)), (
        "no loss turns"
    )
    yield f"The {SHOWN} heads without which the log-odds change most, by the mean size over both sentences:"
    yield ""
    yield from table(HEAD_COLUMNS, (head_row(case, head) for head, _ in found))
    first, second = (at(side.margins, best) for side in case.sides)
    yield (
        "A change towards 0 means that the head helped the answer, one away from 0 that it held it back. "
        f"{best.name[0].upper()}{best.name[1:]} comes first, "
        f"and its preference is {signed(first)} in one sentence and {signed(second)} in the other: whoever looks for a "
        "head that changes its mind passes it by. No single loss turns either answer. Replacing by zero is crude, "
        "since later layers count on what a head says of every sentence alike; the page can put its mean there "
        "instead, and the scores below do."
    )
    yield ""


def one_head_patched(case: Case) -> Iterator[str]:
    """What the largest single head does when it says what it says in the other sentence."""
    head = effects(case.sides)[0][0]
    for side in case.sides:
        assert [one for one, off in ranked(side.patched.off) if off * side.patched.base < 0] == [head], "it alone turns"
    yield "## What one head carries"
    yield ""
    yield (
        "Activation patching (Vig et al. 2020) asks the other way round: give one head, in one sentence, the output "
        f"that it has in the other, word by word, and leave the rest alone. With {head.name}:"
    )
    yield ""
    rows = []
    for number, side in enumerate(case.sides):
        here, there = case.pair.sentences[number], case.pair.sentences[1 - number]
        patched = case.after(number, patch_from(case.runner, [head], there, here, case.decision))
        rows.append(
            (NUMBERS[number], signed(side.outcome.log_odds), signed(patched.log_odds), f"{patched.translation}")
        )
    yield from table(("sentence", "log-odds as it is", "patched", "the model then says"), rows)
    yield (
        "This one head turns the answer in both sentences, and no other does by itself. The pronoun changes; the "
        "adjective stays that of the sentence and agrees with the new pronoun. At which word this happens is seen by "
        "patching one token at a time (change of the log-odds):"
    )
    yield ""
    yield from _by_position(case, head)
    yield (
        "![The page's section on which heads matter: one cell of 112 is dark, and the pronoun's attention moved in all "
        "encoder heads changes nothing](images/coreference-matter-1280-light.png)"
    )
    yield ""


def _by_position(case: Case, head: Head) -> Iterator[str]:
    """The token at which the patch does most, and what the head looks at from there."""
    rows, tokens = [], []
    for number, side in enumerate(case.sides):
        here, there = case.pair.sentences[number], case.pair.sentences[1 - number]
        source = case.traces[number].source
        aligned = align_pieces(case.traces[1 - number].source, source).positions
        alone = {
            pair[1]: case.after(number, Patch((head,), there, None, (pair,))).log_odds - side.outcome.log_odds
            for pair in aligned
        }
        order = sorted(alone, key=lambda position: -abs(alone[position]))
        weights = case.traces[number].maps[head.kind].weights[head.layer, head.head, order[0]]
        seen = int(weights.argmax())
        tokens.append((source.labels[order[0]], source.labels[seen]))
        rows.append(
            (
                f"{here}",
                f"“{source.labels[order[0]]}”: {signed(alone[order[0]])}",
                f"“{source.labels[order[1]]}”: {signed(alone[order[1]])}",
                f"“{source.labels[seen]}” ({weights[seen]:.2f})",
            )
        )
    assert tokens == [(case.pair.candidates[1], "tired"), (case.pair.candidates[1], "wide")], "the text says so"
    yield from table(("sentence", "largest change", "next", "from the first, the head looks most at"), rows)
    yield (
        f"It works at “{tokens[0][0]}”, not at “it”: from the noun it looks at the adjective, in both sentences alike, "
        "and finds another word there. A fair reading is that the noun learns here whether the adjective fits it, a "
        f"layer before the heads of {BLOCK[0]} layer {BLOCK[1] + 1} look from “it” at a noun. It is a reading of two "
        "sentences; the tables below only say how much many sentences depend on the head."
    )
    yield ""


def attention_forced(case: Case) -> Iterator[str]:
    """The pronoun's attention moved to the other noun, in all cross heads and in all encoder heads."""
    a, b = case.pair.candidates
    yield "## Making it look at the other noun"
    yield ""
    yield (
        "Here the row that looks keeps its sum, but what it gives to one noun is moved to the other: in all cross "
        "heads at the step that says il or elle, or in all encoder heads at “it”."
    )
    yield ""
    rows = []
    kinds: tuple[Kind, ...] = ("cross", "encoder")
    ways: tuple[tuple[Literal["A", "B"], str], ...] = (("B", f"{a} → {b}"), ("A", f"{b} → {a}"))
    for kind in kinds:
        heads = all_heads(case.runner, kind)
        for onto, words in ways:
            for number in (0, 1):
                side = case.sides[number].outcome
                changed = case.after(number, force_onto(case.where[number], heads, onto))
                same = changed.translation == side.translation
                said = "(unchanged)" if same else changed.translation
                odds = f"{signed(side.log_odds)} to {signed(changed.log_odds)}"
                rows.append((f"{len(heads)} {kind}", words, NUMBERS[number], odds, said))
    yield from table(("heads", "attention moved", "sentence", "log-odds", "the model then says"), rows)
    yield (
        "In these sentences, where the output looks while it says the pronoun decides which pronoun it says. Where "
        "“it” looks in the encoder does not, although those are the maps that show the answer best. (A move towards "
        "the noun that was looked at already changes little, as it should.)"
    )
    yield ""


def main() -> None:
    """Write the file."""
    card = MODELS[MODEL]
    if card.identity != EXPLAINED:
        raise SystemExit(
            f"The explanations were written for {EXPLAINED} and the weights are {card.identity}. Set EXPLAINED to "
            "these, run this again, and read every sentence beside the new numbers."
        )
    runner = engine.load(MODEL, "cpu")
    case = read_case(runner, load_pairs()[0])
    parts = (
        opening(card, case),
        the_sentences(case),
        who_looks(case),
        who_matters(case),
        one_head_patched(case),
        attention_forced(case),
        over_many(card),
        own_pairs(card, runner),
        limits(card),
    )
    FILE.write_text("\n".join(line for part in parts for line in part) + "\n", "utf-8")
    print(f"docs/{FILE.name}")


if __name__ == "__main__":
    main()
