"""Greedy search over a scripted model: where it ends, what it never says, and that neighbours change nothing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from engine.decoding import search
from engine.decoding.search import Vocabulary, greedy, greedy_many, pad_rows
from engine.text import END, PAD, START, UNKNOWN

SIZE = 12  # of the vocabulary; 4 to 11 are words
WORDS = Vocabulary(PAD, START, END)
CAREFUL = Vocabulary(PAD, START, END, banned=(PAD, UNKNOWN, START))
BEST, SECOND, REST = -0.1, -3.0, -9.0  # log-probabilities, only their order matters

scripts = st.lists(st.integers(END, SIZE - 1), max_size=8)


@dataclass(frozen=True)
class Places:
    """A state: each row's script and what the row has read."""

    scripts: tuple[tuple[int, ...], ...]
    read: tuple[tuple[int, ...], ...]

    def select(self, rows: Tensor) -> Places:
        chosen = rows.tolist()
        return Places(tuple(self.scripts[i] for i in chosen), tuple(self.read[i] for i in chosen))


class Scripted:
    """A model that wants to say its source: each step's best token is the source's next one, then </s>.

    The second best is always 4, the third 5. It keeps what it was asked, for the tests only.
    """

    def __init__(self) -> None:
        self.batches: list[list[list[int]]] = []
        self.steps = 0
        self.last: Places | None = None

    def encode(self, source: Tensor) -> Places:
        rows = source.tolist()
        self.batches.append(rows)
        said = tuple(tuple(row[: row.index(END) + 1] if END in row else (*row, END)) for row in rows)
        return Places(said, ((),) * len(rows))

    def step(self, state: Places, tokens: Tensor) -> tuple[Tensor, Places]:
        assert len(tokens) == len(state.scripts)
        self.steps += 1
        read = tuple((*before, token) for before, token in zip(state.read, tokens.tolist(), strict=True))
        logprobs = torch.full((len(tokens), SIZE), REST)
        logprobs[:, 5], logprobs[:, 4] = SECOND - 1, SECOND
        for row, script in enumerate(state.scripts):
            place = len(state.read[row])
            logprobs[row, script[place] if place < len(script) else END] = BEST
        self.last = Places(state.scripts, read)
        return logprobs, self.last


def say(sources: Sequence[Sequence[int]], vocabulary: Vocabulary = WORDS, limit: int = 20) -> list[list[int]]:
    return greedy(Scripted(), pad_rows([[*source, END] for source in sources], PAD, "cpu"), vocabulary, limit)


def until_end(script: Sequence[int], limit: int) -> list[int]:
    said = [*script, END]
    return said[: said.index(END) + 1][:limit]


def test_a_search_says_the_best_token_at_each_step_and_ends_with_the_end():
    assert say([[7, 8, 9]]) == [[7, 8, 9, END]]
    assert say([[]]) == [[END]]


def test_a_search_reads_the_start_and_then_its_own_words():
    model = Scripted()
    greedy(model, torch.tensor([[7, 8, END]]), WORDS, 20)
    assert model.last is not None
    assert model.last.read == ((START, 7, 8),)
    assert model.steps == 3


@pytest.mark.parametrize(("limit", "expected"), [(0, []), (1, [7]), (3, [7, 8, 9]), (4, [7, 8, 9, END])])
def test_the_limit_counts_the_end_token_and_cuts_without_it(limit, expected):
    assert say([[7, 8, 9]], limit=limit) == [expected]


def test_banned_tokens_give_way_to_the_next_best():
    assert say([[7, UNKNOWN, START, 8]], CAREFUL) == [[7, 4, 4, 8, END]]
    assert say([[7, UNKNOWN, 8]]) == [[7, UNKNOWN, 8, END]]
    assert say([[7, 8]], Vocabulary(PAD, START, END, banned=(7, 4))) == [[5, 8, END]]


