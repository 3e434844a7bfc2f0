"""Continuing texts: prompts and their cut, the next token, samples by seed, several as a tree, and loading."""

from __future__ import annotations

import json
import math
from collections import Counter
from dataclasses import asdict, replace

import numpy as np
import pytest
import torch

from engine import catalogue, load_generator, model_card
from engine.decoding.options import SampleOptions
from engine.errors import InputError, InputTooLong, Unsupported, WeightsDamaged
from engine.generation import generator_of
from engine.generator import LONGEST, REACH, Generator
from engine.models.gpt import GPT, GPTConfig
from engine.prose_tokens import ALPHABET as ALPHABET_FILE
from engine.prose_tokens import as_typed
from engine.text import END
from engine.training.trigram import count_words, prune
from engine.weights import CONFIG, TOKENIZER, WEIGHTS, save_weights, sha256_of, write_json
from engine.words import WORDS
from tests.engine import generators
from tests.engine.generators import ALPHABET, CONTEXT, GENERATORS, known_odds, tiny_char_lm, tiny_gpt, tiny_trigram

ANY = SampleOptions(1, max_length=40)
FLOAT32 = 1e-5
PROMPT = "The cat sat"
SEED = 0  # of a sample of the tiny GPT that does not end for three contexts


@pytest.fixture(params=GENERATORS)
def generator(request) -> Generator:
    return GENERATORS[request.param]()


# --- Prompts ----------------------------------------------------------------------------------------------------------


def test_a_prompt_is_read_after_what_stands_before_every_text(generator):
    found = generator.prompt(PROMPT)
    assert found.text == PROMPT and found.cut == 0 and found.notes == ()
    assert found.tokens.ids[0] == generator.front and found.tokens.special == (
        True,
        *(False,) * (len(found.tokens) - 1),
    )
    assert found.tokens.labels[0] == ("<s>" if generator.card.name == "gpt" else "↵")
    assert generator.prompt("").tokens.ids == (generator.front,), "no prompt is a text's beginning"


def test_too_long_a_prompt_is_cut_from_the_left_with_a_note():
    generator, text = tiny_gpt(), "The cat sat on the mat. " * 8
    found = generator.prompt(text)
    whole = tiny_gpt(context=1000).prompt(text)
    assert found.text == whole.text and whole.cut == 0
    assert CONTEXT // 2 < len(found.tokens) <= CONTEXT and found.tokens.ids == whole.tokens.ids[-len(found.tokens) :]
    assert found.cut == len(whole.tokens) - 1 - len(found.tokens) and not any(found.tokens.special)
    assert f"has {len(whole.tokens) - 1} tokens and the model sees {CONTEXT} at once" in found.notes[0]
    assert f"the last {len(found.tokens)}" in found.notes[0]
    assert f"from “{found.text[found.tokens.spans[0][0] :][:30]}" in found.notes[0]
    assert "from “aaaaaaaaaa" in tiny_char_lm().prompt("a" * (REACH + 100)).notes[0], "where no word ends, too"
    assert generator.text_of(text, ()) == found.text, "the text stays whole, only its beginning is not read"


