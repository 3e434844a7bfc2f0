"""Word completion behind texts: suggestions, connected texts in windows, states, attention, other measures."""

from __future__ import annotations

import io
import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.attributions import attributions
from engine.catalogue import MODELS, ModelCard
from engine.characters import encode, fold
from engine.completion import LONGEST, TYPED, Completer, fold_checked, load_completer
from engine.completion_inside import attention, busiest_units, cell_record, mean_of
from engine.connected_files import COLUMNS, connected_csv, connected_npz
from engine.connectivity import connectivity
from engine.errors import EmptyInput, InputError, InputTooLong, Unsupported
from engine.models.autocomplete import Autocomplete, AutocompleteConfig
from engine.types import MASKED
from engine.windows import Window, windows

WORDS = ("the", "and", "old", "man", "sea", "then", "she", "a")
TEXT = "The old man and the sea"
FOLDED = " the old man and the sea"


def completer(cell: str, reach: int = 1000, words: tuple[str, ...] = WORDS) -> Completer:
    """A tiny network with random weights."""
    torch.manual_seed(3)
    config = AutocompleteConfig(
        cell, len(words), embedding=8, width=8, layers=2, heads=2, feedforward=16, max_length=64
    )
    model = Autocomplete(config).eval().requires_grad_(False)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter += 0.3 * torch.randn_like(parameter)
    card = replace(
        MODELS["autocomplete-gru"], name=f"tiny-{cell}", title=f"Word completion: Tiny {cell}", longest=reach
    )
    return Completer(card, model, words, "cpu")


# --- Windows ----------------------------------------------------------------------------------------------------------


def test_a_short_text_is_one_window():
    assert windows("abc", 10) == (Window(0, 0, 3),)
    assert windows("a" * 10, 10) == (Window(0, 0, 10),)


def test_windows_begin_at_a_word_in_their_first_half():
    text = " abc defg hi jklm"  # spaces at 0, 4, 9, 12
    assert windows(text, 8) == (Window(0, 0, 8), Window(4, 8, 12), Window(9, 12, 17))


def test_a_word_without_end_is_cut_in_halves():
    assert windows("a" * 20, 8) == (Window(0, 0, 8), Window(4, 8, 12), Window(8, 12, 16), Window(12, 16, 20))


@given(st.text(alphabet="ab ", min_size=1, max_size=80), st.integers(2, 30))
@settings(deadline=None)
def test_each_character_is_predicted_once_with_half_a_window_before_it(text, longest):
    found = windows(text, longest)
    predicted = [place for window in found for place in range(window.first, window.end)]
    assert predicted == list(range(len(text)))
    for window in found:
        assert window.end - window.start <= longest
        assert window.start == 0 or 0 < window.first - window.start <= longest // 2


# --- Texts that can be read -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("text", ["", "  \n", "\u200b"])
def test_empty_text_is_named(text):
    with pytest.raises(EmptyInput, match="Type"):
        fold_checked(text)


def test_text_without_letters_says_what_is_read():
    with pytest.raises(EmptyInput, match="a to z"):
        fold_checked("2026 — 漢字!")


@pytest.mark.parametrize("length", [LONGEST + 1, 100_000, 10_000_000])
def test_too_long_a_text_says_how_long_it_is(length):
    with pytest.raises(InputTooLong, match=f"{length:,} characters.*{LONGEST:,}"):
        fold_checked("a" * length)


def test_the_longest_text_and_the_shortest_are_read():
    assert len(fold_checked("a" * LONGEST)) == LONGEST + 1
    assert fold_checked("é").text == " e"


# --- Connected texts --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("cell", ["rnn", "gru", "lstm", "nlstm", "transformer"])
def test_a_connected_text_is_the_models_own_numbers(cell):
    network = completer(cell)
    found = network.read(TEXT)
    ids = encode(FOLDED)
    assert found.name == f"Tiny {cell}" and found.text == FOLDED and found.window == 0
    assert found.desired == found.targets == tuple(w for w in TEXT.lower().split() for _ in range(len(w) + 1))
    logits = network.model(torch.tensor([ids]))[0]
    shares = logits.softmax(-1)
    for place, said in enumerate(found.suggestions):
        assert [word for word, _ in said] == [WORDS[i] for i in logits[place].topk(3).indices]
        assert [share for _, share in said] == pytest.approx(shares[place].topk(3).values.tolist(), rel=1e-5)
    words = [WORDS.index(word) for word in found.targets]
    expected = connectivity(network.model, ids, words, "one-hot")
    np.testing.assert_array_equal(found.connectivity.values, expected.values)


def test_words_outside_the_vocabulary_and_unfinished_ones_have_no_row():
    found = completer("gru").read("the cat an")
    assert found.desired == ("the",) * 4 + ("",) * 7
    assert found.targets == found.desired
    assert found.connectivity.masked.tolist() == [False] * 4 + [True] * 7
    assert not found.connectivity.values[4:].any()


