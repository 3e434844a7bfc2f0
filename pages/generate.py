"""Generate: counts, characters, subwords and opened models continue a text, token by token."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import streamlit as st

import viz
from pages import (
    _gen_attention,
    _gen_compare,
    _gen_next,
    _gen_prompts,
    _gen_sample,
    _gen_save,
    _gen_surprise,
    _gen_trigram,
    _gen_units,
    _shared,
)
from pages._gen import (
    VIEW,
    GenView,
    Section,
    ask,
    card_of,
    checked,
    compared,
    complete,
    full,
    open_section,
    prompt_of,
    unloaded,
)
from pages._gen_examples import PROMPTS
from pages._gen_save import File

LARGE = "html { font-size: 125%; } .st-key-heatmap > * { min-width: 50rem !important; }"
SECTIONS: Mapping[Section, str] = {
    "next": "Token by token",
    "sample": "Samples",
    "compare": "Three models",
    "trigram": "Mark V Shaney",
    "units": "Characters",
    "surprise": "Surprise",
    "prompts": "Zero to few shots",
    "attention": "Attention",
}
DRAW: Mapping[Section, Callable[[viz.Theme], list[File]]] = {
    "next": _gen_next.draw,
    "sample": _gen_sample.draw,
    "compare": _gen_compare.draw,
    "trigram": _gen_trigram.draw,
    "units": _gen_units.draw,
    "surprise": _gen_surprise.draw,
    "prompts": _gen_prompts.draw,
}
"""All but the attention, which looks after its address and its files itself."""
OWN_TEXT: tuple[Section, ...] = ("trigram", "surprise", "prompts")
"""Sections that go by another text than the prompt."""
SHORTCUTS = """
| keys | what they do |
|---|---|
| Tab, Shift + Tab | from control to control, into the text, the tokens and the tree |
| ↑ ↓ | among tokens to the one above, below; in the tree to another branch |
| ← → | in the text from token to token; in the tree to the parent, the child |
| Enter or Space, click | take a token; go back to one |
| Home, End | first, last |
"""


def header(view: GenView) -> None:
    """What the page does, and what there is beside the box."""
    with st.container(horizontal=True, vertical_alignment="center", gap="small"):
        _pick_section(view)
        if not view.presenter:
            if view.section not in OWN_TEXT:
                with st.popover("Examples", icon=":material/lightbulb:"):
                    for number, example in enumerate(PROMPTS):
                        st.button(
                            _shared.literal(example.title),
                            key=f"gen example {number}",
                            help=_shared.literal(example.prompt) or None,
                            on_click=ask,
                            args=(example.prompt,),
                            width="stretch",
                        )
            with st.popover("Keyboard", icon=":material/keyboard:"):
                st.markdown(SHORTCUTS)
        st.toggle("Presenter", help="Larger type and fewer controls, for a projector", **VIEW.widget("presenter"))


def _pick_section(view: GenView) -> None:
    key = VIEW.key("section")
    st.session_state[key] = view.section
    st.segmented_control(
        "Do",
        list(SECTIONS),
        format_func=_title,
        required=True,
        label_visibility="collapsed",
        key=key,
        on_change=lambda: open_section(st.session_state[key]),
    )


def _title(section: Section) -> str:
    """What a section is called: three models ship, and one that was opened stands beside them."""
    return "Models compared" if section == "compare" and len(compared()) > 3 else SECTIONS[section]


def box(view: GenView) -> None:
    """The prompt."""
    state, prompt = st.session_state, prompt_of(view)
    if state.get("gen asked") != prompt or "gen box" not in state:
        state["gen box"] = state["gen asked"] = prompt
    with st.form("gen form", border=False), st.container(horizontal=True, vertical_alignment="bottom"):
        st.text_area(
            "Prompt",
            key="gen box",
            height=68 if view.presenter else 90,
            label_visibility="collapsed",
            placeholder="Type how a text begins; nothing is the beginning of a text",
        )
        st.form_submit_button("Go", type="primary", on_click=lambda: ask(state["gen box"]))


def page() -> None:
    """Draw the page."""
    with _shared.errors_as_sentences():
        problems = [*VIEW.arrive(complete), *unloaded()]
        problems = [*problems, *checked(VIEW.current()), *filter(None, [full()])]
        view = VIEW.current()
        if view.presenter:
            st.html(f"<style>{LARGE}</style>")
        st.title("Generate: what comes next?", anchor=False)
        header(view)
        for problem in problems:
            st.warning(_shared.literal(problem))
        if view.section not in OWN_TEXT:
            box(view)
        theme = _shared.theme()
        if view.section == "attention":
            _gen_attention.draw(theme)
            return
        files = DRAW[view.section](theme)
        VIEW.remember(model=card_of(VIEW.current()).identity)
        if not view.presenter:
            _gen_save.menu(lambda: _gen_save.draw(files))


page()
