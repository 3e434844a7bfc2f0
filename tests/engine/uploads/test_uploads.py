"""Uploaded attention: maps and tokens become a trace, exactly, and what does not fit is said with both numbers."""

from __future__ import annotations

import io
import json
import tracemalloc
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.numpy import save

from engine.errors import InputError
from engine.record import save_trace
from engine.uploads.files import can_play, read_upload, upload_bytes, upload_card
from engine.uploads.maps import maps_of
from engine.uploads.window import window_of
from tests.engine.uploads.made import attention, npz, read, refused

TOKENS = ["[CLS]", "the", "cat", "##s", "sat", "[SEP]"]
SOURCE = ["The", "cat", "</s>"]
READ = ["<s>", "Le", "▁chat", "▁dort"]
PREDICTED = ["▁Le", "▁chat", "▁dort", "</s>"]


def three(**more):
    """The arrays of a translation with unequal depths and head counts."""
    return {
        "encoder": attention(2, 3, 3, 3),
        "decoder": attention(4, 2, 4, 4, causal=True),
        "cross": attention(4, 5, 4, 3),
        "source": SOURCE,
        "target": READ,
        "predicted": PREDICTED,
        **more,
    }


# ---- maps ----


def test_an_encoders_maps_come_back_exactly():
    weights = attention(2, 3, 6, 6)
    trace = read(encoder=weights, tokens=TOKENS)
    (found,) = trace.maps.values()
    assert found.kind == "encoder" and found.weights.dtype == np.float32
    np.testing.assert_array_equal(found.weights, weights)
    assert found.source_name == "" and found.query_tokens is found.key_tokens is trace.source
    assert len(trace.read) == len(trace.predicted) == len(trace.token_logprobs) == 0
    assert trace.notes == () and not can_play(trace)


def test_three_kinds_share_their_texts():
    trace = read(**three())
    encoder, decoder, cross = (trace.maps[kind] for kind in ("encoder", "decoder", "cross"))
    assert encoder.key_tokens is cross.key_tokens is trace.source
    assert decoder.query_tokens is cross.query_tokens is trace.read
    assert cross.row_title(1) == "reads Le → predicts chat" and encoder.predicted_tokens is None
    assert {one.source_name for one in trace.maps.values()} == {"source"}
    assert trace.translation == "Le chat dort" and can_play(trace)
    assert not can_play(read(**three(cross=attention(3, 5, 4, 3))))


@pytest.mark.parametrize("dtype", ["<f2", ">f2", "<f4", ">f4", "<f8", ">f8"])
@pytest.mark.parametrize("order", ["C", "F"])
def test_any_float_of_either_byte_order_and_layout(dtype, order):
    weights = np.asarray(attention(2, 3, 6, 6), dtype=dtype, order=order)
    found = read(encoder=weights, tokens=TOKENS).maps["encoder"].weights
    assert found.dtype == np.float32 and found.dtype.isnative and found.flags.c_contiguous
    np.testing.assert_array_equal(found, weights.astype(np.float32))


def test_fewer_axes_and_a_batch_of_one():
    weights = attention(2, 3, 6, 6)
    expected = {
        (6, 6): weights[:1, :1], (3, 6, 6): weights[:1], (2, 3, 6, 6): weights, (2, 1, 3, 6, 6): weights,
    }  # fmt: skip
    for shape, whole in expected.items():
        given = whole.reshape(shape)
        np.testing.assert_array_equal(read(encoder=given, tokens=TOKENS).maps["encoder"].weights, whole)
    refused("“2 × 2 × 3 × 6 × 6”", "maps[:, 0]", encoder=np.stack([weights, weights], 1), tokens=TOKENS)


def test_layers_may_be_arrays_of_their_own():
    weights = attention(11, 2, 6, 6)
    layers = {f"encoder.{i}": layer for i, layer in reversed(list(enumerate(weights)))}
    np.testing.assert_array_equal(read(**layers, tokens=TOKENS).maps["encoder"].weights, weights)
    batches = {name: layer[None] for name, layer in layers.items()}
    np.testing.assert_array_equal(read(**batches, tokens=TOKENS).maps["encoder"].weights, weights)
    refused("“encoder.3”", **{k: v for k, v in layers.items() if k != "encoder.3"}, tokens=TOKENS)
    refused("“2 × 6 × 6”", "“1 × 6 × 6”", **{**layers, "encoder.4": weights[4, :1]}, tokens=TOKENS)
    refused("once", **layers, encoder=weights, tokens=TOKENS)


