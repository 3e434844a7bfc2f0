"""A page's view between its runs: the address it came by, what the reader does, request files."""

from __future__ import annotations

import json
from typing import Any

import pytest
from streamlit.testing.v1 import AppTest

from pages import _address
from pages._session import PageView


def page() -> None:
    """A page as the test runner runs it, with two widgets and everything it said in the session."""
    from dataclasses import dataclass, replace

    import streamlit as st

    from pages._address import NUMBER, SWITCH, TEXT, Codec
    from pages._session import PageView

    @dataclass(frozen=True)
    class View:
        model: str = ""
        text: str = ""
        node: int = 0
        large: bool = False

    forms = {"model": TEXT, "text": TEXT, "node": NUMBER, "large": SWITCH}
    view = PageView(Codec("small", View(), forms, of_text=("text", "node")))

    def complete(found: View, addressed: bool) -> tuple[View, list[str]]:
        if found.text:
            return found, []
        return replace(found, text="an example"), ["No text in the address."] if addressed else []

    def opened() -> None:
        content = st.session_state["content"]
        try:
            view.open_file(content, complete)
        except ValueError as reason:
            st.session_state["refused"] = str(reason)

    card = st.session_state.get("card", "toy@12345678")
    st.session_state["said"] = view.arrive(complete)
    st.session_state["met"] = view.meet(card, node=0)
    shown = view.current()
    st.session_state["shown"] = (shown.text, shown.node, shown.large)
    st.toggle("large", **view.widget("large"))
    st.text_input("text", **view.widget("text"))
    st.button("next node", on_click=lambda: view.change(node=view.current().node + 1))
    st.button("example", on_click=lambda: view.open(View(text="an example of the menu", node=4)))
    st.button("open file", on_click=opened)
    st.button("nothing")
    st.session_state["arriving"] = view.arriving()
    st.session_state["epoch"] = view.epoch()
    if st.session_state.get("remembers", True):
        view.remember(model=card)


def opened(**address: str) -> AppTest:
    app = AppTest.from_function(page, default_timeout=30)
    app.session_state["navigated"] = True
    for name, value in address.items():
        app.query_params[name] = value
    app.run()
    assert not app.exception
    return app


def address_of(app: AppTest) -> dict[str, str]:
    return {name: text if isinstance(text, str) else text[0] for name, text in app.query_params.items()}


def replaced(app: AppTest, **address: str) -> AppTest:
    """The reader follows a link to the same page."""
    app.query_params.clear()
    for name, value in address.items():
        app.query_params[name] = value
    return app.run()


def click(app: AppTest, label: str) -> AppTest:
    next(button for button in app.button if button.label == label).click()
    app.run()
    assert not app.exception
    return app


def state(app: AppTest, name: str) -> Any:
    return app.session_state[name]


def test_without_an_address_a_page_opens_completed_and_says_nothing() -> None:
    app = opened()
    assert state(app, "shown") == ("an example", 0, False)
    assert state(app, "said") == []
    assert address_of(app) == {"model": "toy@12345678", "text": "an example"}


def test_an_address_is_taken_over_and_what_is_wrong_is_said_once() -> None:
    app = opened(node="3", large="perhaps", colour="red")
    assert state(app, "shown") == ("an example", 2, False)
    large, colour, text = state(app, "said")
    assert "large=perhaps" in large and "colour" in colour and text == "No text in the address."
    click(app, "nothing")
    assert state(app, "said") == []
    assert state(app, "shown") == ("an example", 2, False)
    assert address_of(app) == {"model": "toy@12345678", "text": "an example", "node": "3"}


def test_an_address_of_models_alone_is_nothing_to_be_said() -> None:
    app = opened(model="toy@12345678")
    assert state(app, "shown") == ("an example", 0, False) and state(app, "said") == []


def test_another_model_leaves_what_only_the_one_before_had() -> None:
    app = opened(text="one", node="2", model="toy@12345678")
    assert state(app, "met") == ""
    app.session_state["card"] = "other@12345678"
    epoch = state(app, "epoch")
    click(app, "nothing")
    assert state(app, "met") == "toy@12345678" and state(app, "shown") == ("one", 0, False)
    assert address_of(app) == {"model": "other@12345678", "text": "one"} and state(app, "epoch") != epoch
    click(app, "nothing")
    assert state(app, "met") == ""


def test_a_link_of_another_model_keeps_what_it_holds() -> None:
    app = opened(text="one", node="2", model="toy@12345678")
    app.session_state["card"] = "other@12345678"
    replaced(app, text="two", node="3", model="other@12345678")
    assert state(app, "met") == "" and state(app, "shown") == ("two", 2, False)


