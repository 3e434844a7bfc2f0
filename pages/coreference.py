"""Coreference: what does "it" refer to, and which head decides? Attention, gradient and intervention side by side."""

from __future__ import annotations

import streamlit as st

import viz
from engine.catalogue import ModelCard
from engine.coreference import Decision
from engine.errors import InputError
from engine.mentions import Word, differing
from engine.pairs import Pair, load_pairs
from engine.verdict import Side, signed, verdict
from pages import _lab, _lab_heads, _lab_interventions, _lab_many, _lab_measures, _lab_save, _shared
from pages._cards import made_with, no_longer
from pages._lab import VIEW
from pages._languages import Languages, languages_of
from pages._pair import PairShown, read_pair, side_of
from viz.components.marks import MarkedText, Role, marks, marks_data, marks_of

LARGE = "html { font-size: 125%; }"  # in the presenter mode; Streamlit measures in rem
SECTIONS = {
    "heads": "Which heads look",
    "measures": "Beyond weights",
    "interventions": "Which heads matter",
    "many": "Over many sentences",
}
DRAW = {
    "heads": _lab_heads.draw,
    "measures": _lab_measures.draw,
    "interventions": _lab_interventions.draw,
}
SHORTCUTS = """
| keys | what they do |
|---|---|
| Tab, Shift + Tab | from control to control, and into the figures |
| ← → | among words, roles and heads to the next; ↑ ↓ among layers |
| Enter or Space | mark a word, open a head |
| 1, 2, 3 | in the sentences: mark the pronoun, A, B |
| Home, End | first, last |
"""


def ask_for_sentences(card: ModelCard, presenter: bool) -> None:
    """The two boxes, and the list of pairs."""
    view = VIEW.current()
    whole = "A whole English sentence with a pronoun" if card.path is None else "A whole sentence with a pronoun"
    state = st.session_state
    if state.get("lab asked") != (view.first, view.second) or "lab one" not in state:
        state["lab one"], state["lab two"] = state["lab asked"] = (view.first, view.second)
    with st.form("pair", border=False):
        left, right, go = st.columns([9, 9, 2], vertical_alignment="bottom")
        left.text_input("First sentence", key="lab one", placeholder=whole)
        right.text_input("Second sentence", key="lab two", placeholder="The same with a word changed")
        go.form_submit_button("Compare", type="primary", on_click=compare, width="stretch")
    with st.container(horizontal=True, vertical_alignment="center", gap="small"):
        if not presenter:
            st.selectbox(
                "Pairs",
                load_pairs(),
                key="lab pair",
                index=None,
                format_func=title_of,
                placeholder="Choose one of our pairs",
                label_visibility="collapsed",
                on_change=open_pair,
                width=520,
            )
            with st.popover("Keyboard", icon=":material/keyboard:"):
                st.markdown(SHORTCUTS)
        st.toggle("Presenter", help="Larger type and fewer controls, for a projector", **VIEW.widget("presenter"))


def title_of(pair: Pair) -> str:
    """How a pair is listed."""
    first, second = (sentence.rstrip(".").split() for sentence in pair.sentences)
    words = (
        " ".join(side[i] for i in changed)
        for side, changed in zip((first, second), differing(first, second), strict=True)
    )
    return f"{' / '.join(words)}: {pair.first}"


def compare() -> None:
    """Take over what is in the boxes."""
    _lab.ask(st.session_state["lab one"], st.session_state["lab two"])


def open_pair() -> None:
    """Show one of the pairs, in the section that is open."""
    pair: Pair | None = st.session_state["lab pair"]
    if pair is not None:
        _lab.ask(pair.first, pair.second)
    st.session_state["lab pair"] = None


def show_marks(pair: PairShown, languages: Languages, theme: viz.Theme, scale: float) -> None:
    """The sentences and their translations, word by word, with the roles that the reader may correct."""
    blue, brown = theme.diverging[-2], theme.diverging[1]
    roles = [
        Role("pronoun", "Pronoun", viz.HEAD_COLOURS[0], "it"),
        Role("A", "Candidate A", blue, "A"),
        Role("B", "Candidate B", brown, "B"),
    ]
    english = differing(*([word.text for word in side.english] for side in pair.sides))
    french = differing(*([word.text for word in side.french] for side in pair.sides))
    texts = []
    for number, side in enumerate(pair.sides):
        texts.append(_marked(f"Sentence {number + 1}", side.english, side.marked, english[number], languages.read))
        texts.append(_marked(f"Translation {number + 1}", side.french, side.said, french[number], languages.written))
    shown = [text.marks for text in texts]

    def changed() -> None:
        sent = st.session_state["lab marking"].marks
        made = marks_of(sent) if sent else ()
        if not made or [dict(one) for one in made] == [dict(one) for one in shown]:
            return
        names = ("marks", "french", "marks2", "french2")
        VIEW.change(
            **{
                name: (new.get("pronoun", ()), new.get("A", ()), new.get("B", ()))
                for name, new, old in zip(names, made, shown, strict=True)
                if dict(new) != dict(old)
            }
        )

    with st.container(key="marks"):
        data = marks_data(texts, roles, theme=theme, scale=scale, start_id=VIEW.epoch())
        marks(data, key="lab marking", on_change=changed)
    for number, side in enumerate(pair.sides):
        if reason := side.where.missing("encoder"):
            st.info(f"Sentence {number + 1}: {reason} Choose a role above and click its word.")