def test_safetensors_with_tokens_inside_or_beside():
    weights = attention(2, 3, 6, 6)
    inside = [
        save({"encoder": weights}, metadata={"json": json.dumps({"tokens": TOKENS, "title": "T"})}),
        save({"encoder": weights}, metadata={"tokens": json.dumps(TOKENS), "title": "T", "format": "np"}),
    ]
    beside = {
        "m.safetensors": save({"encoder": weights}),
        "tokens.json": json.dumps({"tokens": TOKENS, "title": "T"}).encode(),
    }
    for files in ({"m": inside[0]}, {"m": inside[1]}, beside, dict(reversed(beside.items()))):
        trace = read_upload(files)
        np.testing.assert_array_equal(trace.maps["encoder"].weights, weights)
        assert trace.request.text == "T" and trace.source.labels[2] == "cat" and trace.notes == ()


def test_bfloat16_is_widened():
    import torch
    from safetensors.torch import save as save_torch

    weights = torch.from_numpy(attention(1, 2, 6, 6)).bfloat16()
    trace = read_upload({"m": save_torch({"encoder": weights}, {"tokens": json.dumps(TOKENS)})})
    np.testing.assert_array_equal(trace.maps["encoder"].weights, weights.float().numpy())


def test_the_name_is_that_of_the_content():
    one = npz(encoder=attention(6, 6), tokens=TOKENS)
    first, again, other = (
        read_upload({n: c}).request.model
        for n, c in (("a", one), ("b", one), ("a", npz(encoder=attention(6, 6, seed=1), tokens=TOKENS)))
    )
    assert first == again != other and first.startswith("uploaded@") and len(first) == len("uploaded@") + 8
    trace = read_upload({"a": one})
    assert upload_card(trace).identity == trace.request.model and upload_card(trace).supports == {"encoder"}


# ---- rows ----


def test_rows_have_to_sum_to_one():
    weights = attention(2, 3, 6, 6)
    cut = weights.copy()
    cut[1, 2, 3] *= 0.5
    refused("Row 4", "layer 2, head 3", "0.5", '"rows": "free"', encoder=cut, tokens=TOKENS)
    trace = read(encoder=cut, tokens=TOKENS, rows="free")
    np.testing.assert_array_equal(trace.maps["encoder"].weights, cut)
    assert "0.5 to 1" in trace.notes[0] and "nothing was renormalised" in trace.notes[0]
    refused("“rows”", encoder=cut, tokens=TOKENS, rows="yes")


def test_half_precision_is_said_where_a_type_does_not_explain_it():
    weights = attention(2, 3, 6, 6)
    rough = (weights * 1.004).astype(np.float32)
    assert "half precision" in read(encoder=rough, tokens=TOKENS).notes[0]
    assert read(encoder=weights.astype(np.float16), tokens=TOKENS).notes == ()
    assert read(encoder=rough.clip(0, 1), tokens=TOKENS).maps["encoder"].weights.max() <= 1


def test_rows_of_zeros_are_named():
    weights = attention(2, 3, 6, 6)
    weights[:, :, 4:] = 0
    weights[0, 0, 1] = 0
    notes = read(encoder=weights, tokens=TOKENS).notes
    assert notes[0].startswith("Rows 5, 6 of the encoder map are all zeros") and "1 rows of single heads" in notes[1]


@pytest.mark.parametrize("wrong", [np.nan, np.inf, -np.inf])
def test_numbers_that_are_not_finite(wrong):
    weights = attention(2, 3, 6, 6)
    weights[1, 0, 2, 5] = wrong
    refused("not finite", "layer 2, head 1, row 3", encoder=weights, tokens=TOKENS)


def test_logits_and_dropout_are_no_attention():
    refused("softmax", encoder=attention(6, 6) * 3, tokens=TOKENS)
    refused("from -1.97 to", encoder=attention(6, 6) - 2, tokens=TOKENS)


def test_a_decoder_sees_nothing_later():
    causal = attention(2, 3, 6, 6, causal=True)
    leaked = causal.copy()
    leaked[0, 0, 0, 5] = 1e-8
    trace = read(decoder=leaked, tokens=TOKENS)
    np.testing.assert_array_equal(trace.maps["decoder"].weights, causal)
    assert "decoder" in trace.maps and can_play(trace)
    both = read(decoder=attention(2, 3, 6, 6), tokens=TOKENS)
    assert set(both.maps) == {"encoder"} and "looks at later tokens" in both.notes[0] and not can_play(both)
    assert read(decoder=attention(2, 3, 6, 6), target=TOKENS).source.labels == both.source.labels
    refused("later tokens", **three(decoder=attention(4, 2, 4, 4)))


