"""Blanks of the Cloze page: candidates of one, all of them at a glance, and all filled by the model."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import streamlit as st

import viz
from engine.catalogue import ModelCard
from engine.cloze import Cloze
from engine.cloze_answers import Blank, Filled
from engine.cloze_text import MASK, ClozeInput
from pages import _shared
from pages._cloze_view import CANDIDATES, VIEW, language, larger, scale
from viz.components.choices import ChoiceRow, Columns, choices, choices_data, percentage, taken_in

KEY = "cloze candidates"
MANY = 4  # blanks from which on their names need several lines
FILLINGS = {"none": "Leave open", "at once": "All at once", "one by one": "One by one"}
FILLING_HELP = (
    "**All at once**: every blank by one pass, none knows what the others get; this is how BERT was trained. "
    "**One by one**: the blank that the model is most certain of first, then the text is read anew."
)
WHOLE_HELP = (
    "A rare word is several pieces to the model. With this switch a masked word is one blank, whatever its length, and "
    "one piece must do; without it the number of blanks tells how many pieces the word has."
)


def draw(card: ModelCard, given: ClozeInput, theme: viz.Theme) -> None:
    """The section."""
    tools(given)
    if not given.blanks:
        st.info(
            "Every blank is filled. Click a word that was put in to empty it again."
            if given.taken
            else f"Nothing is masked. Click a word above, or type {MASK} in the text."
        )
        return
    blanks = _shared.computed(card, Cloze.fill, given, CANDIDATES)
    left, right = st.columns([2, 3], gap="large")
    with left:
        candidates(given, blanks, theme)
    with right:
        overview(blanks, theme)
        filling(card, given, theme)


def tools(given: ClozeInput) -> None:
    """What is done to all masks at once."""
    view = VIEW.current()
    if view.presenter:
        return
    with st.container(horizontal=True, vertical_alignment="center", gap="small"):
        st.button(
            "Show all words", icon=":material/visibility:", on_click=unmask, disabled=not (view.masked or view.taken)
        )
        st.button("Empty the blanks", icon=":material/undo:", on_click=empty, disabled=not view.taken)
        st.toggle("One blank a word", help=WHOLE_HELP, **VIEW.widget("whole") | {"on_change": take_whole, "args": ()})


def unmask() -> None:
    """Show every word that was masked by clicking."""
    VIEW.change(masked=(), taken=(), blank=0, filling="none")
    VIEW.touch()


def empty() -> None:
    """Every blank is open again."""
    VIEW.change(taken=(), blank=0)
    VIEW.touch()


def take_whole() -> None:
    """Other masks: what was put in has no place any more, nor have pins."""
    VIEW.change(whole=st.session_state[VIEW.key("whole")], taken=(), blank=0)
    VIEW.touch()


def names_of(blanks: Sequence[Blank]) -> list[str]:
    """How blanks are called: the number and the word that was masked, and which of its pieces where it has several."""
    names = []
    for number, blank in enumerate(blanks):
        places = [one.position for one in blanks if one.word == blank.word]
        piece = f" ({places.index(blank.position) + 1} of {len(places)})" if len(places) > 1 else ""
        names.append(f"{number + 1} · {blank.original or MASK}{piece}")
    return names


def chosen(blanks: Sequence[Blank]) -> int:
    """The blank whose candidates are shown; the last one where the view names none."""
    return min(VIEW.current().blank, len(blanks) - 1)


def candidates(given: ClozeInput, blanks: Sequence[Blank], theme: viz.Theme) -> None:
    """Which blank, and what may stand there."""
    number, names = chosen(blanks), names_of(blanks)
    if len(blanks) > 1:
        key = VIEW.key("blank")
        st.session_state[key] = number
        pick = partial(st.pills, wrap=True) if len(blanks) >= MANY else st.segmented_control
        pick(
            "Blank",
            range(len(blanks)),
            format_func=lambda i: _shared.literal(names[i]),
            required=True,
            key=key,
            on_change=lambda: VIEW.change(blank=st.session_state[key]),
        )
    blank = blanks[number]
    start = f"{VIEW.epoch()} {blank.position} {given.taken}"

    def changed() -> None:
        row = taken_in(KEY, len(blank.candidates), start_id=start)
        if row is not None:
            put_in([(blank.position, blank.candidates[row].token)])

    data = choices_data(
        [ChoiceRow(one.label, "", one.probability) for one in blank.candidates],
        columns=Columns("candidate", "probability"),
        chosen=_row_of(blank),
        total=said_of_own(blank),
        name=f"Candidates for blank {names[number]}",
        theme=theme,
        scale=scale(),
        start_id=start,
        file_name="cloze-candidates",
    )
    with st.container(key="candidates"):
        choices(data, key=KEY, on_change=changed)
    if not VIEW.current().presenter:
        st.caption("Click a candidate to put it in. “…ing” continues the word before it.")


def put_in(pairs: Sequence[tuple[int, int]]) -> None:
    """Put pieces in at blanks, by position and id."""
    VIEW.change(taken=(*VIEW.current().taken, *pairs), filling="none")


def _row_of(blank: Blank) -> int | None:
    """The candidate that is the text's own."""
    own = blank.own
    return next((i for i, one in enumerate(blank.candidates) if own is not None and one.token == own.token), None)


