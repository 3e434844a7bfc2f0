"""Gradients are not called attention, in any figure that draws them, and attention is called what it was."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

import viz
from engine.analysis import merge_words
from engine.reduce import hide
from engine.types import AttentionMap, Measure
from viz.axes import headings, kind_title
from viz.components.lines import LinesView, lines_data
from viz.components.packing import unpack
from viz.wording import WORDINGS, wording

MEASURES: tuple[Measure, ...] = ("gradient", "squared gradient")
VIEW = LinesView(heads=(0,))


def gradients(make_map: Callable[..., AttentionMap], kind: str, measure: Measure = "gradient") -> AttentionMap:
    made = make_map(kind, ["<s>", "Le", "chat"], ["<s>", "Le", "chat"], layers=1, heads=1)
    rows = made.weights / made.weights.max(axis=-1, keepdims=True)
    return replace(made, weights=rows, measure=measure, layer_names=("whole model",), head_names=("one-hot norm",))


@pytest.mark.parametrize("measure", MEASURES)
@pytest.mark.parametrize("kind", ["cross", "decoder"])
def test_no_figure_calls_gradients_attention(make_map, kind, measure):
    made = gradients(make_map, kind, measure)
    header, _ = unpack(lines_data(made, VIEW, file_name="x"))
    texts = [viz.heatmap(made, 0, 0).to_json(), json.dumps(viz.lines(made, 0).to_dict()), json.dumps(header)]
    head = viz.HeadOf(made, 0, 0)
    texts += [viz.heatmap_pair(head, head).to_json(), viz.heatmap_difference(head, head).to_json()]
    for text in texts:
        assert "gradient" in text
        assert "attention" not in text.lower() and "looks at" not in text and "weight ≥" not in text
    assert ("cannot depend on" in texts[0]) == (kind == "decoder")  # of its masked cells


def test_attention_is_called_what_it_was(make_map):
    made = make_map("decoder", ["<s>", "Le", "chat"])
    assert kind_title(made) == "Decoder attention" and wording(made).rows == wording(made).columns == "sum"
    text = viz.heatmap(made, 0, 0).to_json()
    assert "attention weight" in text and "looks at" in text and "may not look at" in text and "gradient" not in text
    assert "of the attention" in json.dumps(viz.lines(made, 0).to_dict(), ensure_ascii=False)


def test_an_encoder_that_reads_the_only_text_has_no_source(make_map):
    made = make_map("encoder", ["[CLS]", "a", "[SEP]"])
    assert headings(made) == ("source token", "looks at source")
    alone = replace(made, source_name="")
    assert headings(alone) == headings(merge_words(alone)) == ("token", "looks at token")


def test_what_continues_a_text_looks_at_the_text(make_map):
    """A prompt is no output, and there is nothing else to read."""
    alone = replace(make_map("decoder", ["<s>", "a", "b"]), source_name="")
    assert headings(alone) == headings(merge_words(alone)) == ("token read", "looks at text so far")
    moved = replace(gradients(make_map, "decoder"), source_name="")
    assert headings(moved) == ("token predicted", "moved by text so far")


def test_rows_of_gradients_are_named_by_what_they_predict(make_map):
    made = gradients(make_map, "decoder")
    assert headings(made) == ("token predicted", "moved by output so far")
    assert headings(gradients(make_map, "cross")) == ("token predicted", "moved by source")
    assert made.row_labels == ("Le", "chat", "</s>")
    assert replace(made, measure="attention").row_labels == ("<s>", "Le", "chat")
    header, _ = unpack(lines_data(made, VIEW))
    assert header["tokens"]["query"][1]["title"] == "reads Le → predicts chat"


def test_a_row_of_gradients_has_read_what_stands_before_it(make_map):
    """What it predicts is one column further, with <s> or without; where <s> is hidden, its own is masked."""
    made = gradients(make_map, "decoder")
    np.testing.assert_array_equal(made.masked(), np.triu(np.ones((3, 3), dtype=bool), 1))
    without = replace(make_map("decoder", ["Le", "chat"]), measure="gradient")
    np.testing.assert_array_equal(without.masked(), np.triu(np.ones((2, 2), dtype=bool), 1))
    hidden = hide(made, special=True, first=False, renormalise=False).attention
    np.testing.assert_array_equal(hidden.masked(), np.triu(np.ones(hidden.weights.shape[2:], dtype=bool), 0))
    assert not gradients(make_map, "cross").masked().any()


def test_attention_and_gradients_are_not_subtracted(make_map):
    one = gradients(make_map, "cross")
    with pytest.raises(ValueError, match="no like numbers"):
        viz.heatmap_difference(viz.HeadOf(one, 0, 0), viz.HeadOf(replace(one, measure="attention"), 0, 0))


def test_columns_of_norms_and_of_squares_are_put_together_as_words_are():
    assert (WORDINGS["gradient"].columns, WORDINGS["squared gradient"].columns) == ("norm", "sum")
    assert {WORDINGS[measure].rows for measure in MEASURES} == {"max"}