@pytest.mark.parametrize("length", [2, 255, 256, 257, 600])
def test_a_long_decoder_map_is_causal_in_each_row(length):
    weights = np.tril(np.ones((2, 1, length, length), np.float32)) / np.arange(1, length + 1)[:, None]
    later = weights + np.triu(np.full(weights.shape, 1e-7), 1)
    found = maps_of({"decoder": later.astype(np.float32)})
    assert not found.forward and not found.weights["decoder"].flags.writeable
    np.testing.assert_array_equal(found.weights["decoder"], weights.astype(np.float32))
    for row in (0, length - 2):
        looks = weights.copy()
        looks[1, 0, row, [row, length - 1]] = looks[1, 0, row, row] / 2
        assert maps_of({"decoder": looks}).forward


@pytest.mark.parametrize("name", ["npz", "bfloat16"])
def test_an_upload_takes_little_more_memory_than_its_maps(name):
    """What is read, and the float32 maps: 2 + 4 bytes a weight, and 4 more where bfloat16 is widened."""
    tokens, cells = ["a"] * 1500, 1500**2
    weights = np.tri(1500, dtype=np.float32) / np.arange(1, 1501, dtype=np.float32)[:, None]
    if name == "npz":
        file = io.BytesIO()
        np.savez(file, decoder=weights.astype(np.float16), tokens=tokens)
        content, most = file.getvalue(), 7.5
    else:
        import torch
        from safetensors.torch import save as save_torch

        halves = torch.from_numpy(weights).bfloat16()
        content, most = save_torch({"decoder": halves}, {"tokens": json.dumps(tokens)}), 11.5
    read(content)
    tracemalloc.start()
    read(content)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < most * cells


# ---- numbers that do not fit ----


def test_both_numbers_are_named():
    refused("6 positions", "4 tokens", encoder=attention(6, 6), tokens=TOKENS[:4])
    refused("6 positions", "10,000 tokens", encoder=attention(6, 6), tokens=["a"] * 10_000)
    refused("6 rows and 5 columns", encoder=attention(6, 5), tokens=TOKENS)
    refused("4 rows", "3", **three(cross=attention(4, 5, 3, 3)))
    refused("3 columns", "2", **three(cross=attention(4, 5, 4, 2)))
    refused("4 rows", "2 log-probabilities", **three(logprobs=np.array([-0.1, -0.2])))
    refused("257 heads", "256", encoder=attention(257, 2, 2), tokens=["a", "b"])


def test_tokens_that_are_missing_or_doubled():
    refused("“tokens” is missing", encoder=attention(6, 6))
    refused("“source” is missing", cross=attention(4, 3), target=READ)
    refused("“target” is missing", cross=attention(4, 3), source=SOURCE)
    refused("does not say of which", **three(tokens=TOKENS))
    refused("give one of them", encoder=attention(6, 6), tokens=TOKENS, source=TOKENS)
    refused("no map", tokens=TOKENS)
    refused("empty", encoder=np.zeros((1, 1, 0, 0)), tokens=np.array([], dtype=str))
    refused("“attentions”", "Call the maps", attentions=attention(6, 6), tokens=TOKENS)
    refused("“arr_0”", arr_0=attention(6, 6), tokens=TOKENS)


# ---- what is said of the steps ----


def test_what_is_read_and_predicted_follow_from_each_other():
    trace = read(decoder=attention(4, 4, causal=True), tokens=READ)
    assert trace.read.labels == ("<s>", "Le", "chat", "dort")
    assert trace.predicted.labels == ("Le", "chat", "dort", "?") and "“?”" in trace.notes[0]
    assert np.isnan(trace.token_logprobs).all() and trace.maps["decoder"].source_name == ""
    words = read(cross=attention(3, 2), source=["Das", "Haus"], predicted=["the", "house", "."])
    assert words.read.labels == ("<s>", "the", "house") and words.read.special == (True, False, False)
    assert words.maps["cross"].row_labels == ("the", "house", ".") and words.notes == ()


def test_probabilities_and_alternatives():
    told = {"logprobs": [-0.5, None, 0, -2.0], "alternatives": [[["a", -0.5], ["b", -1.0]], [], [], []]}
    trace = read(**three(json=json.dumps(told)))
    np.testing.assert_array_equal(trace.token_logprobs, np.array([-0.5, np.nan, 0, -2], dtype=np.float32))
    assert trace.alternatives[0] == (("a", -0.5), ("b", -1.0)) and len(trace.alternatives) == 4
    refused("0 or less", **three(json=json.dumps({"logprobs": [0.5, 0, 0, 0]})))
    refused("0 or less", **three(json=json.dumps({"logprobs": ["a", 0, 0, 0]})))
    refused("alternatives", **three(json=json.dumps({"alternatives": [[1], [], [], []]})))
    for beyond in (10**400, -(10**400)):  # every float
        refused("0 or less", **three(json=json.dumps({"logprobs": [beyond, 0, 0, 0]})))
        refused("alternatives", **three(json=json.dumps({"alternatives": [[["a", beyond]], [], [], []]})))


