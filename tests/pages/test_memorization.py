"""The Memorization page in Streamlit's own test runner: panels, sections, addresses, stopping, bad input."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import streamlit as st
from streamlit.testing.v1 import AppTest

from engine.catalogue import MODELS
from engine.completion import LONGEST, Completer, load_completer
from pages import _memo
from pages._memo import VIEW, MemoView
from viz.components.packing import unpack

ROOT = Path(__file__).parents[2]
TEXT = "the old man looked at the sea"
NETWORKS = [name for name, card in MODELS.items() if card.family == "autocomplete"]
TWO = "_".join(MODELS[name].identity for name in ("autocomplete-gru", "autocomplete-transformer"))
SECTIONS = ("matrix", "distance", "memory", "accuracy", "inside", "attention", "measures")


@pytest.fixture(scope="module", autouse=True)
def caches() -> Iterator[None]:
    """What other tests left is not ours, and the other way round."""
    st.cache_resource.clear()
    yield
    st.cache_resource.clear()


def opened(**address: str) -> AppTest:
    """The page at an address."""
    app = AppTest.from_file(str(ROOT / "app.py"), default_timeout=120).run()
    for name, value in address.items():
        app.query_params[name] = value
    return app.switch_page("pages/memorization.py").run()


def sound(page: AppTest) -> AppTest:
    """The page, that has nothing to complain about."""
    assert not page.exception and not page.error and not page.warning
    return page


def said(elements: Any) -> str:
    """Messages as a reader sees them."""
    return " ".join(element.value.replace("\\", "") for element in elements)


def panels(page: AppTest) -> list[tuple[dict[str, Any], dict[str, np.ndarray]]]:
    """Header and arrays of each panel."""
    protos = [element.proto for element in page.get("bidi_component")]
    return [unpack(one.bytes) for one in protos if one.component_name == "saccade_connectivity"]


def view(page: AppTest) -> MemoView:
    found: MemoView = page.session_state["memorization"]
    return found


def address_of(page: AppTest) -> dict[str, str]:
    return {name: text if isinstance(text, str) else text[0] for name, text in page.query_params.items()}


def test_the_first_view_has_a_panel_for_each_network():
    page = sound(opened())
    found = panels(page)
    assert [header["name"] for header, _ in found] == [MODELS[name].title.rpartition(": ")[2] for name in NETWORKS]
    assert [header["controls"] for header, _ in found] == [True, False, False, False, False]
    assert len({header["group"] for header, _ in found}) == 1
    for header, arrays in found:
        length = len(header["text"])
        assert header["text"].startswith(" it was a dark") and arrays["influence"].size == length * (length + 1) // 2


def test_a_text_is_asked_for_and_the_address_opens_it_again():
    page = opened(networks=TWO)
    page.text_area(key="memo box").set_value("The Sea, the séa!")
    page = sound(page.button(key="FormSubmitter:memo form-Show").click().run())
    assert [header["text"] for header, _ in panels(page)] == [" the sea the sea "] * 2
    assert "é → e" in said(page.caption)
    address = address_of(page)
    assert address["text"] == "The Sea, the séa!" and address["networks"] == TWO
    again = sound(opened(**address))
    for (_, one), (_, other) in zip(panels(again), panels(page), strict=True):
        np.testing.assert_array_equal(one["influence"], other["influence"])


@pytest.mark.parametrize("section", SECTIONS)
def test_every_section_is_drawn(section):
    page = sound(opened(text=TEXT, networks=TWO, section=section, position="12"))
    assert address_of(page)["position"] == "12"
    drawn = {"matrix": ["memo matrix"], "inside": ["memo states"]}.get(section, [])
    charts = {"distance": 1, "memory": 1, "accuracy": 1, "inside": 1, "attention": 2, "measures": 1}.get(section, 0)
    assert len(page.get("plotly_chart")) == len(drawn) and len(page.get("vega_lite_chart")) == charts
    assert len(panels(page)) == 2


@pytest.mark.parametrize("section", ["inside", "attention"])
def test_a_section_without_a_network_for_it_says_which(section):
    wrong = {"inside": "autocomplete-transformer", "attention": "autocomplete-gru"}[section]
    page = sound(opened(text=TEXT, networks=MODELS[wrong].identity, section=section))
    assert "Choose" in said(page.info)


def test_nothing_pinned_asks_for_a_pin_and_a_word_outside_for_another():
    page = sound(opened(text="the zyzzyva", networks=TWO, section="measures"))
    assert "Pin a character" in said(page.info)
    page = sound(opened(text="the zyzzyva", networks=TWO, section="measures", position="8"))
    assert "outside the vocabulary" in said(page.info)


def test_states_of_every_part_and_layer():
    gru = MODELS["autocomplete-gru"].identity
    for part, layer in (("hidden", "1"), ("update", "2"), ("candidate", "2")):
        page = sound(opened(text=TEXT, networks=gru, section="inside", part=part, layer=layer))
        assert f"layer {layer}: {part}" in page.get("plotly_chart")[0].proto.spec
    page = sound(opened(text=TEXT, networks=gru, section="inside", part="nonsense", layer="9"))
    assert panels(page)


@pytest.mark.parametrize("mode", ["one-hot", "embedding", "squared"])
@pytest.mark.parametrize("target", ["desired", "first", "third"])
def test_modes_and_targets_reach_the_network(mode, target):
    page = sound(opened(text=TEXT, networks=MODELS["autocomplete-gru"].identity, mode=mode, target=target))
    (header, arrays) = panels(page)[0]
    found = load_completer("autocomplete-gru", "cpu").read(TEXT, target, mode)  # type: ignore[arg-type]
    assert [header["words"][number] for number in arrays["targets"]] == list(found.targets)
    below = found.connectivity.relative[np.tril_indices(len(found))]
    np.testing.assert_allclose(arrays["influence"] / 255, np.abs(below), atol=0.5 / 255 + 1e-6)


def test_a_word_of_ones_own_and_none_and_one_that_is_not_there():
    page = sound(opened(text=TEXT, networks=TWO, target="word", word="sea"))
    assert {header["words"][number] for header, arrays in panels(page) for number in arrays["targets"]} == {"sea"}
    assert "Type the word" in said(opened(text=TEXT, networks=TWO, target="word").error)
    page = opened(text=TEXT, networks=TWO, target="word", word="zyzzyva")
    assert "“zyzzyva” is not among the 4,096 words" in said(page.error)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("12345 !!", "letters a to z"),
        ("a" * (LONGEST + 1), "Shorten it"),
        ("x" * 100_000, "100,000 characters"),
        ("   ", "Type at least one letter"),
    ],
)
def test_text_that_cannot_be_read_is_a_sentence_and_stays_in_the_box(text, message):
    page = opened(networks=TWO)
    page.text_area(key="memo box").set_value(text)
    page = page.button(key="FormSubmitter:memo form-Show").click().run()
    assert message in said(page.error) and not page.exception
    assert page.text_area(key="memo box").value == text


def test_one_character_is_enough():
    page = sound(opened(text="a", networks=TWO, section="distance"))
    assert [header["text"] for header, _ in panels(page)] == [" a"] * 2
    for section in SECTIONS:
        sound(opened(text="a", networks=TWO, section=section, position="2"))


def test_what_an_address_gets_wrong_is_named_and_the_rest_counts():
    page = opened(text=TEXT, networks="autocomplete-gru@00000000_nobody", mode="none", scaling="absolute", zebra="1")
    warned = said(page.warning)
    for part in ("nobody", "autocomplete-gru@00000000", "mode=none", "zebra"):
        assert part in warned
    assert view(page).scaling == "absolute"
    assert [header["name"] for header, _ in panels(page)] == ["GRU"]


def test_a_position_beyond_the_text_pins_nothing():
    page = sound(opened(text="the sea", networks=TWO, position="500"))
    assert all(header["start"] == {"position": -1, "pinned": False} for header, _ in panels(page))


def test_a_stopped_reading_keeps_what_is_there_and_goes_on(monkeypatch: pytest.MonkeyPatch):
    st.cache_resource.clear()
    page = sound(opened(text="a", networks=TWO))
    page.session_state["memorization"] = MemoView(networks=tuple(TWO.split("_")), text=TEXT)
    page.session_state["memo stopped"] = _memo.asked(page.session_state["memorization"])
    page.session_state["acted"] = True
    page = sound(page.run())
    assert not panels(page) and "Not read: GRU, Transformer" in said(page.info)
    page = sound(next(button for button in page.button if button.label == "Go on").click().run())
    assert len(panels(page)) == 2


def test_asked_again_nothing_is_computed(monkeypatch: pytest.MonkeyPatch):
    sound(opened(text=TEXT, networks=TWO))
    read: list[str] = []
    own = Completer.read
    monkeypatch.setattr(Completer, "read", lambda self, *a, **k: read.append(self.name) or own(self, *a, **k))
    sound(opened(text=TEXT, networks=TWO, section="distance"))
    assert read == []
    sound(opened(text=TEXT + "s", networks=TWO))
    assert read == ["GRU", "Transformer"]


def a_run(length: int = 4) -> bytes:
    """A file in the article's layout."""
    rows = [
        {
            "char": " abc"[place],
            "target": "abc",
            "predict": ["abc", "abd", "abe"],
            "probability": [0.5, 0.3, 0.1],
            "connectivity": [float(place + 1 - other) if other <= place else 0.0 for other in range(length)],
        }
        for place in range(length)
    ]
    return json.dumps(rows).encode()


