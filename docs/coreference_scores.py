"""The part of docs/coreference.md that is about many sentences; docs/coreference.py writes it."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))
from engine.cards import deciding_heads, resolver_heads, scores_of
from engine.catalogue import ModelCard
from engine.evidence import first_pronoun
from engine.interventions import Head
from engine.pairs import load_pairs
from engine.runner import Runner
from engine.verdict import signed


def table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> Iterator[str]:
    """A Markdown table and an empty line."""
    yield f"| {' | '.join(header)} |"
    yield f"|{'---|' * len(header)}"
    yield from (f"| {' | '.join(row)} |" for row in rows)
    yield ""


def over_many(card: ModelCard) -> Iterator[str]:
    """What was measured of set A's test half."""
    scores = scores_of(card)
    resolvers, deciding = resolver_heads(card), deciding_heads(card)
    if resolvers is None or deciding is None:
        raise SystemExit(f"Measure these weights first: saccade evaluate {card.name} --set coreference --save")
    saved = scores["coreference"]
    yield "## Over many sentences"
    yield ""
    yield (
        "Two sentences prove little. The pronoun grammar's set A has held-out sentences whose nouns never met in "
        f"training. Heads were chosen on its validation half and measured on the {saved['sentences']:,} sentences of "
        "its test half, so that choosing and judging are not done on the same sentences. `saccade evaluate "
        f"{card.name} --set coreference` measures this again. Intervals are 95%: Wilson's for shares, the paired "
        "bootstrap over sentences for drops."
    )
    yield ""
    yield (
        f"How often the {len(resolvers)} heads that most often look most at the right noun, chosen on "
        f"{saved['chosen_on']} sentences, do so:"
    )
    yield ""
    yield from table(
        ("head", "looks most at the right noun (interval)"),
        ((Head(*head[:3]).name, percent(*head[3:])) for head in resolvers),
    )
    yield (
        "And what is lost without heads, each replaced by its mean output. *Look* are the heads that most often look "
        "at the right noun, *matter* those whose loss, one by one, costs the right pronoun most log-odds "
        f"({Head(*deciding[0][:3]).name}: {signed(deciding[0][3])} nats, the mean over {saved['effects_on']} sentences "
        "of the validation half). Heads are written as layer.head."
    )
    yield ""
    columns = ("off", "right (interval)", "drop in points (interval)", "mean log-odds", "random: mean", "lowest")
    on = saved["off_resolvers"][0]
    rows: list[tuple[str, ...]] = [("none", percent(on["on"], on["on_low"], on["on_high"]), "", "", "", "")]
    for name, key in (("look", "off_resolvers"), ("matter", "off_deciding")):
        rows += [_ablated(name, row) for row in saved[key]]
    yield from table(columns, rows)
    yield from _ablations_explained(saved, scores["pronouns-a"]["baselines"]["majority"])


def _ablated(name: str, row: Mapping[str, Any]) -> tuple[str, ...]:
    drop, low, high = (signed(100 * row[key], 1) for key in ("drop", "drop_low", "drop_high"))
    return (
        f"*{name}*: {short(row['heads'])}",
        percent(row["off"], row["off_low"], row["off_high"]),
        f"{drop} ({low} to {high})",
        f"{signed(row['log_odds_on'])} to {signed(row['log_odds_off'])}",
        f"{row['random']:.1%}",
        f"{row['random_lowest']:.1%}",
    )


def _ablations_explained(saved: Mapping[str, Any], guessing: float) -> Iterator[str]:
    looks, matters = saved["off_resolvers"][-1], saved["off_deciding"]
    assert looks["drop"] == looks["drop_low"] == looks["drop_high"] == 0, "the text says so"
    worst = short(matters[0]["heads"])
    yield (
        f"With the {len(looks['heads'])} heads that look most at the right noun off, not one sentence more is wrong, "
        f"though the model is a little less sure (mean log-odds {signed(looks['log_odds_on'])} to "
        f"{signed(looks['log_odds_off'])}). With one head off, {worst}, it is right in {matters[0]['off']:.1%}; with "
        f"the {len(matters[-1]['heads'])} that matter most in {matters[-1]['off']:.1%}, and always saying the more "
        f"frequent pronoun gives {guessing:.1%}. "
        f"Random sets are {looks['random_sets']} draws of as many other heads of the same kinds, each measured on "
        f"{looks['random_sentences']} of the sentences. Beside *look* a draw may hold {worst}: then random heads hurt "
        "more than those that look at the noun. A drop of 0 with an interval of 0 to 0 means that no sentence of "
        f"{saved['sentences']:,} changed; of other sentences about 3 in as many may (the rule of three)."
    )
    yield ""


