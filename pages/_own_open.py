"""Opening models: what one is and needs before it is loaded, those that are open, and what each page does with them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import streamlit as st

import viz
from engine.catalogue import Capability, ModelCard
from engine.errors import SaccadeError
from engine.huggingface.estimate import Estimate
from engine.huggingface.memory import shown_bytes
from engine.huggingface.source import Policy, listed
from engine.opened import STORE, Opened
from pages import _own_loading, _shared
from pages._address import IDENTITIES
from pages._cards import name_in
from pages._own import LINKED, NO_HEAD, VIEW, OwnView
from pages._own_loading import Looked

LOOKED, PROBLEM, BOX = "own looked", "own open problem", "own reference"  # in the session
ALLOW = """
Nothing may be opened here yet: whoever starts Saccade says what.

- folders on this machine: `saccade run --models ~/checkpoints`
- one model: `saccade run --model ~/checkpoints/bert-tiny`, or an id in place of the folder
- Hugging Face ids: `saccade run --allow google-bert/bert-base-uncased`, with `--downloads` where they are not on this
  machine yet

Attention that a notebook has saved needs none of this: open it under **Uploaded attention**.
"""
PLACES: Mapping[str, tuple[str, str, frozenset[Capability], str]] = {
    "translate": ("Translate", "translate", frozenset({"translate"}), "model"),
    "coreference": ("Coreference", "call_split", frozenset({"translate", "interventions"}), "model"),
    "beam": ("Beam search", "account_tree", frozenset({"search"}), "model"),
    "alignment": ("Alignment", "align_horizontal_left", frozenset({"translate"}), "models"),
    "generate": ("Generate", "edit_note", frozenset({"generate"}), "model"),
    "cloze": ("Cloze", "question_mark", frozenset({"cloze"}), "model"),
    "memorization": ("Memorization", "history", frozenset({"complete"}), "networks"),
}
"""Pages that show a model which can do something: title, icon, what it has to do, and the address's name for it."""
SECTIONS = {"attention": "Attention", "neurons": "Neurons", "long": "Long text"}
"""Sections of this page for a model that reads a text."""


def draw(theme: viz.Theme) -> None:
    """The section."""
    state = st.session_state
    if problem := state.pop(PROBLEM, None) or _own_loading.open_named():
        st.error(_shared.literal(problem))
    policy = Policy.from_environment()
    if policy.empty:
        st.info(ALLOW)
    else:
        _ask(policy)
    looked: Looked | None = state.get(LOOKED)
    if looked is not None:
        _card(looked)
    _list()


# ---- choosing one ----


def _ask(policy: Policy) -> None:
    state = st.session_state
    linked: OwnView | None = state.get(LINKED)
    if BOX not in state:
        state[BOX] = name_in(linked.model) if linked is not None else ""
    names = listed(policy)
    with st.container(horizontal=True, vertical_alignment="bottom"):
        with (
            st.form("own open", border=False, width="content"),
            st.container(horizontal=True, vertical_alignment="bottom"),
        ):
            st.text_input(
                "Hugging Face id or folder", key=BOX, placeholder="owner/name, or a folder's name or path", width=420
            )
            asked = st.form_submit_button("Look", type="primary", icon=":material/search:")
        if names:
            st.selectbox(
                f"What may be opened here ({len(names)})",
                names,
                index=None,
                key="own listed",
                placeholder="Choose one",
                width=360,
                on_change=_take_listed,
            )
    if policy.downloads:
        st.caption("What is not on this machine is downloaded first: safetensors, configuration and tokenizer alone.")
    place = st.empty()
    if asked or state.pop("own chosen", False):
        state.pop(LOOKED, None)
        try:
            state[LOOKED] = _own_loading.look(state[BOX], place)
        except SaccadeError as reason:
            st.error(_shared.literal(str(reason)))


def _take_listed() -> None:
    chosen = st.session_state["own listed"]
    if chosen:
        st.session_state[BOX], st.session_state["own chosen"] = chosen, True


# ---- before it is loaded ----


def _card(looked: Looked) -> None:
    """What a model is and needs, and the button that opens it."""
    found = looked.estimate
    with st.container(border=True, key="own estimate"):
        st.markdown(f"**{_shared.literal(looked.located.name)}**: {_shared.literal(found.architecture)}")
        with st.container(key="numbers"):
            st.table([facts(found)], hide_index=True)
        if found.problem:
            st.warning(_shared.literal(found.problem))
        st.caption(served(found.supports))
        place = st.empty()
        with st.container(horizontal=True):
            there = looked.located.name in STORE
            label = "Show" if there else "Open"
            opened = st.button(label, type="primary", icon=":material/deployed_code:", key="own open button")
            st.button("Another one", key="own another", on_click=lambda: st.session_state.pop(LOOKED, None))
        if there:
            st.caption("It is open already.")
        if opened:
            try:
                card = _own_loading.load(looked, place)
            except SaccadeError as reason:
                st.error(_shared.literal(str(reason)))
                return
            _show(card, lead_on=there)


