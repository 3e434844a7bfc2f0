"""BART's noises on the Cloze page: what was done to a text, what BERT restores of it and what it cannot."""

from __future__ import annotations

import streamlit as st

import viz
from engine.catalogue import ModelCard
from engine.cloze import Cloze
from engine.noise import Noised, NoiseKind, noise
from engine.restoration import Attempt, Restoration, restore
from pages import _shared
from pages._cloze_view import MOST_SEED, VIEW, ClozeView, language, larger

NOISES: dict[NoiseKind, str] = {
    "mask": "Mask words",
    "delete": "Delete words",
    "infill": "Infill spans",
    "rotate": "Rotate",
    "shuffle": "Shuffle sentences",
}
NOISE_HELP = (
    "The five noises that BART (Lewis et al. 2020) learned to undo. **Mask**: each chosen word becomes one [MASK]. "
    "**Delete**: words are gone. **Infill**: a span of words becomes one [MASK], even a span of none. **Rotate**: the "
    "text begins at another word. **Shuffle**: sentences change places."
)
SHARES = (0.1, 0.15, 0.2, 0.3, 0.4, 0.5)
OF_WORDS = ("mask", "delete", "infill")  # the noises that change a share of the words
CAN = {
    "yes": "A masked language model can try to restore this",
    "if the number is known": "A masked language model can try, once told how many pieces are missing",
    "no": "A masked language model cannot restore this",
}


def draw(card: ModelCard, view: ClozeView, theme: viz.Theme) -> None:
    """The section, of the first text."""
    options()
    view = VIEW.current()
    noised = noise(view.first, view.noise, view.seed, view.share)
    done, restored = st.columns(2, gap="large")
    with done:
        show_noise(noised, language(card), theme)
    with restored:
        found = _shared.computed(card, restored_of, view.first, view.noise, view.seed, view.share)
        show_restored(found, noised, language(card), theme)
    if view.second:
        st.caption("The second text is left as it is: the noises are of one text.")


def restored_of(cloze: Cloze, text: str, kind: NoiseKind, seed: int, share: float) -> Restoration:
    """A text noised and restored."""
    return restore(cloze, noise(text, kind, seed, share))


def options() -> None:
    """Which noise, how much of it, and its seed."""
    presenter = VIEW.current().presenter
    with st.container(horizontal=True, vertical_alignment="bottom", gap="small"):
        st.segmented_control(
            "Noise",
            list(NOISES),
            format_func=NOISES.__getitem__,
            required=True,
            help=None if presenter else NOISE_HELP,
            **VIEW.widget("noise"),
        )
        view = VIEW.current()
        if view.noise in OF_WORDS:
            shares = sorted({*SHARES, view.share})
            st.select_slider(
                "Share of words",
                shares,
                format_func=lambda share: f"{share:.0%}",
                width=160,
                **VIEW.widget("share"),
            )
        st.number_input("Seed", 0, MOST_SEED, width=110, **VIEW.widget("seed"))
        st.button("Another seed", icon=":material/casino:", on_click=other_seed)


def other_seed() -> None:
    """The next draw."""
    seed = VIEW.current().seed
    VIEW.change(seed=seed + 1 if seed < MOST_SEED else 0)


def show_noise(noised: Noised, lang: str, theme: viz.Theme) -> None:
    """The text before and after, and each thing that was done."""
    st.markdown("**What was done**")
    _shared.plain_text(noised.text, size="1.1rem", lang=lang)
    with st.container(key="thread"):
        st.html(
            viz.small_table(
                ("in the text", "done"),
                [(_short(change.original) or "–", change.done) for change in noised.changes],
                theme=theme,
            )
        )


def show_restored(restoration: Restoration, noised: Noised, lang: str, theme: viz.Theme) -> None:
    """What came back, or why nothing can."""
    verdict = restoration.verdict
    st.markdown(f"**{CAN[verdict.restorable]}**")
    st.markdown(_shared.literal(verdict.why))
    for number, attempt in enumerate(restoration.attempts):
        _attempt(attempt, noised, number, lang, theme)


def _attempt(attempt: Attempt, noised: Noised, number: int, lang: str, theme: viz.Theme) -> None:
    """One way to restore it, against the original."""
    st.markdown(
        f"Told {_shared.literal(attempt.told)}: **{attempt.right} of {len(attempt.spans)}** places are as they were."
    )
    st.html(viz.text_change(noised.original, attempt.filled.input.first, lang=lang, theme=larger(theme)))
    with st.container(key=f"restored {number}"):
        st.html(
            viz.small_table(
                ("in the text", "restored", "right"),
                [
                    (_short(span.original) or "–", _short(span.restored), "yes" if span.right else "no")
                    for span in attempt.spans
                ],
                theme=theme,
            )
        )  # fmt: skip


def _short(text: str) -> str:
    """The beginning of a long text, for a table."""
    return text if len(text) <= 40 else f"{text[:39]}…"