def test_a_run_of_the_article_is_one_more_panel():
    page = opened(text=TEXT, networks=TWO)
    files = page.get("file_uploader")
    next(one for one in files if one.key == "memo files").upload("connectivity_gru.json", a_run(), "application/json")
    page = sound(page.run())
    found = panels(page)
    assert [header["name"] for header, _ in found] == ["GRU", "Transformer", "GRU, the article's"]
    assert found[2][0]["text"] == " abc" and found[2][0]["group"] != found[0][0]["group"]


def test_two_runs_of_one_name_are_two_panels_and_can_be_closed():
    page = opened(text=TEXT, networks=TWO)
    box = next(one for one in page.get("file_uploader") if one.key == "memo files")
    box.set_value([("gru.json", a_run(), "application/json"), ("connectivity_GRU.json", a_run(), "application/json")])
    page = sound(page.run())
    assert [header["name"] for header, _ in panels(page)][2:] == ["GRU, the article's", "GRU (2), the article's"]
    assert [header["controls"] for header, _ in panels(page)] == [True, False, True, False]
    page = sound(next(button for button in page.button if button.label == "Close these runs").click().run())
    assert len(panels(page)) == 2


def test_a_text_without_any_known_word_says_so():
    for section in ("distance", "memory"):
        page = sound(opened(text="zyzzyva", networks=TWO, section=section))
        assert "No word of this text" in said(page.info)


