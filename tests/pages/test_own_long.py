"""The section "Long text" in Streamlit's own test runner: estimate, overview, heads, windows, files, bad input."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from functools import cache
from typing import Any

import pytest
import streamlit as st
import torch
from streamlit.testing.v1 import AppTest

from engine.catalogue import MODELS
from engine.cloze import Cloze
from engine.errors import InputError
from engine.generator import Generator
from engine.models.gpt import GPT, GPTConfig
from pages import _own_long, _own_window, _shared
from pages._own import OwnView
from pages._own_long import example, text_of
from pages._permalink import View
from tests.engine.generators import STORY, subwords, tiny_gpt
from tests.pages.cloze_page import address_of, small
from viz.components.packing import unpack

LENGTH = 300
LONG = " ".join([STORY] * 3)
KEY = "own long map"


@cache
def generator() -> Generator:
    """A small GPT that sees 300 tokens, its weights far enough from 0 for its heads to differ."""
    torch.manual_seed(3)
    config = GPTConfig(len(subwords()), width=32, heads=4, layers=2, feedforward=32, context=LENGTH)
    model = GPT(config).eval().requires_grad_(False)
    for parameter in model.parameters():
        parameter.add_(0.3 * torch.randn_like(parameter))
    return replace(tiny_gpt(), card=MODELS["gpt"], model=model, context=LENGTH)


def loaded(name: str, where: str = "cpu") -> Generator | Cloze:
    return generator() if name == "gpt" else small(name)


@pytest.fixture(scope="module", autouse=True)
def caches() -> Iterator[None]:
    """Pages load small models; what other tests left is not ours, and the other way round."""
    st.cache_resource.clear()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(_shared, "load_any", loaded)
        yield
    st.cache_resource.clear()


def page() -> None:
    """The section as its page draws it."""
    import streamlit as st

    from pages import _own_long, _shared
    from pages._own import VIEW, complete

    st.session_state["navigated"] = True
    with _shared.errors_as_sentences():
        for problem in VIEW.arrive(complete):
            st.warning(problem)
        _own_long.draw(_shared.theme())
        VIEW.remember()


def opened(**address: str) -> AppTest:
    app = AppTest.from_function(page, default_timeout=120)
    for name, value in {"model": "gpt", "section": "long", **address}.items():
        app.query_params[name] = value
    return app.run()


def computed(**address: str) -> AppTest:
    """The section with its overview."""
    app = opened(**address)
    wanted = [button for button in app.button if button.label == "Compute"]
    return sound(wanted[0].click().run() if wanted else app)


def sound(app: AppTest) -> AppTest:
    assert not app.exception and not app.error and not app.warning, (app.exception, app.error, app.warning)
    return app


def said(elements: Any) -> str:
    return " ".join(element.value.replace("\\", "") for element in elements)


def view(app: AppTest) -> OwnView:
    found: OwnView = app.session_state["own"]
    return found


def received(app: AppTest, component: str) -> list[dict[str, Any]]:
    """Headers of what the components of a kind are given."""
    protos = [element.proto for element in app.get("bidi_component")]
    return [unpack(one.bytes)[0] for one in protos if one.component_name == f"saccade_{component}"]


def windows(app: AppTest) -> list[str]:
    """The labels of the rows of the figure of the window."""
    (header,) = received(app, "lines")
    return [token["label"] for token in header["tokens"]["query"]]


def test_the_estimate_comes_first_and_nothing_is_computed() -> None:
    app = sound(opened(text=LONG[:200]))
    statement = said(app.markdown)
    assert re.search(r"\d+ tokens and 8 heads: all maps would take [\d.]+ k?M?B", statement)
    assert "at a time beside the model's own pass; about a second." in statement
    assert [button.label for button in app.button if button.label == "Compute"]
    assert not received(app, "grid") and not received(app, "lines")


def test_too_long_a_text_is_cut_and_said_to_be() -> None:
    app = sound(opened(text=LONG * 2))
    assert re.search(r"This text has \d[\d,]+ tokens and gpt takes 300 at most: it was cut at its end", said(app.info))
    assert re.search(r"\b(29\d|300) tokens and 8 heads", said(app.markdown))


def test_compute_shows_all_heads_one_near_and_a_window() -> None:
    app = computed(text=LONG)
    (grid,) = received(app, "grid")
    assert (len(grid["layers"]), len(grid["heads"]), list(grid["cells"])) == (2, 4, [64, 64])
    assert all(pattern for row in grid["patterns"] for pattern in row)
    chosen = view(app)
    assert (chosen.kind, [chosen.layer, chosen.head]) == ("decoder", list(grid["chosen"]))
    assert chosen.look.heads == (chosen.head,)
    assert len(windows(app)) <= 128
    assert f"The window**: In these rows head {chosen.head + 1} puts" in said(app.markdown)
    assert "its attention outside the window" in said(app.markdown) and "what lines are said to carry" in said(
        app.caption
    )
    assert len(app.get("plotly_chart")) == 1
    (lines,) = received(app, "lines")
    assert lines["layers"] == [f"layer {chosen.layer + 1}"] and len(lines["heads"]) == 4
    assert "Compute" not in [button.label for button in app.button]
    assert address_of(app)["layer"] == str(chosen.layer + 1)


def test_an_address_opens_head_and_window_again() -> None:
    app = computed(text=LONG, kind="decoder", layer="2", head="3", row="201", column="21", look="tokens.pieces")
    assert (view(app).layer, view(app).head, view(app).row, view(app).column) == (1, 2, 200, 20)
    assert received(app, "grid")[0]["chosen"] == [1, 2]
    whole = generator().whole(LONG)
    assert app.number_input(key="own row").value == 201 and app.number_input(key="own column").value == 21
    assert windows(app) == [whole.labels[place] for place in (*range(20, 84), *range(200, 264))]
    assert "two passages" in said(app.caption)


def test_a_window_can_be_typed() -> None:
    app = computed(text=LONG, layer="1", head="1", look="tokens.pieces")
    before = windows(app)
    app = sound(app.number_input(key="own row").set_value(150).run())
    app = sound(app.number_input(key="own column").set_value(140).run())
    assert (view(app).row, view(app).column) == (149, 139)
    assert windows(app) != before and len(windows(app)) == 128
    assert "two passages" not in said(app.caption)


class Event:
    """What the session holds after something was clicked."""

    def __init__(self, **values: Any) -> None:
        self.__dict__.update(values)


def test_a_click_on_the_map_moves_the_window(monkeypatch: pytest.MonkeyPatch) -> None:
    given: dict[str, Any] = {}
    monkeypatch.setattr(_own_window.st, "plotly_chart", lambda *figures, **more: given.update(more))
    app = computed(text=LONG, layer="1", head="1")
    assert given["key"] == KEY and given["selection_mode"] == "points"
    assert (view(app).row, view(app).column) == (0, 0)
    state: dict[str, Any] = {KEY: Event(selection=Event(points=[{"x": 40, "y": 240}]))}
    changed: dict[str, Any] = {}
    monkeypatch.setattr(_own_window, "VIEW", Event(current=OwnView, change=changed.update, touch=lambda: None))
    monkeypatch.setattr(_own_window.st, "session_state", state)
    given["on_select"]()
    assert (changed["row"], changed["column"]) == (239 - 32, 39 - 32)
    changed.clear()
    state[KEY].selection.points = []  # the same place again
    given["on_select"]()
    assert not changed


def test_a_head_that_is_picked_is_opened(monkeypatch: pytest.MonkeyPatch) -> None:
    given: dict[str, Any] = {}
    monkeypatch.setattr(_own_long, "grid", lambda data, **more: given.update(more))
    computed(text=LONG, layer="1", head="1")
    changed: dict[str, Any] = {}
    monkeypatch.setattr(_own_long, "VIEW", Event(current=OwnView, change=changed.update, touch=lambda: None))
    monkeypatch.setattr(_own_long.st, "session_state", {given["key"]: Event(picked={"layer": 1, "head": 2})})
    given["on_change"]()
    assert (changed["kind"], changed["layer"], changed["head"]) == ("decoder", 1, 2)
    assert (changed["look"].map, changed["look"].layer, changed["look"].heads) == ("decoder", 0, (2,))


def test_what_an_address_names_and_is_not_there_becomes_the_pages_own_choice() -> None:
    app = computed(text=LONG, kind="cross", layer="40", head="2")
    assert view(app).kind == "decoder" and 0 <= view(app).layer < 2
    app = computed(text=LONG, layer="1", head="1", row="9999", column="9999")
    assert len(windows(app)) > 20


def test_an_encoder_reads_in_both_directions() -> None:
    app = computed(model="bert", text="The old man sat by the river. The dog slept in the sun.")
    (grid,) = received(app, "grid")
    assert view(app).kind == "encoder" and grid["cells"][0] < 64


def test_a_window_of_the_whole_text_is_nowhere_in_particular() -> None:
    app = computed(text="The old man sat by the river.", layer="1", head="1", row="21", column="3")
    assert "The window** is the whole text" in said(app.markdown) and "outside the window" not in said(app.markdown)
    assert not app.number_input and "Click a place" not in said(app.caption)
    assert "cut out of those of the whole text" not in said(app.caption)
    assert not {"row", "column"} & set(address_of(app)) and (view(app).row, view(app).column) == (0, 0)


@pytest.mark.parametrize(
    ("look", "heads"),
    [
        (View(heads=(1, 3)), (1, 3)),
        (View(heads=()), (0, 1, 2, 3)),
        (View(), (0, 1, 2, 3)),
        (View(view="grid", heads=(1,)), (0, 1, 2, 3)),
        (View(over_heads="mean", heads=(0,)), (0, 1, 2, 3)),
        (View(view="heatmap", heads=(1, 3), other=(0, 2)), (1,)),
        (View(view="heatmap", heads=(1, 3), other=(0, 2), compare="pair"), (1, 2)),
        (View(view="heatmap", heads=(1,), other=(0, 1), compare="difference"), (1,)),
    ],
)
def test_what_is_outside_is_said_of_the_heads_that_are_shown(look: View, heads: tuple[int, ...]) -> None:
    assert _own_window.shown_heads(look, 4) == heads


def test_other_heads_put_another_share_outside() -> None:
    one = computed(text=LONG, layer="1", head="1", row="150", look="map.decoder~heads.1")
    two = computed(text=LONG, layer="1", head="1", row="150", look="map.decoder~heads.1.3")
    assert "In these rows head 1 puts" in said(one.markdown) and "In these rows 2 heads put" in said(two.markdown)


def test_of_a_large_layer_the_one_head_is_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("engine.long_text.detail.KEPT", 1)
    app = computed(text=LONG + " The end.", layer="2", head="3")
    (lines,) = received(app, "lines")
    assert lines["heads"] == ["head 3"] and view(app).look.heads == (0,)
    again = computed(text=LONG + " The end.", layer="2", head="4")
    assert received(again, "lines")[0]["heads"] == ["head 4"]


def test_a_presenter_has_the_figures_alone() -> None:
    app = computed(text=LONG, layer="1", head="1", presenter="1")
    assert received(app, "grid")[0]["scale"] == _own_window.PRESENTER
    assert not app.number_input and not app.caption


def test_another_text_asks_again() -> None:
    app = computed(text=LONG, layer="1", head="1", row="100")
    app.text_area(key="own long box").set_value("The cat sat on the mat.")
    app = sound(app.button(key="FormSubmitter:own long form-Read").click().run())
    assert view(app).text == "The cat sat on the mat." and view(app).row == 0
    assert [button.label for button in app.button if button.label == "Compute"]
    assert not received(app, "grid")


def test_an_empty_text_is_a_sentence() -> None:
    app = opened(text="  ")
    assert not app.exception and "Type a text" in said(app.error)


def test_text_files() -> None:
    assert text_of("\ufeffDie Fähre.".encode()) == "Die Fähre."
    with pytest.raises(InputError, match="no text in UTF-8"):
        text_of(b"\xff\xfe\x00")
    with pytest.raises(InputError, match="1,000,001 bytes"):
        text_of(b"a" * 1_000_001)


def test_the_example_is_a_long_text_of_our_own() -> None:
    assert 1_000 < len(example().split()) < 1_500 and example().startswith("The harbour of Lindry")