def own_pairs(card: ModelCard, runner: Runner) -> Iterator[str]:
    """How many of the minimal pairs the model gets right."""
    pairs = [pair for pair in load_pairs() if pair.shows == "pronoun" and {*pair.french} == {"il", "elle"}]
    said = [first_pronoun(text) for text in runner.translate([text for pair in pairs for text in pair.sentences])]
    right = [one == wanted for one, wanted in zip(said, (p for pair in pairs for p in pair.french), strict=True)]
    both = [all(right[2 * index : 2 * index + 2]) for index in range(len(pairs))]
    twice = sum(said[2 * index] == said[2 * index + 1] for index in range(len(pairs)) if not both[index])
    groups = dict.fromkeys(pair.group for pair in pairs)
    yield "## The pairs of the page"
    yield ""
    yield (
        f"{len(pairs)} of the page's {len(load_pairs())} pairs are decided by il against elle. The first pronoun of "
        f"the model's own translation is right in **{sum(right)} of {len(right)}** sentences, and in both sentences of "
        f"**{sum(both)} of {len(pairs)}** pairs. Right is the pronoun that goes with the nouns' usual translations. "
        "(The other pairs turn on ils and elles, or on who and whom.)"
    )
    yield ""
    rows = []
    for group in groups:
        own = [index for index, pair in enumerate(pairs) if pair.group == group]
        hits = sum(right[2 * index] + right[2 * index + 1] for index in own)
        rows.append((group, f"{hits} of {2 * len(own)}", f"{sum(both[index] for index in own)} of {len(own)}"))
    yield from table(("group", "sentences right", "pairs right in both"), rows)
    yield (
        "We wrote these pairs to be looked at, with words that the grammar has and words that it has not: they are no "
        f"test set. In {twice} of the {len(pairs) - sum(both)} pairs that are not right in both, the model says the "
        "same pronoun twice, and is right once by that alone: count the pairs."
    )
    yield ""


def limits(card: ModelCard) -> Iterator[str]:
    """What none of this shows."""
    new = scores_of(card)["pronouns-b"]
    yield "## What this does not show"
    yield ""
    yield (
        "- **One model.** A small one, which practised pronouns on purpose. In another the heads that look may well be "
        "the heads that matter."
    )
    yield (
        "- **Made-up sentences.** Set A comes from the same grammar as the practice. With adjectives that the grammar "
        f"never used (set B) the model is right in {new['pronoun_accuracy']:.1%} of {new['sentences']} sentences, and "
        f"always saying the more frequent pronoun gives {new['baselines']['majority']:.1%}. What is shown here is how "
        "the model does what it practised, not that it understands."
    )
    yield (
        "- **One question.** Everything is measured at il or elle, after a beginning that is held fixed. A head that "
        "does nothing here may do much elsewhere."
    )
    yield (
        "- **Interventions have limits too.** Others may step in for a head that is off, and a network without it is "
        "one that was never trained. That is why the page has zero, the mean and the other sentence to choose from."
    )
    yield ""
    yield (
        "Sources: Abnar and Zuidema 2020 (rollout), Kobayashi et al. 2020 (value-weighted attention), Chefer et al. "
        "2021 (gradient × attention), Michel et al. 2019 (heads off), Vig et al. 2020 (patching), Yin and Neubig 2022 "
        "(one word against another). The [guide](guide.md#the-coreference-page) says which part of the page is which."
    )


def short(heads: Iterable[Mapping[str, Any]]) -> str:
    """Saved heads in a table's cell: "encoder 1.7, cross 4.8", layer and head."""
    return ", ".join(f"{head['kind']} {head['layer'] + 1}.{head['head'] + 1}" for head in heads)


def percent(share: float, low: float, high: float) -> str:
    """A share with its interval."""
    return f"{share:.1%} ({low:.1%} to {high:.1%})"
