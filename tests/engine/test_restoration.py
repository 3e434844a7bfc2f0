"""What a BERT restores of a noised text: scores by hand on a model that knows the answer or another one."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from engine.cloze import Cloze
from engine.cloze_text import MASK
from engine.noise import NOISES, Change, Noised, noise
from engine.restoration import VERDICTS, restore
from tests.engine.cloze_cases import cloze

TEXT = "The man was walking in the street. The dog was old."


def always(piece: str) -> Cloze:
    """A model that puts the same piece at every mask: its bias is far above all."""
    base = cloze()
    model = type(base.model)(base.model.config).eval().requires_grad_(False)
    model.load_state_dict(base.model.state_dict())
    with torch.no_grad():
        model.output_bias[base.tokenizer.id_of(piece)] += 1000
    return replace(base, model=model)


def infilled(*spans: str) -> Noised:
    """`TEXT` with one mask for each of some parts of it."""
    changes = []
    for span in spans:
        start = TEXT.index(span)
        changes.append(Change((start, start + len(span)), span, MASK, ""))
    text = TEXT
    for span in spans:
        text = text.replace(span, MASK, 1)
    return Noised("infill", 0, TEXT, text, tuple(changes))


@pytest.mark.parametrize("kind", NOISES)
def test_only_masks_are_tried_and_every_noise_has_a_verdict(kind):
    found = restore(cloze(), noise(TEXT, kind, 1))
    assert len(found.attempts) == {"mask": 1, "infill": 2}.get(kind, 0)
    assert found.verdict is VERDICTS[kind]
    assert found.verdict.restorable == {"mask": "yes", "infill": "if the number is known"}.get(kind, "no")


def test_masked_words_are_restored_piece_by_piece_and_counted_by_word():
    noised = noise(TEXT, "mask", 1, share=1)
    (attempt,) = restore(always("▁the"), noised).attempts
    assert len(attempt.spans) == len(noised.changes) == 11
    assert [span.original for span in attempt.spans if span.right] == ["the"]  # "The" is another piece
    assert attempt.right == 1
    assert attempt.filled.input.first.count("the the") > 0
    walking = next(span for span in attempt.spans if span.original == "walking")
    assert walking.restored == "the the" and not walking.right  # two pieces, two masks


def test_a_span_of_one_piece_is_restored_without_the_number_and_a_longer_one_only_with_it():
    noised = infilled("old")
    told, untold = restore(always("▁old"), noised).attempts
    assert told.right == untold.right == 1 and told.filled.input.first == TEXT
    told, untold = restore(always("▁the"), infilled("in the", "dog was")).attempts
    assert [span.restored for span in told.spans] == ["the the", "the the"]
    assert [span.restored for span in untold.spans] == ["the", "the"]
    assert told.right == untold.right == 0


def test_a_space_more_or_less_is_not_right():
    told, untold = restore(always("ing"), infilled("walking", "the street")).attempts
    assert not any(span.right for span in (*told.spans, *untold.spans))
    glued = Noised("infill", 0, "walk ing", "walk [MASK]", (Change((5, 8), "ing", MASK, ""),))
    for attempt in restore(always("ing"), glued).attempts:
        assert attempt.spans[0].restored.endswith("ing") and not attempt.spans[0].right


def test_what_a_word_has_outside_its_span_stays():
    text = "The dogs' river."
    change = Change((4, 8), "dogs", MASK, "")
    whole = cloze().read(text)
    assert whole.words[2] == "dogs'"
    (attempt,) = restore(always("▁the"), Noised("mask", 0, text, "The [MASK]' river.", (change,))).attempts
    assert attempt.filled.input.first.endswith(" the' river.")
    assert [step.own.text for step in attempt.filled.steps if step.own] == [" dog", "s"]


def test_a_mask_put_in_is_filled_without_the_number_and_left_out_with_it():
    at = TEXT.index("man")
    noised = Noised("infill", 0, TEXT, TEXT.replace("man", f"{MASK} man"), (Change((at, at), "", f"{MASK} ", ""),))
    noised = replace(noised, text=noised.text.replace("old", MASK))
    old = Change((TEXT.index("old"), TEXT.index("old") + 3), "old", MASK, "")
    noised = replace(noised, changes=(*noised.changes, old))
    told, untold = restore(always("▁old"), noised).attempts
    assert [span.original for span in told.spans] == ["old"] and told.right == 1
    assert [(span.original, span.restored, span.right) for span in untold.spans] == [
        ("", "old", False),
        ("old", "old", True),
    ]


@pytest.mark.parametrize("seed", range(8))
def test_any_noise_with_masks_is_tried_in_both_orders(seed):
    for kind in ("mask", "infill"):
        noised = noise('He said: "It\'s late," and went—to the old-fashioned sea\u4f60.', kind, seed, 0.6)
        for order in ("one by one", "at once"):
            attempts = restore(cloze(), noised, order).attempts
            assert all(not attempt.filled.input.blanks and attempt.spans for attempt in attempts)
