"""Sentence pairs to batches: reading, tokenizing to a compact binary, mixing sources, length buckets."""

from __future__ import annotations

import io
import lzma
import random
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from engine.errors import ConfigError
from engine.text import END, PAD, START, UNKNOWN, WHO, Subwords, normalise
from engine.training.config import TrainingConfig
from engine.training.synthetic import PronounExample, training_examples
from engine.types import Tokens

Pair = tuple[str, str]
GRAMMAR = ("pronouns", "pronouns_who")  # sources that are generated, not read
POOL = 12_000  # pairs drawn at a time and sorted by length


def read_tsv(path: Path) -> list[list[str]]:
    """Rows of a tab-separated file, plain or .xz.

    Raises:
        ConfigError: the file is missing; the message names it.
    """
    if not path.is_file():
        raise ConfigError(f"{path} is missing. `saccade fetch-data DIR` gets the data; give the same DIR with --data.")
    content = lzma.decompress(path.read_bytes()) if path.suffix == ".xz" else path.read_bytes()
    return [line.split("\t") for line in content.decode("utf-8").rstrip("\n").split("\n")]


def read_training_pairs(data: Path) -> dict[str, list[Pair]]:
    """Training pairs by source, from en-fr/train.tsv or train.tsv.xz: columns English, French, source."""
    folder = data / "en-fr"
    plain = folder / "train.tsv"
    by_source: dict[str, list[Pair]] = defaultdict(list)
    for row in read_tsv(plain if plain.is_file() else folder / "train.tsv.xz"):
        if len(row) == 3:
            by_source[row[2]].append((row[0], row[1]))
    return dict(by_source)


def read_pairs(path: Path) -> list[Pair]:
    """Evaluation pairs: columns English, French."""
    return [(row[0], row[1]) for row in read_tsv(path) if len(row) >= 2]


def train_tokenizer(pairs: Mapping[str, Sequence[Pair]], vocabulary: int) -> bytes:
    """A joint byte-pair vocabulary of both languages. Source: Sennrich et al. 2016.

    All of Tatoeba, a sample of the rest, and grammar sentences, so that everyday words and the grammar's nouns are
    single pieces.

    Returns:
        The bytes of a sentencepiece model.
    """
    rng = random.Random(0)
    lines: list[str] = []
    for source, rows in sorted(pairs.items()):
        chosen = rows if source == "tatoeba" or len(rows) <= 40_000 else rng.sample(list(rows), 40_000)
        lines.extend(side for pair in chosen for side in pair)
    stream = training_examples(0)
    lines.extend(side for _ in range(12_000) for side in _sides(next(stream)))
    return train_subwords(lines, vocabulary)


def train_subwords(lines: Sequence[str], vocabulary: int) -> bytes:
    """A byte-pair vocabulary of normalised lines, with this project's special ids and tags.

    Returns:
        The bytes of a sentencepiece model.
    """
    import sentencepiece

    output = io.BytesIO()
    sentencepiece.SentencePieceTrainer.Train(
        sentence_iterator=iter(lines),
        model_writer=output,
        model_type="bpe",
        vocab_size=vocabulary,
        character_coverage=0.9999,
        normalization_rule_name="identity",
        pad_id=PAD,
        unk_id=UNKNOWN,
        bos_id=START,
        eos_id=END,
        control_symbols=[WHO],
        num_threads=2,
        minloglevel=2,
    )
    return output.getvalue()


def _sides(example: PronounExample) -> tuple[str, str, str]:
    return example.english, example.french, example.french_with_noun


@dataclass(frozen=True, slots=True)
class Corpus:
    """Tokenized pairs of one source as flat arrays.

    Attributes:
        tokens: uint16, all pairs one after another: source, then target, neither with special tokens.
        bounds: int64 (pairs, 3): where the source starts, where the target starts, where the target ends.
    """

    tokens: np.ndarray
    bounds: np.ndarray

    def __len__(self) -> int:
        return len(self.bounds)

    def pair(self, index: int) -> tuple[np.ndarray, np.ndarray]:
        start, middle, end = self.bounds[index]
        return self.tokens[start:middle], self.tokens[middle:end]


def tokenize(pairs: Sequence[Pair], tokenizer: Subwords, longest: int) -> Corpus:
    """All normalised pairs with 1 to `longest` - 1 tokens on each side (one more is added on either: </s>)."""
    sides = [tokenizer.encode_batch([normalise(pair[i]) for pair in pairs]) for i in (0, 1)]
    kept = [(s, t) for s, t in zip(*sides, strict=True) if 0 < len(s) < longest and 0 < len(t) < longest]
    lengths = np.array([[len(s), len(t)] for s, t in kept], dtype=np.int64).reshape(-1, 2)
    ends = np.cumsum(lengths.sum(axis=1))
    bounds = np.stack([ends - lengths.sum(axis=1), ends - lengths[:, 1], ends], axis=1)
    flat = np.fromiter(
        (token for s, t in kept for side in (s, t) for token in side), np.uint16, count=int(lengths.sum())
    )
    return Corpus(flat, bounds)


def save_corpora(corpora: Mapping[str, Corpus], path: Path) -> None:
    """Keep tokenized sources in one compressed file, small enough to carry to another machine."""
    arrays = {f"{name}.{part}": getattr(c, part) for name, c in corpora.items() for part in ("tokens", "bounds")}
    np.savez_compressed(path, **arrays)


