"""Beyond weights: the pronoun's row of one head in several ways, and how far they agree."""

from __future__ import annotations

import streamlit as st

import viz
from engine.catalogue import ModelCard
from engine.coreference import fork_of
from engine.interventions import Head
from engine.measures import GRADIENT, GRADIENT_ATTENTION, RAW, ROLLOUT, VALUES, Measures, agreement, measures_of
from engine.verdict import Side, change_of, ranked
from pages import _lab, _lab_heads, _shared
from pages._lab import VIEW
from pages._pair import PairShown, Reading
from pages._shown import NAMES
from viz.components.save import save_picture

NARROWER = 17, 10  # pixels by which a column of the rows, and of the agreement, may shrink, its number still in it
NOT_HERE = (
    "What a head's values weigh is known of our own models only, so this section is empty here. “Which heads look” and "
    "“Which heads matter” work with this model, and “Translate” shows its gradients."
)
EXPLAINED = f"""
- **{RAW}**: where did the head look? The weights of the pronoun's row.
- **{VALUES}**: how large is what it took from there? ‖α v W_O‖, divided by the row's sum (Kobayashi et al. 2020).
- **{GRADIENT_ATTENTION}**: did that look push the answer up or down? Weight × derivative of the answer's logit, signed.
- **{ROLLOUT}**: what could have come here through all heads up to this layer? Products of ½ (mean of the heads) + ½ I
  (Abnar and Zuidema 2020); a cross head's is its layer's mean over the heads, followed through the encoder.
- **{GRADIENT}**: how sensitive is the answer to each word? L2 norm of the derivative with respect to its vectors.

The first three are this head's alone, *rollout* is of all heads together, *gradient* of the whole network.
"""


def draw(card: ModelCard, pair: PairShown, sides: tuple[Side, Side] | None, theme: viz.Theme) -> None:
    """The rows of both sentences and their agreement."""
    if not _lab_heads.weighs(card):
        st.info(NOT_HERE)
        return
    head = _lab_heads.chosen_head(change_of(pair.sides))
    if head is None:
        st.info("No head's attention can be read. Mark the pronoun and the two nouns in the sentences above.")
        return
    with st.container(horizontal=True, vertical_alignment="bottom", gap="medium"):
        pick_one(pair, head)
        st.toggle(
            "Against the other word",
            help="Differentiate the logit of the French pronoun minus that of the other word, instead of its logit "
            "alone (Yin and Neubig 2022).",
            disabled=sides is None,
            **VIEW.widget("contrast"),
        )
        if not VIEW.current().presenter:
            with st.popover("What the rows are", icon=":material/help:"):
                st.markdown(EXPLAINED)
    for number, side in enumerate(pair.sides, 1):
        if reason := side.where.missing(head.kind) or side.where.missing("cross"):
            st.info(f"Sentence {number}: {reason}")
            continue
        against = _against(card, pair, side) if VIEW.current().contrast and sides else None
        found = _shared.computed(card, measures_of, side.text, side.where, head, against)
        _side(side, found, head, number, theme)
    st.caption(
        "Each row has colours of its own: compare the words of a row, not two rows. Numbers are the measures' own. "
        "Blue is above 0, brown below. Agreement is Spearman's rank correlation over the words without special "
        "tokens; signed rows count by their size."
    )


def pick_one(pair: PairShown, head: Head) -> None:
    """A menu of all heads, those whose attention changes most first."""
    order = [found for found, _ in ranked(change_of(pair.sides))]
    st.session_state["lab head"] = head
    st.selectbox(
        "Head",
        order if head in order else [head, *order],
        key="lab head",
        format_func=lambda one: f"{NAMES['map'][one.kind]}, layer {one.layer + 1}, head {one.head + 1}",
        on_change=lambda: VIEW.change(head=st.session_state["lab head"]),
        width=round(330 * _lab.scale()),
    )


def _against(card: ModelCard, pair: PairShown, side: Reading) -> int | None:
    """The piece of the word that the sentence did not say."""
    if pair.decision is None:
        return None
    fork = fork_of(_shared.runner(card).tokenizer, pair.decision)
    said = side.trace.predicted.ids[side.where.steps[0]]
    return fork.second if said == fork.first else fork.first


def _side(side: Reading, found: Measures, head: Head, number: int, theme: viz.Theme) -> None:
    """One sentence's rows, with the agreement beside them."""
    said = side.trace.predicted.labels[side.where.steps[0]]
    left, right = st.columns([3, 2], gap="small")
    names, table = agreement(found)
    scale = _lab.scale()
    with left, st.container(key=f"measures-{number}"):
        title = f"Sentence {number}: what “{said}” was said from"
        figure = viz.measure_rows(
            found.words.labels, found.rows, found.words.special, title=title, theme=theme, scale=scale
        )
        st.plotly_chart(figure, theme=None, width="content", alt=title, key=f"lab measures {number}")
        _lab.keep_legible(f"measures-{number}", figure.layout.width - NARROWER[0] * scale * len(found.words.labels))
        save_picture(f"measures-{number}", f"{head.kind}-measures-{number}", key=f"lab save measures {number}")
    with right, st.container(key=f"agreement-{number}"):
        figure = viz.agreement_table(names, table, title="Do they agree?", theme=theme, scale=scale)
        st.plotly_chart(figure, theme=None, width="content", alt="Rank correlations", key=f"lab agreement {number}")
        _lab.keep_legible(f"agreement-{number}", figure.layout.width - NARROWER[1] * scale * len(names))
        save_picture(f"agreement-{number}", f"{head.kind}-agreement-{number}", key=f"lab save agreement {number}")
