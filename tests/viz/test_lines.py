"""The line diagram by its specification, and as the SVG that an export gives."""

from __future__ import annotations

import json
from collections.abc import Callable

import altair as alt
import numpy as np
import pytest
import vl_convert

from engine.types import AttentionMap
from viz import DARK, LIGHT, head_colour, lines
from viz.edges import strongest_edges
from viz.lines import CANVAS_FROM


def layer_data(chart: alt.LayerChart, mark: str) -> list[dict]:
    """The rows behind the layer with this mark (the last one, where two have it)."""
    spec = chart.to_dict()
    return spec["datasets"][_layer(spec, mark)["data"]["name"]]


def _layer(spec: dict, mark: str) -> dict:
    return [layer for layer in spec["layer"] if layer["mark"]["type"] == mark][-1]


def subtitle(chart: alt.LayerChart) -> str:
    return chart.to_dict()["title"]["subtitle"][0]


def test_one_line_per_weight_at_the_threshold(encoder: AttentionMap) -> None:
    rows = layer_data(lines(encoder, 1, threshold=0.1), "rule")
    weights = encoder.weights[1]
    assert len(rows) == (weights >= np.float32(0.1)).sum() > 0
    assert {(row["head"], row["query"], row["key"]) for row in rows} == {
        (f"head {head + 1}", query, key) for head, query, key in np.argwhere(weights >= np.float32(0.1)).tolist()
    }
    for row in rows:  # seven decimals are kept: half a unit of the last
        drawn = float(weights[int(row["head"].split()[1]) - 1, row["query"], row["key"]])
        assert row["weight"] == pytest.approx(drawn, abs=5.1e-8)


def test_a_weight_equal_to_the_threshold_is_drawn(make_map: Callable[..., AttentionMap]) -> None:
    uniform = make_map("encoder", ["a"] * 10, heads=1)
    weights = np.full((1, 1, 10, 10), 0.1, dtype=np.float32)
    uniform = AttentionMap("encoder", weights, uniform.query_tokens, uniform.key_tokens)
    assert len(layer_data(lines(uniform, 0, threshold=0.1), "rule")) == 100


def test_strong_lines_lie_on_top(encoder: AttentionMap) -> None:
    weights = [row["weight"] for row in layer_data(lines(encoder, 0), "rule")]
    assert weights == sorted(weights)


def test_masked_positions_never_give_lines(decoder: AttentionMap) -> None:
    rows = layer_data(lines(decoder, 0, threshold=0), "rule")
    assert len(rows) == 3 * 10  # three heads, lower triangle of 4 × 4
    assert all(row["key"] <= row["query"] for row in rows)


def test_a_weight_of_zero_gives_no_line(decoder: AttentionMap) -> None:
    weights = decoder.weights.copy()
    weights[0, 0, 3] = (1, 0, 0, 0)
    sparse = AttentionMap("decoder", weights, decoder.query_tokens, decoder.key_tokens, decoder.predicted_tokens)
    keys = [row["key"] for row in layer_data(lines(sparse, 0, [0], threshold=0), "rule") if row["query"] == 3]
    assert keys == [0]


def test_thickness_and_opacity_are_the_weight_on_a_fixed_scale(encoder: AttentionMap) -> None:
    encoding = _layer(lines(encoder, 0).to_dict(), "rule")["encoding"]
    for channel in ("strokeWidth", "strokeOpacity"):
        assert encoding[channel]["field"] == "weight"
        assert encoding[channel]["scale"]["domain"] == [0, 1]
        low, high = encoding[channel]["scale"]["range"]
        assert 0 < low < high


@pytest.mark.parametrize("heads", [None, [0], [2, 1], [9, 3, 17]])
def test_a_head_keeps_its_colour(heads: list[int] | None, make_map: Callable[..., AttentionMap]) -> None:
    chart = lines(make_map("encoder", ["a", "b", "c"], heads=20), 0, heads)
    encoding = _layer(chart.to_dict(), "rule")["encoding"]
    shown = sorted(range(20) if heads is None else heads)
    assert encoding["color"]["scale"]["domain"] == [f"head {head + 1}" for head in shown]
    assert encoding["color"]["scale"]["range"] == [head_colour(head) for head in shown]
    assert ("strokeDash" in encoding) == any(head >= 8 for head in shown)
    assert {row["head"] for row in layer_data(chart, "rule")} == {f"head {head + 1}" for head in shown}