def load_corpora(path: Path) -> dict[str, Corpus]:
    """What `save_corpora` wrote."""
    with np.load(path) as arrays:
        names = sorted({key.rsplit(".", 1)[0] for key in arrays})
        return {name: Corpus(arrays[f"{name}.tokens"], arrays[f"{name}.bounds"]) for name in names}


@dataclass(frozen=True, slots=True)
class Example:
    """One pair of id sequences; `pronouns` are (source position, id of its noun's first piece)."""

    source: Sequence[int]
    target: Sequence[int]
    pronouns: tuple[tuple[int, int], ...] = ()


@dataclass(frozen=True, slots=True)
class Batch:
    """A padded batch.

    Attributes:
        source: int64 (B, S), each row ends with </s>.
        read: int64 (B, T), each row starts with <s>.
        predicted: int64 (B, T), `read` shifted left, ends with </s>.
        pronouns: int64 (N, 2): row and source position of each grammar pronoun.
        antecedents: int64 (N,): the id of its noun's first piece.
    """

    source: np.ndarray
    read: np.ndarray
    predicted: np.ndarray
    pronouns: np.ndarray
    antecedents: np.ndarray

    @property
    def tokens(self) -> int:
        """Source and target tokens without padding."""
        return int((self.source != PAD).sum() + (self.predicted != PAD).sum())


def collate(examples: Sequence[Example]) -> Batch:
    """Pad examples into one batch."""
    source = _pad([[*example.source, END] for example in examples])
    predicted = _pad([[*example.target, END] for example in examples])
    read = _pad([[START, *example.target] for example in examples])
    marks = [(row, place, noun) for row, example in enumerate(examples) for place, noun in example.pronouns]
    table = np.array(marks, dtype=np.int64).reshape(-1, 3)
    return Batch(source, read, predicted, table[:, :2], table[:, 2])


def _pad(rows: Sequence[Sequence[int]]) -> np.ndarray:
    padded = np.full((len(rows), max(map(len, rows))), PAD, dtype=np.int64)
    for index, row in enumerate(rows):
        padded[index, : len(row)] = row
    return padded


def piece_at(tokens: Tokens, offset: int) -> int:
    """The position whose span covers a character offset."""
    return next(i for i, (begin, end) in enumerate(tokens.spans) if begin <= offset < end)


def pronoun_example(example: PronounExample, tokenizer: Subwords, *, who: bool) -> Example:
    """A grammar sentence as ids; with `who`, the tag in front and the pronouns' nouns in the target."""
    tokens = tokenizer.encode(example.english, end=False)
    marks = []
    for pronoun, answer in example.pronouns:
        noun = tokens.ids[piece_at(tokens, example.candidates[answer].start)]
        marks.append((piece_at(tokens, pronoun.start) + who, noun))
    source = [tokenizer.id_of(WHO), *tokens.ids] if who else tokens.ids
    target = tokenizer.encode_ids(example.french_with_noun if who else example.french)
    return Example(source, target, tuple(marks))


def _endless(corpus: Corpus, rng: np.random.Generator) -> Iterator[Example]:
    """Every pair once in random order, then again in another."""
    while True:
        for index in rng.permutation(len(corpus)):
            source, target = corpus.pair(int(index))
            yield Example(source.tolist(), target.tolist())


def _grammar(seed: int, tokenizer: Subwords, *, who: bool) -> Iterator[Example]:
    for example in training_examples(seed):
        yield pronoun_example(example, tokenizer, who=who)


def batches(config: TrainingConfig, corpora: Mapping[str, Corpus], tokenizer: Subwords, seed: int) -> Iterator[Batch]:
    """An endless stream of batches of about `config.batch_tokens` tokens, similar lengths together.

    Raises:
        ConfigError: the mixture names a source that the data does not have.
    """
    rng = np.random.default_rng(seed)
    streams: dict[str, Iterator[Example]] = {}
    for name in config.mixture:
        if name in GRAMMAR:
            streams[name] = _grammar(int(rng.integers(1 << 30)), tokenizer, who=name == "pronouns_who")
        elif name in corpora:
            streams[name] = _endless(corpora[name], rng)
        else:
            raise ConfigError(f"mixture: the data has no source {name!r}; it has {', '.join(sorted(corpora))}.")
    total = sum(config.mixture.values())
    while True:
        pool: list[Example] = []
        for name, share in config.mixture.items():
            pool.extend(next(streams[name]) for _ in range(round(POOL * share / total)))
        cut = list(_bucket(pool, config.batch_tokens, rng))
        for index in rng.permutation(len(cut)):
            yield collate(cut[index])


def _bucket(pool: list[Example], batch_tokens: int, rng: np.random.Generator) -> Iterator[list[Example]]:
    """Cut a pool sorted by length (ties in random order) into batches whose padded size fits."""
    noise = rng.random(len(pool))
    order = sorted(range(len(pool)), key=lambda i: (len(pool[i].target), len(pool[i].source), noise[i]))
    batch: list[Example] = []
    wide = long = 0
    for index in order:
        example = pool[index]
        wide, long = max(wide, len(example.target) + 1), max(long, len(example.source) + 1)
        if batch and (len(batch) + 1) * (wide + long) > batch_tokens:
            yield batch
            batch, wide, long = [], len(example.target) + 1, len(example.source) + 1
        batch.append(example)
    if batch:
        yield batch