def _marked(name: str, words: tuple[Word, ...], marked: _lab.Marked, differs: tuple[int, ...], lang: str) -> MarkedText:
    ends = [0, *(word.end for word in words)]
    return MarkedText(
        name,
        tuple(word.text for word in words),
        tuple(word.start > end for word, end in zip(words, ends, strict=False)),
        dict(zip(("pronoun", "A", "B"), marked, strict=True)),
        differs,
        lang,
    )


def show_decision(card: ModelCard, pair: PairShown, presenter: bool) -> tuple[Side, Side] | None:
    """What the model says where the output decides; None where nothing can be compared."""
    decision = pair.decision
    sides = None
    if decision is None:
        pronouns = " and have neither il, elle, ils nor elles" if card.path is None else ""
        st.info(
            f"The two {'translations' if card.path is None else 'outputs'} are equal{pronouns}, so there is nothing "
            "that decides. Say under “What is decided” which two words to compare, and after which beginning."
        )
    else:
        try:
            first, second = (side_of(card, pair, number) for number in (0, 1))
            sides = (first, second)
            st.html(_odds_table(sides, decision))
        except InputError as reason:
            st.error(_shared.literal(f"The two words cannot be compared. {reason}"))
    if not presenter:
        with st.popover("What is decided", icon=":material/call_split:"):
            _decision_form(decision)
    return sides


def _odds_table(sides: tuple[Side, Side], decision: Decision) -> str:
    """Probabilities and log-odds of the two words in both sentences."""
    rows = [
        (f"{number}", *(f"{share:.1%}" for share in side.outcome.probabilities), signed(side.outcome.log_odds))
        for number, side in enumerate(sides, 1)
    ]
    return viz.small_table(
        ("sentence", *decision.words, "log-odds"),
        rows,
        caption=f"After “{decision.prefix}…” the model says" if decision.prefix else "The model begins with",
        theme=_shared.theme(),
    )


def _decision_form(decision: Decision | None) -> None:
    st.markdown("Both sentences are forced to begin with the same words; then the two words are compared.")
    state = st.session_state
    view = VIEW.current()
    typed = view.prefix or "", (view.left or "", view.right or "")
    prefix, words = (decision.prefix, decision.words) if decision else typed
    state["lab prefix"], state["lab left"], state["lab right"] = prefix, *words
    with st.form("decision form", border=False):
        st.text_input("The output so far", key="lab prefix")
        left, right = st.columns(2)
        left.text_input("First word", key="lab left")
        right.text_input("Second word", key="lab right")
        st.form_submit_button("Compare these", type="primary", on_click=take_decision)
    st.button("Back to what was found", on_click=VIEW.change, kwargs={"prefix": None, "left": None, "right": None})


def take_decision() -> None:
    """Compare the words that were typed; an empty word is the one found, an empty beginning the very beginning."""
    state = st.session_state
    VIEW.change(
        prefix=state["lab prefix"].strip(),
        left=state["lab left"].strip() or None,
        right=state["lab right"].strip() or None,
    )


def show_verdict(sides: tuple[Side, Side], pair: PairShown) -> None:
    """What all of it says, in words."""
    assert pair.decision is not None
    with st.container(border=True, key="verdict"):
        st.markdown("**In plain words**")
        clauses = verdict(sides, pair.decision, pair.names)
        st.markdown("\n".join(f"- {_shared.literal(clause)}" for clause in clauses))


@st.fragment
def sections(card: ModelCard, pair: PairShown, sides: tuple[Side, Side] | None, theme: viz.Theme) -> None:
    """What is open of the page; only this part runs again while a reader explores."""
    if VIEW.arriving():  # a request file was opened: the whole page has to change
        st.rerun()
    with _shared.errors_as_sentences():
        st.segmented_control(
            "Show",
            list(SECTIONS),
            format_func=SECTIONS.__getitem__,
            required=True,
            label_visibility="collapsed",
            **VIEW.widget("section"),
        )
        view = VIEW.current()
        if view.section == "many":
            _lab_many.draw(card, theme)
        else:
            DRAW[view.section](card, pair, sides, theme)
        VIEW.remember(model=card.identity)
        if not view.presenter:
            _lab_save.menu(pair, sides)


def page() -> None:
    """Draw the page."""
    with _shared.errors_as_sentences():
        card = _shared.pick_model("translate", "interventions")
        problems = VIEW.arrive(_lab.complete)
        before, view = _lab.meet(card), VIEW.current()
        problems += filter(None, [no_longer(before), made_with(view.model, card)])
        if view.presenter:
            st.html(f"<style>{LARGE}</style>")
        st.title("Coreference: what does “it” refer to?", anchor=False)
        ask_for_sentences(card, view.presenter)
        for problem in problems:
            st.warning(_shared.literal(problem))
        theme = _shared.theme()
        pair = read_pair(card, view)
        for problem in pair.problems:
            st.warning(_shared.literal(problem))
        words, decided = st.columns([7, 3] if view.presenter else [5, 3], gap="large")
        with words:
            show_marks(pair, languages_of(card), theme, _lab.scale())
        with decided, st.container(key="decision"):
            sides = show_decision(card, pair, view.presenter)
        if sides:
            show_verdict(sides, pair)
        sections(card, pair, sides, theme)


page()