def test_what_was_said_instead_of_a_banned_token_is_what_the_next_step_reads():
    model = Scripted()
    greedy(model, torch.tensor([[UNKNOWN, 8, END]]), CAREFUL, 20)
    assert model.last is not None and model.last.read == ((START, 4, 8),)


def test_rows_that_ended_leave_the_batch():
    model = Scripted()
    sources = pad_rows([[7, END], [7, 8, 9, END], [END]], PAD, "cpu")
    assert greedy(model, sources, WORDS, 20) == [[7, END], [7, 8, 9, END], [END]]
    assert model.last is not None and len(model.last.read) == 1
    assert model.steps == 4


def test_ties_go_to_the_same_token_alone_and_in_a_batch():
    class Undecided(Scripted):
        def step(self, state: Places, tokens: Tensor) -> tuple[Tensor, Places]:
            logprobs, after = super().step(state, tokens)
            return torch.where(torch.arange(SIZE) == END, -5.0, torch.full_like(logprobs, -1.0)), after

    alone = greedy(Undecided(), torch.tensor([[7, END]]), CAREFUL, 3)
    assert greedy(Undecided(), torch.tensor([[7, END]] * 5), CAREFUL, 3) == alone * 5


@settings(max_examples=200, deadline=None)
@given(st.lists(scripts, min_size=1, max_size=6), st.integers(0, 10), st.randoms(use_true_random=False))
def test_a_batch_gives_what_each_gives_alone_in_any_order(sources, limit, random):
    expected = [until_end(source, limit) for source in sources]
    assert say(sources, limit=limit) == expected
    order = random.sample(range(len(sources)), len(sources))
    assert say([sources[i] for i in order], limit=limit) == [expected[i] for i in order]
    assert [say([source], limit=limit)[0] for source in sources] == expected


# --- Many sources -----------------------------------------------------------------------------------------------------


@settings(max_examples=200, deadline=None)
@given(st.lists(st.lists(st.integers(4, SIZE - 1), max_size=9), max_size=30), st.sampled_from([1, 7, 30, 2048]))
def test_many_sources_come_back_in_order_and_are_all_reported(sources, budget):
    model, reported = Scripted(), []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(search, "BATCH_TOKENS", budget)
        outputs = greedy_many(model, [[*s, END] for s in sources], CAREFUL, 20, "cpu", reported.append)
    assert outputs == [[*source, END] for source in sources]
    assert sum(reported) == len(sources)
    assert reported == [len(batch) for batch in model.batches]
    assert all(count > 0 for count in reported)
    # A batch keeps to the budget, padding included, unless one source alone is over it.
    assert all(len(batch) == 1 or len(batch) * len(batch[0]) <= budget for batch in model.batches)
    assert all((len(batch) + 1) * len(batch[0]) > budget for batch in model.batches[:-1]), (
        "and is full but for the last"
    )


def test_similar_lengths_go_together(monkeypatch):
    """Otherwise half of the work is padding: here short and long sources alternate."""
    monkeypatch.setattr(search, "BATCH_TOKENS", 40)
    model = Scripted()
    greedy_many(model, [[7] * (9 if i % 2 else 1) + [END] for i in range(20)], CAREFUL, 20, "cpu")
    mixed = [batch for batch in model.batches if len({row.index(END) for row in batch}) > 1]
    assert len(mixed) <= 1, "only the batch at the seam may hold both lengths"


def test_no_source_gives_no_output():
    assert greedy_many(Scripted(), [], CAREFUL, 20, "cpu") == []


def test_rows_are_padded_at_the_end():
    padded = pad_rows([[4, END], [4, 5, 6, END], [END]], PAD, "cpu")
    assert padded.tolist() == [[4, END, PAD, PAD], [4, 5, 6, END], [END, PAD, PAD, PAD]]
    assert padded.dtype == torch.int64
    nothing = pad_rows([[]], PAD, "cpu")
    assert nothing.shape == (1, 0) and nothing.dtype == torch.int64
