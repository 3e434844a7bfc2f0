"""How well the language models predict books that they have not read.

Bits per character make models of different vocabularies comparable: −log2 of the probability of a whole book over the
number of its characters, in the form of `engine.prose.normalise_prose`. A character that a model does not know costs
its "unknown" token and a uniform choice among Unicode's code points. A text has several spellings in subwords; scored
is the tokenizer's own, which bounds the model's bits from above.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from engine.generation import Generator
from engine.models.bert import Bert
from engine.models.char_lm import CharLM, CharLMState
from engine.models.gpt import GPT
from engine.models.trigram import Trigram
from engine.prose import CODE_POINT_BITS
from engine.text import UNKNOWN, Subwords
from engine.training.autocomplete.text import find_text
from engine.training.language.masking import IGNORED, ORDINARY, draw_pairs
from engine.training.language.prepared import LINE, Stream, alphabet_of, encode_characters, encode_subwords
from engine.training.language.text import HELD_OUT, TRAIN, read_prose
from engine.training.spelling import speller_of
from engine.training.trigram import all_words, bits_per_character, count_tokens, count_words, full_trigram
from engine.weights import TOKENIZER, sha256_of
from engine.words import WORDS, Words

Report = Callable[[int], None]
WINDOWS = 32  # read at a time
PIECE = 512  # characters that a character model reads at a time, of many places of a book at once
PLACES = 64
WARM = 2 * PIECE  # characters read before a place: a state has forgotten by then how it began
PAIRS = 4000
PAIRS_SEED = 20_000
TOP = 5


def held_out_books(data: Path) -> tuple[list[str], str]:
    """The books that no model has learnt from, and their file's checksum.

    Raises:
        ConfigError: the file is missing or holds no text.
    """
    path = find_text(data, HELD_OUT)
    return read_prose(path), sha256_of(path)


def book_scores(generator: Generator, data: Path, report: Report = lambda done: None) -> dict[str, Any]:
    """Bits per character of the held-out books; of a GPT and of the counts also those of a trigram of everything.

    Raises:
        ConfigError: a text is missing or empty.
    """
    books, checksum = held_out_books(data)
    model, folder = generator.model, generator.card.folder
    characters, full = sum(map(len, books)), 0.0
    if isinstance(model, CharLM):
        bits = character_bits(model, alphabet_of(folder), books, report)
    elif isinstance(model, GPT):
        bits = gpt_bits(model, Subwords.load(folder / TOKENIZER), books, report)
        full, _ = trigram_bits(data, books)
    else:
        assert isinstance(model, Trigram)
        full, bits = trigram_bits(data, books, (model, Words.load(folder / WORDS)))
    found = {"bits_per_character": round(bits / characters, 4), "characters": characters, "books": len(books)}
    return found | ({"full_trigram": round(full / characters, 4)} if full else {}) | {"file_sha256": checksum}


def gpt_bits(model: GPT, subwords: Subwords, books: Sequence[str], report: Report = lambda done: None) -> float:
    """Bits of all books, each read from <s> on, in windows of the model's context.

    Every piece but those of a book's first window has at least half a context before it.
    """
    total = 0.0
    for book in books:
        ids = encode_subwords([book], subwords).ids.astype(np.int64)[:-1]  # without </s>
        total += float(window_bits(model, ids, report).sum())
        unknown = sum(len(piece) for piece in _unknown_pieces(subwords, book))
        total += unknown * CODE_POINT_BITS
    return total


def _unknown_pieces(subwords: Subwords, book: str) -> list[str]:
    """The characters that the vocabulary lacks, run by run."""
    found = []
    for line in book.split(LINE):
        tokens = subwords.encode(line, end=False) if line else None
        for token, (start, end) in zip(tokens.ids, tokens.spans, strict=True) if tokens else ():
            if token == UNKNOWN:
                found.append(tokens.text[start:end] if tokens else "")
    return found


@torch.inference_mode()
def window_bits(model: GPT, ids: np.ndarray, report: Report = lambda done: None) -> np.ndarray:
    """-log2 of the probability of each token but the first, float64 (N - 1,).

    Windows overlap by half a context; a token is scored where it has most before it.
    """
    context, half = model.config.context, model.config.context // 2
    bits = np.zeros(len(ids) - 1)
    device = model.embedding.weight.device
    starts = list(range(0, max(1, len(ids) - 1 - half), half))
    for first in range(0, len(starts), WINDOWS):
        some = starts[first : first + WINDOWS]
        at = np.array(some)[:, None] + np.arange(context + 1)
        rows = torch.from_numpy(ids[np.minimum(at, len(ids) - 1)]).to(device)
        logits = model(rows[:, :-1]).float()
        cost = F.cross_entropy(logits.transpose(1, 2), rows[:, 1:], reduction="none").double() / np.log(2)
        for row, start in zip(cost.cpu().numpy(), some, strict=True):
            begin = 0 if start == 0 else half
            end = min(context, len(bits) - start)
            bits[start + begin : start + end] = row[begin:end]
        report(len(some))
    return bits


@torch.inference_mode()
def character_bits(
    model: CharLM, alphabet: Sequence[str], books: Sequence[str], report: Report = lambda done: None
) -> float:
    """Bits of all books, each read on from a line break; the state is carried from piece to piece."""
    total = 0.0
    device = model.embedding.weight.device
    for book in books:
        read = np.concatenate([encode_characters([""], alphabet), encode_characters([book], alphabet)[:-1]])
        ids = torch.from_numpy(read.astype(np.int64)).to(device)
        total += float((ids[1:] == 0).sum()) * CODE_POINT_BITS
        places = max(1, min(PLACES, len(ids) // (2 * WARM)))
        total += _places_bits(model, ids, np.linspace(0, len(ids) - 1, places + 1).astype(int))
        report(1)
    return total


def _places_bits(model: CharLM, ids: Tensor, bounds: np.ndarray) -> float:
    """Bits of a book whose places, between bounds, are read side by side, each from `WARM` characters before it."""
    starts, ends = torch.from_numpy(bounds).to(ids.device)[:, None].split([len(bounds) - 1, 1])
    ends = torch.cat([starts[1:], ends])
    longest = int((ends - starts).max())
    total, state = 0.0, model.start(len(starts))
    for first in range(-WARM, longest, PIECE):
        offsets = torch.arange(first, min(first + PIECE, longest), device=ids.device)
        there = (starts + offsets).clamp(0, len(ids) - 2)
        hidden, state = model.read(ids[there], state)
        if first < 0:  # the first place has nothing before it
            state = CharLMState(tuple(tuple(_emptied(part) for part in layer) for layer in state.layers))
            continue
        logits = model.logits(hidden).float()
        cost = F.cross_entropy(logits.transpose(1, 2), ids[there + 1], reduction="none").double()
        total += float(cost[starts + offsets < ends].sum()) / np.log(2)
    return total


def _emptied(part: Tensor) -> Tensor:
    """A state whose first row is that before the first character."""
    return torch.cat([torch.zeros_like(part[:1]), part[1:]])


@torch.inference_mode()
def cloze_scores(
    model: Bert, subwords: Subwords, books: Sequence[str], length: int, report: Report = lambda done: None
) -> dict[str, Any]:
    """Accuracy of masked pieces and of the next-sentence objective, on pairs drawn as in training with a fixed seed.

    Beside it the accuracy of always naming the most frequent pieces of these very books, which no unigram model of the
    training text exceeds.

    Args:
        model: what is measured.
        subwords: its tokenizer.
        books: not learnt from.
        length: the most tokens of a pair.
        report: called with the number of pairs done since the last call.
    """
    stream: Stream = encode_subwords(books, subwords)
    device = model.embedding.weight.device
    rng = np.random.default_rng(PAIRS_SEED)
    counts = np.bincount(stream.ids[stream.ids >= ORDINARY], minlength=model.config.vocabulary)
    frequent = torch.from_numpy(np.argsort(-counts, kind="stable")[:TOP].copy()).to(device)
    hits, guesses = np.zeros(2), np.zeros(2)
    masked = right = nats = 0.0
    for _ in range(0, PAIRS, WINDOWS):
        pairs = draw_pairs(stream, rng, WINDOWS, length, model.config.vocabulary)
        ids, segments, targets, following = (
            torch.from_numpy(part).to(device) for part in (pairs.ids, pairs.segments, pairs.targets, pairs.following)
        )
        hidden = model.hidden_from_embeddings(model.embedding(ids), segments, model.mask(ids))
        asked = targets != IGNORED
        wanted = targets[asked][:, None]
        logits = model.logits(hidden[asked]).float()
        nats += float(F.cross_entropy(logits, wanted[:, 0], reduction="sum"))
        best = logits.topk(TOP, dim=-1).indices == wanted
        hits += [float(best[:, :1].sum()), float(best.sum())]
        guessed = frequent == wanted
        guesses += [float(guessed[:, :1].sum()), float(guessed.sum())]
        masked += len(wanted)
        right += float((model.follows(hidden).argmax(-1) == following).sum())
        report(len(ids))
    return {
        "pairs": PAIRS // WINDOWS * WINDOWS,
        "masked": int(masked),
        "top1": round(hits[0] / masked, 4),
        "top5": round(hits[1] / masked, 4),
        "unigram_top1": round(guesses[0] / masked, 4),
        "unigram_top5": round(guesses[1] / masked, 4),
        "cross_entropy": round(nats / masked, 4),
        "next_sentence": round(right / (PAIRS // WINDOWS * WINDOWS), 4),
    }


def trigram_bits(data: Path, books: Sequence[str], shipped: tuple[Trigram, Words] | None = None) -> tuple[float, float]:
    """Bits of all books by a trigram with everything in data/english's training text, and by the shipped table.

    Unknown words are spelled by a character model that was counted on the rare words of that text.

    Args:
        data: folder with the texts.
        books: not learnt from.
        shipped: the table and its words; 0 bits without it.
    """
    seen = count_tokens(train := read_prose(find_text(data, TRAIN)))
    most = all_words(seen)
    full = full_trigram(count_words(train, most), most), most
    found = []
    for model, words in [full, *([shipped] if shipped else [])]:
        speller = speller_of(seen, words)
        found.append(sum(bits_per_character(model, words, book, speller) * len(book) for book in books))
    return found[0], found[1] if shipped else 0.0