def test_rows_are_named_by_kind(encoder: AttentionMap, decoder: AttentionMap, cross: AttentionMap) -> None:
    for attention in (encoder, decoder, cross):
        rows = layer_data(lines(attention, 0), "rect")
        for side, labels in (("query", attention.row_labels), ("key", attention.key_tokens.labels)):
            column = [row for row in rows if row["side"] == side]
            assert [row["label"] for row in column] == list(labels)
            assert [row["i"] for row in column] == list(range(len(labels)))
    assert cross.row_labels == ("L'animal", "était", "</s>")  # what is predicted
    title = next(row["title"] for row in layer_data(lines(cross, 0), "rect") if row["side"] == "query")
    assert title == "reads <s> → predicts L'animal"


def test_layers_and_heads_have_the_names_of_the_map(encoder: AttentionMap) -> None:
    named = AttentionMap(
        "encoder",
        encoder.weights[:1, :2],
        encoder.query_tokens,
        encoder.key_tokens,
        layer_names=("mean of 2 layers",),
        head_names=("mean of 2 heads", "maximum of 2 heads"),
    )
    chart = lines(named, 0, threshold=0)
    spec = chart.to_dict()
    assert spec["title"]["text"] == "Encoder attention, mean of 2 layers"
    assert _layer(spec, "rule")["encoding"]["color"]["scale"]["domain"] == list(named.head_names)
    rows = layer_data(chart, "rule")
    assert {row["head"] for row in rows} == set(named.head_names)
    assert all(f", {row['head']}, " in row["line"] for row in rows)


def test_tooltips(cross: AttentionMap, encoder: AttentionMap) -> None:
    row = layer_data(lines(cross, 1, [2], threshold=0), "rule")[-1]
    query, key = cross.row_labels[row["query"]], cross.key_tokens.labels[row["key"]]
    assert row["line"] == f"{query} → {key}, head 3, {cross.weights[1, 2, row['query'], row['key']]:.3f}"
    assert row["row"] == cross.row_title(row["query"])
    assert "row" not in layer_data(lines(encoder, 0), "rule")[0]


def test_special_tokens_are_muted_italics(encoder: AttentionMap) -> None:
    chart = lines(encoder, 0)
    special = [row["label"] for row in layer_data(chart, "text") if row["special"]]
    assert special == ["</s>", "</s>"]
    mark = _layer(chart.to_dict(), "text")["mark"]
    assert "italic" in mark["fontStyle"]["expr"] and LIGHT.muted in mark["color"]["expr"]


def test_any_token_survives_as_text(strange: AttentionMap) -> None:
    rows = layer_data(lines(strange, 0), "rect")[: len(strange.query_tokens)]
    assert [row["label"] for row in rows] == [
        "<s>", "<b>x</b>", "שלום", "👩🏽‍🚀", "e\u0301te\u0301", "$5$", "⏎", "␣", "same", "same", "antidisestabl…",
    ]  # fmt: skip
    assert rows[-1]["title"] == "antidisestablishment"
    assert rows[2]["title"] == "\u2068שלום\u2069"  # isolated: it must not turn "a → b" around


def test_the_strongest_are_kept_and_the_subtitle_says_so(encoder: AttentionMap) -> None:
    chart = lines(encoder, 0, threshold=0, max_lines=10)
    weights = np.sort(encoder.weights[0].ravel())
    assert [row["weight"] for row in layer_data(chart, "rule")] == pytest.approx(weights[-10:].tolist(), abs=5.1e-8)
    assert subtitle(chart).startswith("The 10 strongest of 75 lines with weight ≥ 0: ")
    assert subtitle(chart).endswith(f"{weights[-10:].sum() / weights.sum():.0%} of the attention")
    assert subtitle(lines(encoder, 0, threshold=0)) == "75 of 75 lines with weight ≥ 0: 100% of the attention"