def said_of_own(blank: Blank) -> str:
    """The text's own piece beside the candidates."""
    if blank.own is None:
        return "" if blank.original is None else f"“{blank.original}” has several pieces: no single one is its own."
    return f"The text has “{blank.own.label}”: rank {blank.own.rank:,}, {percentage(blank.own.probability)}"


def overview(blanks: Sequence[Blank], theme: viz.Theme) -> None:
    """All blanks: the best candidate and the text's own."""
    rows = [
        (
            name,
            blank.candidates[0].label,
            percentage(blank.candidates[0].probability),
            blank.own.label if blank.own else "–",
            f"{blank.own.rank:,}" if blank.own else "–",
            percentage(blank.own.probability) if blank.own else "–",
        )
        for name, blank in zip(names_of(blanks), blanks, strict=True)
    ]
    heads = ("blank", "best", "probability", "own", "rank", "probability")
    caption = "All blanks, each by itself: the best piece, and the text's own"
    with st.container(key="numbers"):
        st.html(viz.small_table(heads, rows, caption=caption, theme=theme))


def filling(card: ModelCard, given: ClozeInput, theme: viz.Theme) -> None:
    """All blanks filled by the model."""
    st.segmented_control(
        "Fill all blanks",
        list(FILLINGS),
        format_func=FILLINGS.__getitem__,
        required=True,
        help=FILLING_HELP,
        **VIEW.widget("filling"),
    )
    order = VIEW.current().filling
    if order == "none":
        return
    filled = _shared.computed(card, Cloze.fill_in, given, order)
    before, after = given.tokens.text, filled.input.tokens.text
    st.html(viz.text_change(before, after, lang=language(card), theme=larger(theme)))
    with st.container(key="thread"):
        st.html(
            viz.small_table(("step", "blank", "put in", "probability", "text has"), _steps(given, filled), theme=theme)
        )
    st.button(
        "Put these in",
        icon=":material/edit:",
        on_click=put_in,
        args=([(step.position, step.choice.token) for step in filled.steps],),
    )


def _steps(given: ClozeInput, filled: Filled) -> list[tuple[str, ...]]:
    numbers = {place: number for number, place in enumerate(given.blanks)}
    return [
        (
            "all" if filled.order == "at once" else f"{at + 1}",
            f"{numbers[step.position] + 1} · {given.words[step.word]}",
            step.choice.label,
            percentage(step.choice.probability),
            step.own.label if step.own else "–",
        )
        for at, step in enumerate(filled.steps)
    ]
