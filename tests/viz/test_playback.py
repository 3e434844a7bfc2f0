"""What the playback component receives: the maps as they are, the output's tokens, and what each step chose from."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from engine.types import AttentionMap, Kind
from viz.components.packing import unpack
from viz.components.playback import PlaybackView, playback_data
from viz.theme import DARK, head_colour

SOURCE = ("The", "<b>", "كلب", "🐶", "</s>")
OUTPUT = ("<s>", "Le", "<b>", "chien")
LOGPROBS = np.log(np.array([0.9, 0.5, 0.25, 0.004], dtype=np.float32))
ALTERNATIVES = (
    (("Le", float(LOGPROBS[0])), ("La", -3.0)),
    (("<i>", -0.6), ("<b>", float(LOGPROBS[1])), ("\n", -4.0), ("x", -5.0), ("y", -6.0)),
    (("chien", -0.2), ("chien", float(LOGPROBS[2]))),
    (("</s>", float(LOGPROBS[3])),),
)

Maps = dict[Kind, AttentionMap]


@pytest.fixture
def maps(make_map: Callable[..., AttentionMap]) -> Maps:
    return {
        "encoder": make_map("encoder", SOURCE, layers=3),
        "decoder": make_map("decoder", OUTPUT),
        "cross": make_map("cross", OUTPUT, SOURCE),
    }


def test_weights_arrive_within_half_a_step(maps: Maps) -> None:
    header, arrays = unpack(playback_data(maps, LOGPROBS, ALTERNATIVES, PlaybackView()))
    assert set(arrays) == set(maps)
    for kind, attention in maps.items():
        levels = header["maps"][kind]["levels"]
        shape = attention.weights.shape
        received = arrays[kind].reshape(shape).astype(np.float64) / levels
        assert np.abs(received - attention.weights).max() <= 0.5 / levels + 1e-7  # float32 beside float64
        described = header["maps"][kind]
        assert (len(described["layers"]), len(described["heads"]), described["queries"], described["keys"]) == shape
        assert described["colours"] == [head_colour(head) for head in range(3)]


def test_there_is_a_step_for_each_encoder_layer_and_each_token_written(maps: Maps) -> None:
    header, _ = unpack(playback_data(maps, LOGPROBS, ALTERNATIVES, PlaybackView()))
    assert len(header["maps"]["encoder"]["layers"]) == 3
    assert [token["label"] for token in header["output"]] == ["<s>", "Le", "<b>", "chien", "</s>"]
    assert header["output"][2]["title"] == "step 2: reads Le → predicts <b>"
    assert [token["label"] for token in header["source"]] == list(SOURCE)
    assert header["probabilities"] == pytest.approx([0.9, 0.5, 0.25, 0.004], abs=1e-6)  # rounded to 6 digits


def test_what_continues_a_text_has_no_output_of_its_own(maps: Maps) -> None:
    header, _ = unpack(playback_data(maps, LOGPROBS, (), PlaybackView()))
    assert header["written"] == "output" and header["title"].startswith("Translation")
    alone: Maps = {"decoder": replace(maps["decoder"], source_name="")}
    header, _ = unpack(playback_data(alone, LOGPROBS, (), PlaybackView()))
    assert header["written"] == "text" and header["title"].startswith("A text") and header["source"] == []


def test_alternatives_are_the_best_beside_the_token_chosen(maps: Maps) -> None:
    header, _ = unpack(playback_data(maps, LOGPROBS, ALTERNATIVES, PlaybackView()))
    labels = [[label for label, _ in step] for step in header["alternatives"]]
    assert labels == [["La"], ["<i>", "⏎", "x"], ["chien"], []]  # of two pieces called "chien" the one not chosen
    assert header["alternatives"][0][0][1] == pytest.approx(np.exp(-3.0), abs=1e-6)
    assert header["alternatives"][2][0][1] == pytest.approx(np.exp(-0.2), abs=1e-6)


def test_a_model_with_alignment_alone_has_decoding_steps_only(maps: Maps) -> None:
    header, arrays = unpack(playback_data({"cross": maps["cross"]}, LOGPROBS, (), PlaybackView()))
    assert set(header["maps"]) == set(arrays) == {"cross"}
    assert header["alternatives"] == []
    assert len(header["source"]) == len(SOURCE)


def test_heads_put_together_keep_their_name(maps: Maps) -> None:
    mean = maps["cross"].weights.mean(axis=1, keepdims=True)
    reduced = replace(maps["cross"], weights=mean, head_names=("mean of 3 heads",))
    header, _ = unpack(playback_data({"cross": reduced}, LOGPROBS, (), PlaybackView(), theme=DARK))
    assert header["maps"]["cross"]["heads"] == ["mean of 3 heads"]
    assert header["maps"]["cross"]["colours"] == [DARK.accent]


def test_what_cannot_be_played_is_refused(maps: Maps, encoder: AttentionMap, cross: AttentionMap) -> None:
    with pytest.raises(AssertionError, match="no decoder"):
        playback_data({"encoder": encoder}, LOGPROBS, (), PlaybackView())
    with pytest.raises(AssertionError, match="pieces"):
        playback_data({**maps, "cross": cross}, LOGPROBS, (), PlaybackView())


@pytest.mark.parametrize("view", [PlaybackView(), PlaybackView(4, None, 0.25), PlaybackView(2, 1)])
def test_a_view_comes_back_as_it_went(maps: Maps, view: PlaybackView) -> None:
    header, _ = unpack(playback_data(maps, LOGPROBS, ALTERNATIVES, view, start_id="a"))
    assert PlaybackView.of(header["start"]) == view
    assert header["start_id"] == "a"