def test_cap_and_canvas_on_a_large_map(make_map: Callable[..., AttentionMap]) -> None:
    large = make_map("encoder", ["a"] * 60, layers=1, heads=3)
    chart = lines(large, 0, threshold=0)
    assert len(layer_data(chart, "rule")) == 8_000 < 3 * 60 * 60
    assert chart.to_dict()["usermeta"]["embedOptions"]["renderer"] == "canvas"
    few = lines(large, 0, threshold=0, max_lines=CANVAS_FROM)
    assert few.to_dict()["usermeta"]["embedOptions"]["renderer"] == "svg"


def test_selections_belong_to_one_layer_each(encoder: AttentionMap) -> None:
    """Two selections on several layers would give a blank chart: Vega's "Duplicate signal name"."""
    chart = lines(encoder, 0)
    params = {param["name"]: param for param in chart.to_dict()["params"]}
    assert set(params) == {"shown", "token"} and all(len(param["views"]) == 1 for param in params.values())
    assert params["shown"]["value"] == [{"head": name} for name in ("head 1", "head 2", "head 3", "")]
    assert params["shown"]["select"]["toggle"] == "true"  # the first click takes a head out
    assert params["token"]["select"]["clear"] == "dblclick"
    signals = [signal["name"] for signal in vl_convert.vegalite_to_vega(chart.to_dict())["signals"]]
    assert len(signals) == len(set(signals))


def test_same_input_same_specification(encoder: AttentionMap) -> None:
    assert lines(encoder, 0).to_json() == lines(encoder, 0).to_json()


def test_json_round_trip(strange: AttentionMap) -> None:
    chart = lines(strange, 1, theme=DARK)
    assert alt.Chart.from_json(chart.to_json()).to_dict() == json.loads(chart.to_json())


@pytest.mark.parametrize("width", [None, 640, "container"])
def test_size(width: int | str | None, cross: AttentionMap) -> None:
    spec = lines(cross, 0, step=20, width=width).to_dict()
    assert spec["height"] == (5 + 1) * 20
    assert spec["width"] == width if width is not None else 300 < spec["width"] < 700


def test_svg_shows_every_label(cross: AttentionMap) -> None:
    svg = vl_convert.vegalite_to_svg(lines(cross, 0, threshold=0.1, theme=DARK).to_dict())
    for label in (
        *cross.row_labels[:2],
        *cross.key_tokens.labels[:4],
        "&lt;/s&gt;",
        "Cross attention, layer 1",
        "head 3",
    ):
        assert f">{label}</text>" in svg
    assert svg.count('aria-roledescription="rule mark"') == (cross.weights[0] >= np.float32(0.1)).sum()
    assert DARK.background in svg


def test_no_lines_and_no_heads_still_draw_the_tokens(encoder: AttentionMap) -> None:
    for chart in (lines(encoder, 0, []), lines(encoder, 0, threshold=1)):
        assert layer_data(chart, "rule") == []
        assert ">animal</text>" in vl_convert.vegalite_to_svg(chart.to_dict())


def test_hint_can_be_left_out(encoder: AttentionMap) -> None:
    assert len(lines(encoder, 0, hint=False).to_dict()["title"]["subtitle"]) == 1


@pytest.mark.parametrize("layer", [-1, 2, 7])
def test_missing_layer(layer: int, encoder: AttentionMap) -> None:
    with pytest.raises(IndexError, match=rf"layer {layer}: this map has layers 0 to 1"):
        lines(encoder, layer)


@pytest.mark.parametrize("head", [-1, 3])
def test_missing_head(head: int, encoder: AttentionMap) -> None:
    with pytest.raises(IndexError, match=rf"head {head}: this map has heads 0 to 2"):
        lines(encoder, 0, [0, head])


@pytest.mark.parametrize("threshold", [-0.1, 1.5, float("nan")])
def test_threshold_outside_the_range(threshold: float, encoder: AttentionMap) -> None:
    with pytest.raises(ValueError, match="between 0 and 1"):
        lines(encoder, 0, threshold=threshold)


def test_mass_counts_the_shown_heads_only(encoder: AttentionMap) -> None:
    edges = strongest_edges(encoder, 0, [1], threshold=0)
    assert edges.mass == pytest.approx(1.0) and set(edges.head.tolist()) == {1}
