"""The line diagram in the browser: what the component receives is the map, the tokens and the view."""

from __future__ import annotations

import json
from dataclasses import asdict, replace

import numpy as np
import pytest

from viz.components.lines import LinesView, lines_data
from viz.components.maps import MOST_WEIGHTS
from viz.components.packing import unpack
from viz.components.standalone import standalone_html
from viz.theme import DARK, HEAD_COLOURS, LIGHT

VIEW = LinesView(layer=1, heads=(0, 2), query=(3,), key=(), by="mass", mass=0.8)


@pytest.mark.parametrize("kind", ["encoder", "decoder", "cross"])
def test_the_weights_are_those_of_the_map(kind, request):
    attention = request.getfixturevalue(kind)
    header, arrays = unpack(lines_data(attention, VIEW))
    received = arrays["weights"].reshape(attention.weights.shape) / header["levels"]
    np.testing.assert_allclose(received, attention.weights, atol=0.5 / header["levels"] + 1e-7)
    assert (received[attention.weights == 0] == 0).all()
    assert header["layers"] == list(attention.layer_names)
    assert header["heads"] == list(attention.head_names)


def test_rows_are_named_by_the_token_predicted_and_titled_by_both(cross):
    header, _ = unpack(lines_data(cross, VIEW))
    assert [token["label"] for token in header["tokens"]["query"]] == list(cross.row_labels)
    assert header["tokens"]["query"][0]["title"] == "reads <s> → predicts L'animal"
    assert [token["special"] for token in header["tokens"]["key"]] == [False] * 4 + [True]
    assert header["headings"] == ["token predicted", "looks at source"]


def test_the_view_travels_and_comes_back(encoder):
    header, _ = unpack(lines_data(encoder, VIEW, start_id="7"))
    assert header["start_id"] == "7"
    assert LinesView.of(header["start"]) == VIEW
    assert LinesView.of(json.loads(json.dumps(asdict(VIEW)))) == VIEW


def test_a_large_map_sends_the_shown_layer_alone(make_map):
    labels = [f"t{i}" for i in range(300)]
    attention = make_map("encoder", labels, layers=8, heads=6)
    assert attention.weights.size > MOST_WEIGHTS
    header, arrays = unpack(lines_data(attention, replace(VIEW, layer=2), layer=5))
    assert (header["first_layer"], header["layers_sent"], len(header["layers"])) == (5, 1, 8)
    np.testing.assert_allclose(
        arrays["weights"].reshape(1, 6, 300, 300) / header["levels"], attention.weights[5:6], atol=0.5 / 255 + 1e-7
    )


def test_heads_have_the_colours_of_every_figure_and_a_reduced_one_the_accent(encoder):
    header, _ = unpack(lines_data(encoder, VIEW))
    assert header["colours"] == list(HEAD_COLOURS[:3])
    assert header["numbered"] == {"layers": True, "heads": True}
    mean = replace(encoder, weights=encoder.weights.mean(axis=1, keepdims=True), head_names=("mean of 3 heads",))
    header, _ = unpack(lines_data(mean, VIEW, theme=DARK))
    assert header["colours"] == [DARK.accent]
    assert header["numbered"]["heads"] is False


def test_heads_that_share_a_key_head_are_still_numbered_and_coloured_by_themselves(encoder):
    names = ("head 1 (key head 1)", "head 2 (key head 1)", "head 3 (key head 2)")
    header, _ = unpack(lines_data(replace(encoder, head_names=names), VIEW))
    assert header["heads"] == list(names) and header["numbered"]["heads"] is True
    assert header["colours"] == list(HEAD_COLOURS[:3])
    other = ("head 1 (key head 1)", "head 3 (key head 2)", "head 2 (key head 1)")
    assert unpack(lines_data(replace(encoder, head_names=other), VIEW))[0]["numbered"]["heads"] is False


def test_removed_mass_travels_as_it_is(encoder):
    removed = np.random.default_rng(0).random((2, 3, 5), dtype=np.float32)
    _, arrays = unpack(lines_data(encoder, VIEW, removed=removed))
    assert (arrays["removed"].reshape(removed.shape) == removed).all()


def test_a_page_of_its_own_holds_no_text_that_could_end_its_script(strange):
    text = "</script><script>alert(1)</script>"
    page = standalone_html("lines", lines_data(strange, VIEW), title=text, note=text, theme=LIGHT)
    assert page.count("<script") == page.count("</script>") == 2
    assert "alert(1)</script>" not in page
    assert "http://" not in page.replace("http://www.w3.org/", "")
    assert "https://" not in page


@pytest.mark.parametrize("component", ["lines", "grid", "playback"])
def test_every_component_has_the_function_that_its_own_page_calls(component, encoder):
    page = standalone_html(component, lines_data(encoder, VIEW), title="t", note="n", theme=LIGHT)
    assert "export default function render(" in page
    assert "\nrender({ data" in page