@pytest.mark.parametrize(("target", "rank"), [("first", 0), ("second", 1), ("third", 2)])
def test_a_suggestion_as_the_target(target, rank):
    found = completer("lstm").read(TEXT, target)
    assert found.targets == tuple(said[rank][0] for said in found.suggestions)
    assert found.desired != found.targets


def test_any_word_as_the_target_and_one_that_is_none():
    network = completer("gru")
    found = network.read(TEXT, "word", word="sea")
    assert set(found.targets) == {"sea"} and set(found.connectivity.words) == {WORDS.index("sea")}
    with pytest.raises(InputError, match="“whale” is not among the 8 words"):
        network.read(TEXT, "word", word="whale")


def test_progress_rises_to_one_and_what_it_raises_ends_the_work():
    shares: list[float] = []
    completer("gru").read(TEXT, report=shares.append)
    assert shares == sorted(shares) and shares[-1] == pytest.approx(1)

    def leave(share: float) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        completer("gru").read(TEXT, report=leave)


@pytest.mark.parametrize("cell", ["gru", "transformer"])
def test_the_memory_estimate_rises_with_the_text(cell):
    network = completer(cell, reach=50)
    found = [network.memory(length) for length in (10, 100, 1000)]
    assert found == sorted(found) and found[2] >= 1000 * 1000 * 16


def test_a_text_over_the_reach_is_read_in_windows():
    text = "the old man and the sea and then she and a man then"
    whole, network = fold(text).text, completer("transformer", reach=20)
    shares: list[float] = []
    found = network.read(text, "first", report=shares.append)
    assert found.window == 20 and len(found) == len(whole) > 40
    assert [found.first[w.first] for w in windows(whole, 20)] == [w.start for w in windows(whole, 20)]
    assert shares == sorted(shares) and shares[-1] == pytest.approx(1)
    values, relative = found.connectivity.values, found.connectivity.relative
    for window in windows(whole, 20):
        ids = encode(whole[window.start : window.end])
        logits = network.model(torch.tensor([ids]))[0]
        for place in range(window.first, window.end):
            row = place - window.start
            best = int(logits[row].argmax())
            assert found.suggestions[place][0][0] == WORDS[best] == found.targets[place]
            words = [MASKED] * len(ids)
            words[row] = best
            expected = connectivity(network.model, ids, words).values[row]
            np.testing.assert_allclose(values[place, window.start : window.end], expected, rtol=1e-4, atol=1e-7)
            assert not values[place, : window.start].any() and not values[place, place + 1 :].any()
    np.testing.assert_allclose(relative.max(1), 1.0)


def test_desired_is_the_default_and_masked_in_windows_too():
    network = completer("transformer", reach=12)
    found = network.read("the cat and the old man")
    assert found.targets == found.desired and "" in found.desired
    assert found.connectivity.masked.tolist() == [not word for word in found.targets]