def test_a_widget_begins_with_what_the_view_holds_and_changes_it() -> None:
    app = opened(text="one", large="1")
    assert app.toggle[0].value and app.text_input[0].value == "one"
    app.toggle[0].set_value(False).run()
    app.text_input[0].set_value("two").run()
    assert state(app, "shown") == ("two", 0, False)
    assert address_of(app) == {"model": "toy@12345678", "text": "two"}
    click(app, "example")
    assert app.text_input[0].value == "an example of the menu"


def test_what_the_reader_did_counts_more_than_the_address_of_the_view_before() -> None:
    app = opened(text="one", node="2")
    app.query_params["node"] = "9"  # the browser has not replaced it yet
    click(app, "next node")
    assert state(app, "shown") == ("one", 2, False)
    assert address_of(app)["node"] == "3"


def test_a_run_without_an_address_leaves_the_session_as_it_is() -> None:
    app = opened(text="one", node="2")
    replaced(app)
    assert state(app, "shown") == ("one", 1, False) and state(app, "said") == []
    assert address_of(app) == {"model": "toy@12345678", "text": "one", "node": "2"}


def test_another_address_in_the_same_session_is_taken_over() -> None:
    app = click(opened(text="one", node="2"), "next node")
    replaced(app, text="two")
    assert state(app, "shown") == ("two", 0, False)  # nothing is left of the view before
    replaced(app, text="one", node="2")
    assert state(app, "shown") == ("one", 1, False)


def test_components_are_told_of_a_view_that_python_made_and_of_no_other() -> None:
    app = opened(text="one")
    first = state(app, "epoch")
    click(app, "nothing")
    click(app, "next node")
    assert state(app, "epoch") == first
    click(app, "example")
    assert state(app, "epoch") != first
    second = state(app, "epoch")
    replaced(app, text="two")
    assert state(app, "epoch") not in (first, second)


@pytest.mark.parametrize(
    ("parameters", "said"),
    [({"text": "of the file", "node": "5"}, 0), ({"text": "of the file", "node": "zero"}, 1), ({"node": "5"}, 1)],
)
def test_a_request_file_is_an_arrival_with_problems_or_without(parameters: dict[str, str], said: int) -> None:
    app = opened(text="one", node="2")
    epoch = state(app, "epoch")
    app.session_state["content"] = json.dumps({"saccade": 1, "page": "small", **parameters}).encode()
    click(app, "open file")
    text = parameters.get("text", "an example")
    node = 4 if parameters["node"] == "5" else 0
    assert state(app, "shown") == (text, node, False)
    assert len(state(app, "said")) == said
    assert not state(app, "arriving") and state(app, "epoch") != epoch
    assert address_of(app)["text"] == text
    click(app, "nothing")
    assert state(app, "said") == [] and state(app, "shown") == (text, node, False)


def test_a_request_file_counts_more_than_the_address_it_was_opened_at() -> None:
    app = opened(text="one", node="2")
    app.session_state["content"] = b'{"saccade": 1, "page": "small", "text": "of the file"}'
    app.query_params["node"] = "9"
    click(app, "open file")
    assert state(app, "shown") == ("of the file", 0, False)


def test_a_page_knows_that_a_request_file_is_still_to_be_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    """A part of a page that runs by itself does not ask for the address: it has to start the whole page again."""
    app = opened(text="one")
    monkeypatch.setattr(PageView, "arrive", lambda self, complete: [])
    app.session_state["content"] = b'{"saccade": 1, "page": "small", "text": "of the file"}'
    click(app, "open file")
    assert state(app, "arriving")  # without problems too
    monkeypatch.undo()
    click(app, "nothing")
    assert not state(app, "arriving") and state(app, "shown") == ("of the file", 0, False)


def test_a_file_of_another_page_changes_nothing() -> None:
    app = opened(text="one", node="2")
    app.session_state["content"] = b'{"saccade": 1, "page": "other", "text": "of the file"}'
    click(app, "open file")
    assert "page Other" in state(app, "refused")
    assert state(app, "shown") == ("one", 1, False) and state(app, "said") == []


def test_a_text_too_long_for_an_address_leaves_the_rest_and_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    app = opened(text="one", node="2", large="1")
    monkeypatch.setattr(_address, "LONGEST_ADDRESS", 30)
    app.text_input[0].set_value("a text that is longer than that").run()
    assert address_of(app) == {"model": "toy@12345678", "large": "1"}
    assert "request file" in app.info[0].value
    click(app, "nothing")
    assert state(app, "shown") == ("a text that is longer than that", 1, True)  # the short address is no new view


def test_an_act_of_a_run_that_failed_is_not_forgotten_at_once() -> None:
    app = opened(text="one", node="2")
    app.session_state["remembers"] = False
    click(app, "next node")
    click(app, "nothing")
    assert state(app, "shown") == ("one", 2, False)
    app.session_state["remembers"] = True
    click(app, "nothing")
    assert address_of(app)["node"] == "3"
