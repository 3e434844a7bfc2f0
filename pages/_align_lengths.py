"""Sections of the Alignment page about whole test sets: quality by length, and alignment quality."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

import streamlit as st

import viz
from engine import catalogue
from engine.bottleneck import COMMAND, Bottleneck, GainBin, ModelGain, current, notes, read_bottleneck
from engine.card_alignment import AlignmentRow, alignment_table, reading_table
from engine.cards import alignment_scores
from engine.catalogue import ModelCard
from engine.errors import SaccadeError
from engine.types import Trace
from pages import _shared
from pages._align import VIEW, all_cards, name_of

TRAINED = (30, "trained: ≤ 30 (Europarl)")
MEASURES: dict[Literal["bleu", "accuracy", "gain"], str] = {
    "bleu": "BLEU",
    "accuracy": "Tokens predicted right",
    "gain": "Gain over no attention",
}


def lengths(cards: Sequence[ModelCard], found: Mapping[str, Trace], theme: viz.Theme) -> None:
    """The bottleneck: how good translations are by the length of the source."""
    try:
        measured = read_bottleneck()
    except SaccadeError as reason:
        st.info(_shared.literal(str(reason)))
        return
    for note in notes(measured):
        st.warning(_shared.literal(note))
    measured = current(measured)
    st.segmented_control(
        "Score", list(MEASURES), format_func=MEASURES.__getitem__, required=True, label_visibility="collapsed",
        **VIEW.widget("score"),
    )  # fmt: skip
    view = VIEW.current()
    names = [name_of(card) for card in all_cards()]
    shown = [card for card in cards if measured.of(card.name)]
    curves = {}
    for card in shown:
        scores = measured.gain_of(card.name) if view.score == "gain" else measured.of(card.name)
        if scores:
            curves[name_of(card)] = scores.points("bleu" if view.score == "gain" else view.score)
    if not curves:
        st.info("Nothing of this is measured for the models that are shown. Choose others above.")
        return
    _shared.draw_chart(
        viz.bottleneck_chart(curves, view.score, names=names, mark=TRAINED, theme=theme),
        "lengths",
        viz.bottleneck_summary(curves, view.score),
        width=760,
    )
    _gains(measured)
    st.caption(
        f"{measured.lines:,} lines of Europarl that no training has seen, translated greedily; bars are 95 % bootstrap "
        f"intervals over sentences ({measured.resamples:,} resamples). Tokens predicted right: those of the person's "
        f"translation that the model expects most, after the right ones before them. Measured by `{COMMAND}`."
    )


def _gains(measured: Bottleneck) -> None:
    """What attention is worth to long sentences, in words."""
    said = [_gain(gain) for gain in measured.gains if gain.summary]
    if said:
        st.markdown("**What attention is worth at 16 to 30 words**, above no attention\n\n" + "\n".join(said))


def _gain(gain: ModelGain) -> str:
    assert gain.summary is not None
    bleu, tokens = gain.summary.bleu, gain.summary.accuracy
    ends = (f"at {_words(part)} words {_points(part.accuracy.value)}" for part in (gain.bins[0], gain.bins[-1]))
    text = (
        f"BLEU {bleu.value:+.1f} (95 % interval {bleu.low:+.1f} to {bleu.high:+.1f}), tokens right, in percentage "
        f"points, {_points(tokens.value)} ({_points(tokens.low)} to {_points(tokens.high)}; {', '.join(ends)})"
    )
    return f"- {name_of(catalogue.card(gain.name))}: {text.replace('-', '−')}"


def _points(share: float) -> str:
    return f"{share:+.1%}".removesuffix("%")


def _words(part: GainBin) -> str:
    return f"{part.shortest} to {part.longest}"


def quality(cards: Sequence[ModelCard], found: Mapping[str, Trace], theme: viz.Theme) -> None:
    """How well attention aligns words, against links drawn by people."""
    measured = {name_of(card): scores for card in cards if (scores := alignment_scores(card))}
    if not any(values["heads"] for values in measured.values()):
        st.info("No alignments are measured for the models that are shown. Choose others above.")
        return
    st.markdown(
        "For each French word, the English word that a head looks at most while it is predicted, beside links that "
        "people drew by hand. No model was ever shown a link. The **diagonal** links each word to the one at the same "
        "place in the sentence, whatever it is."
    )
    rows = alignment_table(measured)
    best = {row.model: row for row in reversed(rows)}  # the lowest error rate of each
    every = st.toggle("Every head", **VIEW.widget("every"))
    shown = [_quality(row) for row in rows if every or best[row.model] is row]
    shown += [_quality(row, ", one step later") for row in reading_table(measured)]
    with st.container(key="numbers"):  # a wide table scrolls on a narrow screen
        st.table(shown, hide_index=True)
    story = next(values["alibi"] for values in measured.values())
    st.caption(
        f"Error rate: alignment error rate (Och and Ney 2003), {story['pairs']} pairs of a fully linked story (Alibi), "
        "with its 95 % bootstrap interval over pairs; less is better. Sure links are those of one word to one word, "
        "possible ones all pairs of words of a linked phrase. Right links: of the words that annotators linked in "
        "Candide and Alice (TransRead), a partial gold, the share whose most looked-at word is linked to them. The "
        "best of many heads is chosen on the very pairs it is scored on; the model's card has one chosen on others. "
        "One step later: the word has just been read and the next one is predicted, which is when some of the "
        "Transformer's heads look at its source."
    )


def _quality(row: AlignmentRow, when: str = "") -> dict[str, str]:
    """A row of the table, layers and heads from 1."""
    place = "" if row.layer is None or row.head is None else f"layer {row.layer + 1}, head {row.head + 1}{when}"
    return {
        "model": row.model,
        "head": place,
        "error rate": f"{row.aer:.1%} ({row.low:.1%} to {row.high:.1%})",
        "precision": f"{row.precision:.1%}",
        "recall": f"{row.recall:.1%}",
        "right links": f"{row.accuracy:.1%}",
    }