def test_a_recurrent_network_reads_the_longest_text_at_once():
    for name, card in MODELS.items():
        if card.supports >= {"complete", "states"}:
            assert len(windows(fold_checked("a " * (LONGEST // 2)).text, card.longest)) == 1, name


def test_a_word_that_is_named_like_a_target_is_a_word():
    network = completer("gru", words=("first", "the", "old", "sea"))
    assert set(network.read(TEXT, "word", word="first").targets) == {"first"}


# --- While a text is typed --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "read", "start"), [("", " ", 1), ("the ", " the ", 5), ("the ol", " the ol", 5), ("Th", " th", 1)]
)
def test_a_completion_reads_to_the_end(text, read, start):
    network = completer("gru")
    found = network.complete(text)
    assert (found.text, found.start) == (read, start)
    logits = network.model(torch.tensor([encode(read)]))[0, -1]
    assert found.suggestions[0][0] == WORDS[int(logits.argmax())]
    assert found.influence.shape == (len(read),) and found.influence.max() == pytest.approx(1)


@pytest.mark.parametrize("text", ["word " * 100, "a" * 900, "ab " * 300 + "old"])
def test_a_long_text_is_completed_from_its_last_words(text):
    found = completer("lstm").complete(text)
    assert len(found.text) <= TYPED + 1 and found.text.startswith(" ")
    assert fold(text).text.endswith(found.text.lstrip(" "))


# --- Inside -----------------------------------------------------------------------------------------------------------


def test_states_and_gates_are_those_of_the_model():
    network = completer("lstm")
    record = cell_record(network, TEXT)
    expected = network.model.run_with_states(torch.tensor([encode(FOLDED)])).recording
    assert record.text == FOLDED
    assert [set(layer) for layer in record.states] == [{"hidden", "memory"}] * 2
    np.testing.assert_array_equal(record.gates[1]["forget"], expected.gates[1]["forget"][0].numpy())
    with pytest.raises(Unsupported):
        cell_record(completer("transformer"), TEXT)


def test_the_busiest_units_vary_most():
    values = np.array([[0.0, 5, 1], [0, -5, 2], [0, 5, 3]])
    assert busiest_units(values, 2) == (1, 2)
    assert busiest_units(values, 9) == (1, 2, 0)


def test_attention_is_the_mean_of_what_was_chosen():
    network = completer("transformer")
    maps = network.model.forward_with_maps(torch.tensor([encode(FOLDED)])).decoder[:, 0].numpy()
    np.testing.assert_allclose(attention(network, TEXT), maps.mean((0, 1)), rtol=1e-5)
    np.testing.assert_allclose(attention(network, TEXT, 1), maps[1].mean(0), rtol=1e-5)
    np.testing.assert_allclose(attention(network, TEXT, 0, 1), maps[0, 1], rtol=1e-5)
    with pytest.raises(InputError, match="no layer 3"):
        attention(network, TEXT, 2)
    with pytest.raises(Unsupported):
        attention(completer("gru"), TEXT)


def test_attention_in_windows_has_rows_that_sum_to_one():
    text = "the old man and the sea and then she and a man then"
    found = attention(completer("transformer", reach=16), text)
    np.testing.assert_allclose(found.sum(1), 1, rtol=1e-5)
    assert not np.triu(found, 1).any()


def test_the_mean_leaves_out_what_is_no_number():
    assert mean_of(np.array([1.0, np.nan, 2.0])) == 1.5
    assert mean_of(np.array([np.nan])) is None


# --- Other measures ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("cell", ["gru", "transformer"])
@pytest.mark.parametrize("baseline", ["zero", "mean"])
def test_integrated_gradients_add_up(cell, baseline):
    found = attributions(completer(cell), TEXT, 10, baseline=baseline, steps=200)
    assert found.word == "man" and found.text == FOLDED[:11]
    assert set(found.rows) == {"gradient", "gradient × input", "integrated gradients", "occlusion"}
    assert all(row.shape == (11,) for row in found.rows.values())
    assert found.rows["integrated gradients"].sum() == pytest.approx(found.change + found.error, abs=1e-5)
    assert abs(found.error) <= 1e-2 * max(1, abs(found.change))  # 200 steps of a smooth function


def test_the_gradient_row_is_the_connectivitys():
    network = completer("gru")
    found = attributions(network, TEXT, 10, steps=2)
    np.testing.assert_allclose(found.rows["gradient"], network.read(TEXT).connectivity.values[10, :11], rtol=1e-4)


def test_the_target_may_be_a_suggestion_or_a_word():
    network = completer("gru")
    best = network.read(TEXT).suggestions[10]
    assert attributions(network, TEXT, 10, "second", steps=1).word == best[1][0]
    assert attributions(network, TEXT, 10, "word", word="sea", steps=1).word == "sea"


def test_positions_and_words_that_cannot_be_measured():
    network = completer("gru")
    with pytest.raises(InputError, match="no character 99"):
        attributions(network, TEXT, 99)
    with pytest.raises(InputError, match="outside the vocabulary"):
        attributions(network, "the cat", 5)


# --- Files ------------------------------------------------------------------------------------------------------------


def test_csv_has_a_line_for_every_pair_up_to_the_output():
    found = completer("gru").read("the ca")
    lines = [line.split(",") for line in connected_csv([found]).splitlines()]
    assert tuple(lines[0]) == COLUMNS
    assert len(lines) - 1 == 1 + 2 + 3 + 4  # the rows of "the"; "ca" has none
    assert lines[4][:6] == ["Tiny gru", "2", "h", "the", "0", " "]
    assert np.float32(lines[4][6]) == found.connectivity.values[2, 0]


def test_npz_gives_the_matrices_back():
    found = completer("gru").read(TEXT)
    with np.load(io.BytesIO(connected_npz({"gru": found}))) as file:
        np.testing.assert_array_equal(file["gru.values"], found.connectivity.values)
        record = json.loads(str(file["record"]))
    assert record["gru"]["targets"] == list(found.targets) and record["gru"]["mode"] == "one-hot"


# --- The shipped ones -------------------------------------------------------------------------------------------------


def test_a_translator_is_no_completer():
    with pytest.raises(Unsupported, match=r"engine\.load"):
        load_completer("en-fr")


def test_every_network_ships_and_suggests():
    names = [name for name, card in MODELS.items() if card.family == "autocomplete"]
    assert len(names) == 5
    for name in names:
        network = load_completer(name, "cpu")
        assert isinstance(network.card, ModelCard) and len(network.words) == network.model.config.words == 4096
        said = [word for word, _ in network.complete("the old man looked at th").suggestions]
        assert "the" in said, name


@pytest.mark.parametrize("name", [name for name, card in MODELS.items() if card.family == "autocomplete"])
def test_on_the_shipped_weights_the_fast_path_is_one_backward_for_each_target(name):
    network = load_completer(name, "cpu")
    folded = fold("it was a dark and stormy night the rain fell in torrents")
    words = network.desired(folded)
    fast = connectivity(network.model, folded.ids, words)
    slow = connectivity(network.model, folded.ids, words, method="naive")
    worst = np.abs(fast.values - slow.values).max(1) / np.maximum(slow.peaks, 1e-300)
    assert worst.max() <= 1e-5  # sums of float32 in another order
    assert not np.triu(fast.values, 1).any()