def test_a_recurrent_network_is_given_the_end_of_a_long_prompt_and_counts_read_all():
    text = "The cat ran. " * (REACH // 10)
    found = tiny_char_lm().prompt(text)
    assert len(found.tokens) == REACH and found.cut == len(found.text) - REACH
    assert f"is given {REACH:,} at most" in found.notes[0]
    assert tiny_trigram().prompt(text).cut == 0


def test_a_prompt_beyond_all_measure_is_refused(generator):
    with pytest.raises(InputTooLong, match="Shorten it"):
        generator.prompt("cat " * LONGEST)
    with pytest.raises(InputTooLong, match="Shorten it"):  # however little is left of it
        generator.prompt("cat" + " " * 10 * LONGEST)


def test_a_model_tells_which_tokens_it_may_say():
    gpt, counts = tiny_gpt(), tiny_trigram()
    assert gpt.says(()) and gpt.says((10, 11, gpt.end))
    assert not any(map(gpt.says, ((gpt.front,), (-1,), (len(gpt.tokenizer),), (gpt.end, 10))))
    assert counts.says((1, 2)) and not counts.says((0,))


def test_what_is_unknown_is_named(generator):
    note = generator.prompt("The ☃ cat").notes[0]
    assert "☃" in note and "does not know" in note
    assert max(map(len, generator.next_token("☃" * 5000, (), ANY).note.split("”"))) < 200
    assert all(len(note) < 200 for note in generator.prompt("☃" * 5000).notes if "does not know" in note)


def test_text_and_tokens_of_a_prompt_and_what_was_taken(generator):
    taken = generator.prompt("The cat sat on the mat.\n\nThe dog").tokens.ids[1:]
    assert generator.text_of("", taken) == "The cat sat on the mat.\nThe dog"
    assert generator.tokens_of("", taken).ids == (generator.front, *taken)
    again = generator.text_of(as_typed(generator.text_of("", taken)), ())
    assert again == "The cat sat on the mat.\nThe dog", "a text can be put into the prompt again"
    assert generator.text_of("The hen.\n\n", taken[:3]).startswith("The hen.\nThe"[:11])


@pytest.mark.parametrize("taken", [(-1,), (10**6,)])
def test_tokens_that_no_text_has_are_refused(generator, taken):
    for ask in (generator.text_of, generator.tokens_of, lambda *a: generator.next_token(*a, ANY)):
        with pytest.raises(InputError, match="Rewind"):
            ask(PROMPT, taken)
    with pytest.raises(InputError, match="never says"):
        generator.stream(PROMPT, (generator.unknown,), ANY)


def test_nothing_comes_after_the_end():
    generator = tiny_gpt()
    assert generator.text_of(PROMPT, (END,)) == PROMPT
    for ask in (generator.next_token, generator.stream, generator.continuations):
        with pytest.raises(InputError, match="has ended"):
            ask(PROMPT, (END,), ANY)
    with pytest.raises(InputError, match="has ended"):
        generator.text_of(PROMPT, (END, 20))


# --- The next token ---------------------------------------------------------------------------------------------------


def test_the_next_token_by_hand():
    """Odds .5 .25 .125 .0625 and .0625 for what is unknown: entropy 1.875 bits; top-p .8 of what can be said."""
    odds = {"a": 0.5, "b": 0.25, "c": 0.125, "\n": 0.0625}
    generator = known_odds(odds, 0.0625)
    found = generator.next_token("ab", (), SampleOptions(top_p=0.85), 3)
    assert [choice.label for choice in found.choices] == ["a", "b", "c"]
    assert [choice.before for choice in found.choices] == pytest.approx([0.5, 0.25, 0.125], abs=FLOAT32)
    # of 15/16 that can be said, a has 8/15 = .533, with b .8, with c .933, which is the first to have .85
    assert [choice.after for choice in found.choices] == pytest.approx([8 / 14, 4 / 14, 2 / 14], abs=FLOAT32)
    assert found.entropy == pytest.approx(1.875, abs=FLOAT32) and (found.kept, found.of) == (3, 4)
    assert "6.2 %" in found.note and "never drawn" in found.note
    line = generator.next_token("ab", (), SampleOptions(top_k=2), 9).choices[-1]
    assert (line.label, line.text, line.after, line.count) == ("↵", "\n", 0, None)


def test_probabilities_are_the_models_own(generator):
    found = generator.next_token(PROMPT, (), ANY, 10**6)
    tokens = generator.tokens_of(PROMPT, ())
    logprobs = generator.steps.step(
        generator.steps.encode(generator.tensor(tokens.ids[:-1])), generator.tensor(tokens.ids[-1:])[0]
    )[0]
    own = logprobs[0].exp().tolist()
    assert len(found.choices) == found.of == found.kept == len(generator.tokenizer) - len(generator.banned)
    assert all(choice.before == pytest.approx(own[choice.token], rel=1e-5) for choice in found.choices)
    assert sum(choice.after for choice in found.choices) == pytest.approx(1, abs=1e-4)
    befores = [choice.before for choice in found.choices]
    assert befores == sorted(befores, reverse=True)
    shares = np.array(own)
    assert found.entropy == pytest.approx(-(shares * np.log2(np.maximum(shares, 1e-300))).sum(), abs=1e-4)


@pytest.mark.parametrize("top_p", [0.05, 0.3, 0.6, 0.9])
def test_top_p_keeps_the_smallest_set_with_that_mass(generator, top_p):
    found = generator.next_token(PROMPT, (), SampleOptions(top_p=top_p), 10**6)
    said = sum(choice.before for choice in found.choices)
    kept = [choice.before / said for choice in found.choices if choice.after > 0]
    assert len(kept) == found.kept
    assert sum(kept) >= top_p - 1e-6 and sum(kept) - min(kept) < top_p
    assert all(choice.after == 0 for choice in found.choices[found.kept :])


def test_taking_tokens_is_reading_them(generator):
    """The same token by token, as a prompt, and beyond the context."""
    drawn = list(generator.stream(PROMPT, (), SampleOptions(1, seed=3, max_length=2 * CONTEXT)))
    taken = tuple(one.token for one in drawn if one.token != generator.end)
    for length in (0, 1, len(taken) // 2, len(taken)):
        found = generator.next_token(PROMPT, taken[:length], ANY, 10**6)
        if length < len(drawn):
            choice = next(one for one in found.choices if one.token == drawn[length].token)
            # float32: the cache sums in another order
            assert math.log(choice.before) == pytest.approx(drawn[length].logprob, abs=1e-3)
            assert (choice.label, choice.before > 0) == (drawn[length].label, True)


def test_counts_stand_beside_the_choices_of_a_model_that_counts():
    generator = tiny_trigram()
    found = generator.next_token("The cat", (), ANY, 10**6)
    counts = {choice.label: choice.count for choice in found.choices}
    assert (counts["sat"], counts["saw"], counts["ran"], counts["mat"]) == (1, 2, 1, 0)
    assert "counts" not in found.note
    assert all(choice.count is None for choice in tiny_gpt().next_token("The cat", (), ANY).choices)


@pytest.mark.parametrize(
    ("prompt", "note"),
    [
        ("The cat", ""),
        ("hen dog", "“hen dog” never occurs in its table: counts are those after “dog” alone."),
        ("xyz dog", "“xyz” is not in its table: counts are those after “dog” alone."),
        ("dog xyz", "“xyz” is not in its table: counts are those of single words"),
        ("", "words that begin paragraphs"),
        ("dog\n\n", "“dog ↵” never occurs"),
    ],
)
def test_counts_that_back_off_say_so(prompt, note):
    found = tiny_trigram().next_token(prompt, (), ANY)
    assert note in found.note and (note != "" or "counts" not in found.note)


def test_a_pair_that_was_seen_with_nothing_kept_after_it_says_how_often():
    words = tiny_trigram().tokenizer
    seen = count_words([generators.STORY], words)
    pruned = generator_of(generators.card("trigram"), prune(seen, words, 1, 3), words)
    note = pruned.next_token("the hen", (), ANY).note
    assert "“the hen” occurs once, but no word after it often enough: counts are those after “hen” alone." in note


def test_a_word_with_nothing_kept_after_it_is_not_called_unknown():
    words = tiny_trigram().tokenizer
    seen = count_words([generators.STORY], words)
    pruned = generator_of(generators.card("trigram"), prune(seen, words, 4, 4), words)
    note = pruned.next_token("The saw", (), ANY).note
    assert words.encode("saw").ids != (0,)
    assert "“saw” occurs 3 times, but no word after it often enough: counts are those of single words" in note


# --- Samples ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "options",
    [SampleOptions(1), SampleOptions(1, temperature=2.0), SampleOptions(1, top_k=2), SampleOptions(1, top_p=0.85)],
)
def test_tokens_are_drawn_as_often_as_they_are_probable(options):
    generator = known_odds({"a": 0.5, "b": 0.25, "c": 0.125, "\n": 0.0625}, 0.0625)
    drawn = generator.stream("", (), replace(options, seed=7, max_length=4000))
    counts = Counter(one.token for one in drawn)
    shares = {one.token: one.after for one in generator.next_token("", (), options).choices if one.after}
    assert set(counts) == set(shares) and generator.unknown not in counts
    statistic = sum((counts[token] - 4000 * share) ** 2 / (4000 * share) for token, share in shares.items())
    # χ² with 3 degrees of freedom is above 21.1 once in ten thousand times; with this seed always or never
    assert statistic < 21.1


def test_the_same_seed_is_the_same_text_and_another_another(generator):
    first, again, other = (
        [one.token for one in generator.stream(PROMPT, (), SampleOptions(1, seed=seed, max_length=30))]
        for seed in (5, 5, 6)
    )
    assert first == again != other


def test_a_sample_is_the_only_one_of_several(generator):
    """The stream of a seed is the path of the tree with one sample."""
    options = SampleOptions(1, seed=4, max_length=2 * CONTEXT + 5)
    drawn = list(generator.stream(PROMPT, (), options))
    tree = generator.continuations(PROMPT, (), options)
    assert [node.token for node in tree.nodes] == [one.token for one in drawn]
    assert [node.logprob for node in tree.nodes] == pytest.approx([one.logprob for one in drawn], abs=FLOAT32)
    assert tree.hypotheses[0].text == "".join(one.text for one in drawn)
    assert PROMPT + tree.hypotheses[0].text == generator.text_of(PROMPT, [one.token for one in drawn])


def test_a_full_context_drops_its_older_half_and_says_so():
    generator = tiny_gpt()
    drawn = list(generator.stream("", (), SampleOptions(1, seed=SEED, top_k=40, max_length=3 * CONTEXT)))
    assert drawn[-1].token != generator.end and len(drawn) == 3 * CONTEXT, "the seed was chosen so"
    told = [place for place, one in enumerate(drawn) if one.note]
    # after <s> and 15 tokens it is full: the 17th token to be read is the 16th drawn, and the 17th drawn is told so
    assert told == [16, 24, 32, 40] and f"context of {CONTEXT} tokens is full: the oldest 8" in drawn[16].note


def test_several_continuations_are_a_tree(generator):
    steps: list[int] = []
    options = SampleOptions(8, temperature=0.7, seed=2, max_length=6)
    tree = generator.continuations(PROMPT, (), options, steps.append)
    assert tree.title == "8 samples, temperature 0.7, seed 2" and tree.source == generator.tokens_of(PROMPT, ())
    assert steps == [*range(1, max(node.step for node in tree.nodes) + 1)]
    ended = [node for node in tree.nodes if node.state in ("finished", "cut")]
    assert sum(node.count for node in ended) == 8 and len(tree.hypotheses) == len(ended)
    assert not {node.token for node in tree.nodes} & set(generator.banned)
    for one in tree.hypotheses:
        ids = [tree.nodes[index].token for index in tree.path(one.node)]
        assert generator.text_of(PROMPT, ids) == PROMPT + one.text
        assert one.score == pytest.approx(sum(tree.nodes[index].logprob for index in tree.path(one.node)), abs=1e-4)
    assert generator.continuations(PROMPT, (), options).nodes == tree.nodes


def test_texts_from_nothing_are_drawn_beyond_the_context(generator):
    """Nothing stands before them but what stands before every text, until the first has fallen out."""
    options = SampleOptions(1, temperature=2.0, seed=4, max_length=2 * CONTEXT)
    streamed = [(one.token, one.logprob) for one in generator.stream("", (), options)]
    tree = generator.continuations("", (), options)
    assert [node.token for node in tree.nodes] == [token for token, _ in streamed]
    assert [node.logprob for node in tree.nodes] == pytest.approx([logprob for _, logprob in streamed], abs=1e-5)


def test_continuations_go_on_from_what_was_taken(generator):
    taken = tuple(one.token for one in generator.stream(PROMPT, (), SampleOptions(1, seed=9, max_length=3)))
    options = SampleOptions(2, seed=1, max_length=4)
    tree = generator.continuations(PROMPT, taken, options)
    assert tree.source.text == generator.text_of(PROMPT, taken) and tree.nodes[0].step == 1
    assert tree.source.ids == generator.tokens_of(PROMPT, taken).ids


def test_what_report_raises_ends_the_draw(generator):
    class Superseded(Exception):
        pass

    def report(step: int) -> None:
        raise Superseded

    with pytest.raises(Superseded):
        generator.continuations(PROMPT, (), ANY, report)


# --- Loading ----------------------------------------------------------------------------------------------------------


@pytest.fixture
def shipped(tmp_path, monkeypatch) -> dict[str, Generator]:
    """The tiny models in folders and a catalogue of their own."""
    made, cards = {name: make() for name, make in GENERATORS.items()}, {}
    for name, one in made.items():
        folder = tmp_path / name
        folder.mkdir()
        if name == "trigram":
            one.model.save(folder)
            one.tokenizer.save(folder / WORDS)
        else:
            save_weights(one.model.state_dict(), folder / WEIGHTS)
            write_json(folder / CONFIG, asdict(one.model.config))
        if name == "gpt":
            from engine.training.language.prepared import train_subwords

            (folder / TOKENIZER).write_bytes(train_subwords([generators.STORY], 80))
        if name == "char-lm":
            write_json(folder / ALPHABET_FILE, {"characters": ALPHABET})
        files = {path.name: sha256_of(path) for path in folder.iterdir()}
        cards[name] = replace(one.card, sha256=files)
    monkeypatch.setattr(model_card, "ASSETS", tmp_path)
    monkeypatch.setattr(catalogue, "MODELS", cards)
    return made


@pytest.mark.parametrize("name", GENERATORS)
def test_a_loaded_model_continues_as_the_one_that_was_saved(shipped, name):
    loaded = load_generator(name, "cpu")
    assert (loaded.front, loaded.end, loaded.unknown, loaded.banned, loaded.context) == (
        shipped[name].front, shipped[name].end, shipped[name].unknown, shipped[name].banned, shipped[name].context
    )  # fmt: skip
    before, after = (one.next_token(PROMPT, (), ANY) for one in (shipped[name], loaded))
    assert [one.token for one in before.choices[:3]] == [one.token for one in after.choices[:3]]
    assert [one.before for one in before.choices] == pytest.approx([one.before for one in after.choices], abs=0.05)
    # float16 on disk; the weights are large


def test_a_model_of_another_vocabulary_is_refused(shipped, tmp_path):
    path = tmp_path / "char-lm" / ALPHABET_FILE
    path.write_text(json.dumps({"characters": ALPHABET + "☃"}), "utf-8")
    card = catalogue.MODELS["char-lm"]
    catalogue.MODELS["char-lm"] = replace(card, sha256={**card.sha256, ALPHABET_FILE: sha256_of(path)})
    with pytest.raises(WeightsDamaged, match="do not belong together"):
        load_generator("char-lm", "cpu")


def test_only_models_that_continue_texts_load(shipped):
    catalogue.MODELS["tiny"] = replace(catalogue.MODELS["gpt"], family="bert")
    with pytest.raises(Unsupported, match="does not continue texts"):
        load_generator("tiny", "cpu")
    with pytest.raises(Unsupported, match="no dtype"):
        load_generator("gpt", "cpu", "float8")


def test_two_threads_on_one_model_do_not_meet():
    from concurrent.futures import ThreadPoolExecutor

    generator = tiny_gpt()
    options = [SampleOptions(1, seed=seed, max_length=20) for seed in range(4)]

    def text(one: SampleOptions) -> str:
        return "".join(drawn.text for drawn in generator.stream(PROMPT, (), one))

    alone = [text(one) for one in options]
    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(text, options)) == alone


def test_lower_precision_still_gives_float32():
    config = GPTConfig(len(generators.subwords()), width=32, heads=4, layers=2, feedforward=48, context=CONTEXT)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = GPT(config).eval().requires_grad_(False).to(torch.bfloat16)
    generator = replace(tiny_gpt(), model=model)
    assert sum(one.after for one in generator.next_token(PROMPT, (), ANY, 10**6).choices) == pytest.approx(1, abs=1e-4)
    assert generator.surprise("The cat sat.").bits.dtype == np.float32
    assert generator.trace(PROMPT, ()).maps["decoder"].weights.dtype == np.float32