def test_titles_and_texts_that_are_none():
    refused("The title", "leave it out", **three(json=json.dumps({"title": 3})))
    spans = {"tokens": ["a"], "spans": [[0, 1]], "text": 3}
    refused("“text” of the text", "leave it out", encoder=np.ones((1, 1)), json=json.dumps({"tokens": spans}))


def test_unknown_names_are_left_out_and_said():
    trace = read(encoder=attention(6, 6), json=json.dumps({"tokens": TOKENS, "model": "x", "predcited": []}))
    assert "“model”, “predcited”" in trace.notes[0]


# ---- files of Saccade ----


def test_what_saccade_saves_opens_too(tiny_runner):
    trace = tiny_runner.trace("The cat 🙂 didn't cross <b>the</b> street.", "Le chat n'a pas traversé la rue 🙂.")
    file = io.BytesIO()
    save_trace(trace, file)
    again = read(file.getvalue())
    assert again.request == replace(trace.request, model=again.request.model, target=None, max_length=0)
    assert again.notes == (f"Saved by Saccade from {trace.request.model}.",)
    assert again.alternatives == trace.alternatives and again.translation == trace.translation
    np.testing.assert_array_equal(again.token_logprobs, trace.token_logprobs)
    for name in ("source", "read", "predicted"):
        assert getattr(again, name) == replace(getattr(trace, name), ids=())
    for kind, whole in trace.maps.items():
        np.testing.assert_array_equal(again.maps[kind].weights, whole.weights)
        assert again.maps[kind].row_labels == whole.row_labels


def test_the_example_file_is_an_upload(tiny_runner):
    trace = tiny_runner.trace("The cat didn't cross the street.", "Le chat n'a pas traversé la rue.")
    again = read(upload_bytes(trace))
    assert again.source.labels == trace.source.labels and again.source.words == trace.source.words
    assert again.predicted == replace(trace.predicted, ids=()) and again.notes == ()
    for kind, whole in trace.maps.items():
        np.testing.assert_allclose(again.maps[kind].weights, whole.weights, atol=2**-11)  # float16


# ---- parts of long texts ----


@settings(max_examples=30, deadline=None)
@given(size=st.integers(1, 6), source=st.integers(0, 9), output=st.integers(0, 9))
def test_a_window_has_the_weights_of_its_tokens(size, source, output):
    trace = read(**three())
    window = window_of(trace, size, source, output)
    rows, columns = min(size, 4), min(size, 3)
    first, start = min(output, 4 - rows), min(source, 3 - columns)
    cross = trace.maps["cross"].weights[:, :, first : first + rows, start : start + columns]
    np.testing.assert_array_equal(window.trace.maps["cross"].weights, cross)
    assert window.outside["cross"] == pytest.approx(1 - cross.sum(-1).mean(), abs=1e-5)
    assert window.trace.read.labels == trace.read.labels[first : first + rows]
    assert window.trace.maps["cross"].predicted_tokens == window.trace.predicted
    assert len(window.trace.token_logprobs) == rows and not np.triu(window.trace.maps["decoder"].weights, 1).any()


def test_a_window_as_large_as_the_text_is_the_text():
    trace = read(**three())
    window = window_of(trace, 99)
    assert max(window.outside.values()) == pytest.approx(0, abs=1e-6)
    assert window.trace.source == trace.source and window.trace.predicted == trace.predicted


def test_two_files_of_maps_are_one_too_many():
    one = npz(encoder=attention(6, 6), tokens=TOKENS)
    with pytest.raises(InputError, match="2 files of maps and 0 of tokens"):
        read_upload({"a.npz": one, "b.npz": one})
    with pytest.raises(InputError, match=r"2 files of maps.*: take the others away"):
        read_upload({"a.npz": one, "b.npz": one, "tokens.json": b"{}"})
    with pytest.raises(InputError, match=r"0 files of maps and 1 of tokens.*: add the file of maps"):
        read_upload({"tokens.json": b'{"tokens": []}'})
    with pytest.raises(InputError, match="no file yet"):
        read_upload({})