def test_a_file_that_is_no_run_is_named():
    page = opened(text=TEXT, networks=TWO)
    next(one for one in page.get("file_uploader") if one.key == "memo files").upload(
        "x.json", b"[1]", "application/json"
    )
    page = page.run()
    assert "x.json" in said(page.error) and len(panels(page)) == 2


def test_type_along_has_a_block_for_each_network_and_an_address():
    page = sound(opened(doing="type", text="the old m", networks=TWO))
    protos = [element.proto for element in page.get("bidi_component")]
    (header, _) = unpack(next(one.bytes for one in protos if one.component_name == "saccade_typing_along"))
    assert header["text"] == "the old m"
    assert [network["name"] for network in header["networks"]] == ["GRU", "Transformer"]
    assert address_of(page)["doing"] == "type"


def test_a_request_file_brings_the_view_back():
    long = (TEXT + " ") * 30
    asked = MemoView(text=long, networks=tuple(TWO.split("_")), section="distance")
    page = sound(opened(text=TEXT, networks=TWO))
    box = next(one for one in page.get("file_uploader") if one.key == "memo request file")
    box.upload("view.json", VIEW.codec.to_file(asked).encode(), "application/json")
    page = sound(page.run())
    assert view(page).text == long and view(page).section == "distance"
    assert panels(page)[0][0]["text"].startswith(" the old man")


def test_presenter_hides_what_a_projector_does_not_need():
    page = sound(opened(text=TEXT, networks=TWO, presenter="1"))
    assert not [one for one in page.get("popover")]
    assert panels(page)[0][0]["scale"] == _memo.PRESENTER
