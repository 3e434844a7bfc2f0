"""Uploaded attention in Streamlit's own test runner: files, the example, errors that leave what is shown."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import streamlit as st
from streamlit.testing.v1 import AppTest

from engine.uploads.files import read_upload
from pages import _own_upload
from pages._own_upload import EXAMPLE, EXPORT, MAPS, SIZE, TRACE
from viz.components.choices import percentage
from viz.components.packing import unpack

TOKENS = ["[CLS]", "the", "cat", "##s", "<b>&", "[SEP]"]
NOTES = "The file does not say what the last row predicts"


def section() -> None:
    import viz
    from pages import _own_upload, _shared

    with _shared.errors_as_sentences():
        _own_upload.draw(viz.THEMES["light"])


@pytest.fixture(autouse=True)
def caches() -> Iterator[None]:
    st.cache_resource.clear()
    yield
    st.cache_resource.clear()


def even(*shape: int, causal: bool = False) -> np.ndarray:
    """Each row looks at all that it may look at alike."""
    allowed = np.tri(*shape[-2:]) if causal else np.ones(shape[-2:])
    return np.broadcast_to(allowed / allowed.sum(-1, keepdims=True), shape).astype(np.float32)


def npz(**arrays: Any) -> bytes:
    file = io.BytesIO()
    np.savez(file, **arrays)
    return file.getvalue()


def opened(**state: Any) -> AppTest:
    page = AppTest.from_function(section, default_timeout=120)
    for name, value in state.items():
        page.session_state[name] = value
    return page.run()


def sound(page: AppTest) -> AppTest:
    assert not page.exception and not page.error and not page.warning
    return page


def upload(page: AppTest, *files: tuple[str, bytes]) -> AppTest:
    given = [(name, content, "application/octet-stream") for name, content in files]
    return page.file_uploader[0].set_value(given).run()


def received(page: AppTest, component: str) -> dict[str, Any]:
    """The header of what the one component of a kind is given."""
    (found,) = [e.proto for e in page.get("bidi_component") if e.proto.component_name == f"saccade_{component}"]
    return unpack(found.bytes)[0]


def said(elements: Any) -> str:
    return " ".join(element.value.replace("\\", "") for element in elements)


def choose(page: AppTest, key: str, option: str) -> AppTest:
    return page.segmented_control(key=key).set_value(option).run()


def views(page: AppTest) -> list[str]:
    return list(page.segmented_control(key="view").options)


def test_without_a_file_it_says_how_to_make_one():
    page = sound(opened())
    assert "nothing to look at yet" in said(page.info) and "np.savez" in page.code[0].value
    assert page.code[1].value.strip() == EXPORT.read_text("utf-8").strip()
    assert not page.get("bidi_component")


def test_an_encoders_maps_are_drawn_in_every_view():
    page = sound(upload(opened(), ("maps.npz", npz(encoder=even(2, 3, 6, 6), tokens=TOKENS))))
    lines = received(page, "lines")
    assert [token["label"] for token in lines["tokens"]["key"]] == ["[CLS]", "the", "cats", "<b>&", "[SEP]"]
    assert len(lines["layers"]) == 2 and len(lines["heads"]) == 3
    assert "“the cats <b>&” · uploaded@" in said(page.caption)
    assert "encoder: 2 layers × 3 heads, 6 × 6 tokens" in said(page.caption)
    assert views(page) == ["Lines", "All heads", "Heatmap"]
    page = sound(choose(page, "tokens", "pieces"))
    assert [token["label"] for token in received(page, "lines")["tokens"]["key"]][3] == "s"
    received(sound(choose(page, "view", "grid")), "grid")
    page = sound(choose(page, "view", "heatmap"))
    assert page.get("plotly_chart")


def test_a_decoders_maps_play_with_and_without_probabilities():
    maps = even(1, 2, 3, 3, causal=True)
    page = sound(upload(opened(), ("maps.npz", npz(decoder=maps, tokens=["a", "b", "c"]))))
    assert NOTES in said(page.caption) and "Playback" in views(page)
    assert received(sound(choose(page, "view", "playback")), "playback")["probabilities"] == [None, None, None]
    known = npz(decoder=maps, tokens=["a", "b", "c"], logprobs=np.log([0.5, 0.25, 1.0]))
    page = sound(upload(page, ("known.npz", known)))
    assert received(page, "playback")["probabilities"] == [0.5, 0.25, 1.0]


def test_a_file_that_cannot_be_used_leaves_what_is_shown():
    page = sound(upload(opened(), ("maps.npz", npz(encoder=even(6, 6), tokens=TOKENS))))
    before = page.session_state[TRACE]
    page = upload(page, ("wrong <b>.npz", npz(encoder=even(6, 6), tokens=TOKENS[:4])))
    assert "6 positions" in said(page.error) and "4 tokens" in said(page.error)
    assert page.session_state[TRACE] is before and received(page, "lines")
    page = upload(page, ("damaged.npz", npz(encoder=even(6, 6), tokens=TOKENS)[:-30]))
    assert "“damaged.npz” is cut off" in said(page.error) and received(page, "lines")
    page = sound(upload(page, ("maps.npz", npz(encoder=even(2, 2), tokens=["a", "b"]))))
    assert len(received(page, "lines")["tokens"]["key"]) == 2


def test_tokens_may_come_in_a_second_file():
    from safetensors.numpy import save

    maps = ("maps.safetensors", save({"encoder": even(1, 1, 2, 2)}))
    page = upload(opened(), maps)
    assert "“tokens” is missing" in said(page.error) and TRACE not in page.session_state
    page = sound(upload(page, maps, ("tokens.json", json.dumps({"tokens": ["a", "b"]}).encode())))
    assert page.session_state[TRACE].source.labels == ("a", "b")


def test_pins_and_layers_of_one_file_are_not_taken_over_by_another():
    page = sound(upload(opened(), ("one.npz", npz(encoder=even(4, 2, 3, 3), tokens=["a", "b", "c"]))))
    assert received(page, "lines")["start"]["layer"] == 3
    page = sound(upload(page, ("two.npz", npz(encoder=even(9, 2, 3, 3), tokens=["x", "y", "z"]))))
    assert received(page, "lines")["start"]["layer"] == 8


def test_taking_the_file_away_or_closing_it():
    page = sound(upload(opened(), ("maps.npz", npz(encoder=even(6, 6), tokens=TOKENS))))
    page = sound(page.file_uploader[0].clear().run())
    assert received(page, "lines")
    page = sound(next(button for button in page.button if button.label == "Close the file").click().run())
    assert TRACE not in page.session_state and not page.get("bidi_component")


@pytest.mark.parametrize("label", ["Close the file", "Try it with an example"])
def test_a_file_that_is_not_shown_is_not_listed(tiny_example, label):
    maps = ("maps.npz", npz(encoder=even(6, 6), tokens=TOKENS))
    page = sound(upload(opened(), maps))
    assert [file.name for file in page.file_uploader[0].value] == ["maps.npz"]
    page = sound(next(button for button in page.button if button.label == label).click().run())
    assert not page.file_uploader[0].value and (TRACE in page.session_state) == (label != "Close the file")
    page = sound(upload(page, maps))  # the same file again
    assert page.session_state[TRACE].source.labels[0] == TOKENS[0]


def test_only_names_that_repeat_are_numbered(monkeypatch):
    given = []
    monkeypatch.setattr(_own_upload, "read_upload", lambda files: given.append(list(files)) or read_upload(files))
    content = npz(encoder=even(6, 6), tokens=TOKENS)
    upload(opened(), *((name, content) for name in ("one.npz", "two.npz", "one.npz", "one.npz")))
    assert given == [["one.npz", "two.npz", "one.npz (2)", "one.npz (3)"]]


def test_the_example_is_an_upload_like_any_other(tiny_example):
    page = sound(opened())
    page = sound(next(button for button in page.button if "example" in button.label).click().run())
    trace = page.session_state[TRACE]
    assert trace.request == tiny_example.request and trace.request.text == EXAMPLE and set(trace.maps) == set(MAPS)
    assert page.segmented_control(key="map").options == list(MAPS.values())
    assert "Playback" in views(page)


@pytest.fixture
def tiny_example(monkeypatch):
    """The example of a file that is at hand: the page need not wait for a model."""
    n, m = 4, 3
    content = npz(
        encoder=even(2, 2, n, n), decoder=even(3, 2, m, m, causal=True), cross=even(3, 2, m, n),
        source=["The", "animal", "was", "</s>"], target=["<s>", "L'", "animal"], predicted=["L'", "animal", "</s>"],
        title=EXAMPLE,
    )  # fmt: skip
    monkeypatch.setattr(_own_upload, "example_file", lambda card: content)
    return read_upload({"example.npz": content})


def test_of_a_long_text_a_part_is_shown():
    content = npz(decoder=even(1, 2, 300, 300, causal=True), tokens=[f"t{i}" for i in range(300)])
    page = sound(choose(upload(opened(), ("long.npz", content)), "tokens", "pieces"))
    assert len(received(page, "lines")["tokens"]["key"]) == 256 and page.number_input[0].max == 45
    assert "256 × 256 of 300 × 300 tokens. What is outside takes 0" in said(page.caption)
    page = sound(page.number_input[0].set_value(45).run())
    labels = [token["label"] for token in received(page, "lines")["tokens"]["key"]]
    assert (labels[0], labels[-1]) == ("t44", "t299")
    mean = np.mean([44 / row for row in range(45, 301)])  # even attention to all tokens before
    assert f"outside takes {percentage(float(mean))} of each row" in said(page.caption)
    page = sound(page.segmented_control(key=SIZE).set_value(512).run())
    assert len(received(page, "lines")["tokens"]["key"]) == 300 and not page.number_input
    assert "A part:" not in said(page.caption)


def test_the_menu_says_that_a_link_has_no_file():
    page = sound(upload(opened(), ("maps.npz", npz(encoder=even(6, 6), tokens=TOKENS))))
    assert "A link cannot carry an uploaded file" in said(page.info)
    labels = {button.proto.label for button in page.get("download_button")}
    assert {"Shown map, CSV", "All maps, NPZ", "Figure, HTML", "Example file"} <= labels


def test_another_session_sees_nothing_of_it():
    sound(upload(opened(), ("maps.npz", npz(encoder=even(6, 6), tokens=TOKENS))))
    other = sound(opened())
    assert TRACE not in other.session_state and not other.get("bidi_component")