def facts(found: Estimate) -> dict[str, str]:
    """The row of an estimate's table."""
    sizes = " · ".join(f"{kind} {found.layers[kind]} × {found.heads[kind]}" for kind in found.layers)
    shared = [kind for kind in found.layers if found.key_heads[kind] != found.heads[kind]]
    keys = " · ".join(f"{kind} {found.key_heads[kind]}" for kind in shared) or "one for each head"
    return {
        "parameters": f"{found.parameters:,}",
        "stored as": ", ".join(found.dtypes) + (f", {found.quantised}" if found.quantised else ""),
        "memory needed": shown_bytes(found.needed),
        f"memory there ({found.device})": shown_bytes(found.there),
        "layers × heads": sizes or "no attention",
        "key/value heads": keys,
        "tokens at once": f"{found.context:,}" if found.context else "no limit",
        "sliding window": f"{found.window:,} tokens, in some layers or all" if found.window else "none",
        "all maps of 100 tokens": shown_bytes(found.map_bytes(100)),
    }


def served(supports: frozenset[Capability]) -> str:
    """The sections of this page and the other pages that a model will be on."""
    here = [*SECTIONS.values()] if "read" in supports else []
    pages = [f"the page {title}" for title, _, needs, _ in PLACES.values() if needs <= supports]
    return f"What it will serve: {', '.join([*here, *pages])}."


def _show(card: ModelCard, *, lead_on: bool) -> None:
    """Begin with a model: here, in the menus of other pages, and in the link that asked for it.

    Args:
        card: of the model, which is open.
        lead_on: whether its attention is shown at once; of one that was just opened the list says first what it can do.
    """
    state = st.session_state
    state.pop(LOOKED, None)
    state["model"] = card.name
    linked: OwnView | None = state.pop(LINKED, None)
    if linked is not None and name_in(linked.model) == card.name:
        VIEW.change(**{name: getattr(linked, name) for name in VIEW.codec.forms} | {"model": card.identity})
    else:
        section = "attention" if lead_on and "read" in card.supports else "open"
        VIEW.change(model=card.identity, section=section, **NO_HEAD)
    VIEW.touch()
    st.rerun()


# ---- those that are open ----


def _list() -> None:
    """The models that are open, that of the view first, with what each page does with them."""
    own = VIEW.current().model
    there = sorted(STORE.opened(), key=lambda one: one.card.identity != own)
    if not there:
        st.caption("No model of your own is open yet. The models that ship can be looked at under Attention too.")
        return
    st.subheader("Open models", anchor=False)
    held, limit = STORE.held, STORE.limit
    st.progress(min(held / limit, 1.0), f"{shown_bytes(held)} of the {shown_bytes(limit)} that opened models may take")
    for one in there:
        _opened(one)
    st.caption(
        "Models are shared by all readers of this server. Where there is no room for another one, that which nobody "
        "has used for longest is dropped, never one in use; it is loaded again when it is asked for."
    )


def _opened(one: Opened) -> None:
    card = one.card
    with st.container(border=True, key=f"own model {card.name}"):
        with st.container(horizontal=True, vertical_alignment="center"):
            st.markdown(f"**{_shared.literal(card.title)}** · {_shared.literal(card.summary)}", width="stretch")
            st.button(
                "Unload", key=f"own unload {card.name}", on_click=unload, args=(card.name,), disabled=one.uses > 0
            )
        st.caption(_shared.literal(f"{shown_bytes(one.size)} · {state_of(one)} · {card.identity}"))
        for note in card.notes:
            st.caption(_shared.literal(note))
        with st.container(horizontal=True, vertical_alignment="center"):
            if "read" in card.supports:
                for section, title in SECTIONS.items():
                    st.button(
                        title,
                        key=f"own {section} {card.name}",
                        on_click=lambda section=section: VIEW.change(section=section, **_of(card)),
                    )
            for page, (title, icon, needs, parameter) in PLACES.items():
                if card.supports >= needs:
                    st.page_link(
                        f"pages/{page}.py",
                        label=title,
                        icon=f":material/{icon}:",
                        query_params={parameter: _named(card, parameter)},
                    )


def _of(card: ModelCard) -> dict[str, Any]:
    """The fields of a view that another model changes."""
    same = VIEW.current().model == card.identity
    return {"model": card.identity} | ({} if same else NO_HEAD)


def _named(card: ModelCard, parameter: str) -> str:
    """A model as an address names it; pages that compare some begin with this one and what they are about."""
    return card.identity if parameter == "model" else IDENTITIES.write((card.identity,))


def state_of(one: Opened) -> str:
    """Whether a model is in memory, in use, and since when nobody has used it."""
    if one.uses:
        return f"in use by {one.uses} computation{'s' if one.uses > 1 else ''}"
    since = f"last used {ago(one.idle)}"
    return since if one.loaded else f"dropped to make room, loaded again when it is used; {since}"


def ago(seconds: float) -> str:
    """A span that has passed, in the unit that fits: "just now", "5 minutes ago"."""
    for unit, size in (("day", 86_400), ("hour", 3_600), ("minute", 60)):
        if (count := int(seconds // size)) >= 1:
            return f"{count} {unit}{'s' if count > 1 else ''} ago"
    return "just now"


def unload(name: str) -> None:
    """Forget a model, unless it is in use; what was found out of it goes with it."""
    VIEW.change()
    try:
        STORE.unload(name)
    except SaccadeError as reason:
        st.session_state[PROBLEM] = str(reason)
