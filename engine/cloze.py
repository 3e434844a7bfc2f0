"""A Cloze: a BERT, ours or one of somebody's own, behind texts with blanks, pairs of texts, and attention maps.

`load_cloze(name)` gives one that ships, `engine.huggingface.restoring.cloze_of_hosted` one of a transformers model.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from engine.catalogue import ModelCard, card
from engine.cloze_answers import ORDERS, Blank, Candidate, Filled, Filling, Order, WordScore, label_of
from engine.cloze_text import MASK, ClozeInput, ClozeSubwords, put, read_cloze
from engine.cloze_tokens import ClozeTokenizer
from engine.errors import EmptyInput, InputError, InputTooLong, UnknownCharacters, Unsupported
from engine.huggingface.encoder import HostedEncoder
from engine.map_checks import check_finite, check_maps
from engine.models.bert import Bert, BertConfig
from engine.runner import DTYPES, guard_memory, pick_device
from engine.text import BOUNDARY, quoted
from engine.types import NO_TOKENS, AttentionMap, Tokens, Trace, TraceRequest
from engine.weights import CONFIG, TOKENIZER, WEIGHTS, from_json, load_weights, read_json, verify

LONGEST = 4_096  # tokens of a model that says of no limit


@dataclass(frozen=True, slots=True)
class Cloze:
    """A BERT, ready to run. It keeps weights only; every result is returned, none is stored.

    Attributes:
        card: what is known of it.
        model: in evaluation mode.
        tokenizer: what it reads by.
        device: where it runs.
    """

    card: ModelCard
    model: Bert | HostedEncoder
    tokenizer: ClozeTokenizer
    device: str

    @property
    def longest(self) -> int:
        """The most tokens that it sees at once, [CLS] and [SEP] included."""
        limits = [limit for limit in (self.card.longest, self.model.config.context) if limit]
        return min(limits, default=LONGEST)

    @property
    def banned(self) -> tuple[int, ...]:
        """Ids that are never candidates."""
        return tuple(self.tokenizer.specials)

    @property
    def tells_pairs(self) -> bool:
        """Whether it tells if one text follows another (`follows`)."""
        return isinstance(self.model, Bert)

    def read(
        self,
        first: str,
        second: str = "",
        masked: Iterable[int] = (),
        taken: Iterable[tuple[int, int]] = (),
        *,
        single: bool = False,
    ) -> ClozeInput:
        """One text or two as the model reads them; see `engine.cloze_text.read_cloze`."""
        return read_cloze(self.tokenizer, first, second, masked, taken, single=single, longest=self.longest)

    def length(self, first: str, second: str = "") -> int:
        """How many tokens one text or two have, special ones included, however many they are."""
        return len(read_cloze(self.tokenizer, first, second, longest=10**9))

    def fill(self, given: ClozeInput, n: int = 10) -> tuple[Blank, ...]:
        """What may stand at each blank, by one pass: no blank knows what the others get.

        Args:
            given: with at least one blank.
            n: candidates of each.

        Raises:
            InputError: nothing is masked.
            DeviceError: out of memory.
        """
        _need_blanks(given)
        logprobs = self._logprobs(given.tokens.ids, given.segments, given.blanks)
        return tuple(self._blank(given, place, row, n) for place, row in zip(given.blanks, logprobs, strict=True))

    def fill_in(self, given: ClozeInput, order: Order = "one by one") -> Filled:
        """The text with the most probable piece at every blank.

        Args:
            given: with at least one blank.
            order: see `Filled`.

        Raises:
            InputError: nothing is masked, or there is no such order.
            DeviceError: out of memory.
        """
        if order not in ORDERS:
            raise InputError(f"There is no order {order!r}. Choose one of: {', '.join(ORDERS)}.")
        _need_blanks(given)
        steps: list[Filling] = []
        while given.blanks:
            blanks = self.fill(given, n=1)
            if order == "one by one":
                blanks = (max(blanks, key=lambda blank: blank.candidates[0].probability),)
            steps += [Filling(blank.position, blank.word, blank.candidates[0], blank.own) for blank in blanks]
            given = self.put(given, [(blank.position, blank.candidates[0].token) for blank in blanks])
        return Filled(given, tuple(steps), order)

    def put(self, given: ClozeInput, taken: Iterable[tuple[int, int]]) -> ClozeInput:
        """The same with ids put in at some of its blanks; see `engine.cloze_text.put`."""
        return put(self.tokenizer, given, taken)

    def compare(self, given: ClozeInput, words: Sequence[str], word: int | None = None) -> tuple[WordScore, ...]:
        """How well each of some words fits in the place of one word of the text, masked or not.

        Each is scored in a text of its own, with as many masks in that place as the word has pieces; other blanks stay
        masked.

        Args:
            given: the text.
            words: at least one; in the order of the result.
            word: the index of the word that they replace; None for that of the first blank.

        Raises:
            InputError: no such word, no words to compare, or no blank to put them in.
            EmptyInput, UnknownCharacters: a word that cannot be used.
            InputTooLong: with that word's masks the text has too many tokens.
            DeviceError: out of memory.
        """
        if not words:
            raise InputError("There are no words to compare. Type two, for example: animal, street.")
        if word is None:
            _need_blanks(given)
            word = given.tokens.words[given.blanks[0]]
        scored = [self._score(given, given.positions_of(word), text) for text in words]
        # Divided by the largest first: the probability of a long word may be 0 in floating point.
        weights = np.exp(np.array([score.logprob for score in scored]) - max(score.logprob for score in scored))
        return tuple(
            replace(score, share=float(share)) for score, share in zip(scored, weights / weights.sum(), strict=True)
        )

    def follows(self, given: ClozeInput) -> float:
        """The probability that the second text follows the first one in its book, in [0, 1].

        Raises:
            Unsupported: the model does not tell.
            InputError: there is no second text.
            DeviceError: out of memory.
        """
        if not isinstance(self.model, Bert):
            raise Unsupported(
                f"{self.card.name} does not tell whether one text follows another. Choose a model of ours."
            )
        if not given.second:
            raise InputError("There is one text only. Type a second one to ask whether it follows the first.")
        with guard_memory(self.device), torch.inference_mode():
            ids, segments = self._batch(given.tokens.ids, given.segments)
            hidden = self.model.hidden_from_embeddings(self.model.embedding(ids), segments)
            return float(self.model.follows(hidden)[0].float().softmax(-1)[0])

    def trace(self, given: ClozeInput) -> Trace:
        """Every attention map of one pass: all tokens look at all tokens, masks and special tokens included.

        Raises:
            InputTooLong: see `engine.map_checks.check_maps`.
            DeviceError: out of memory.
        """
        started = time.perf_counter()
        check_maps(self.model.config, {"encoder": (len(given.tokens), len(given.tokens))})
        with guard_memory(self.device), torch.inference_mode():
            ids, segments = self._batch(given.tokens.ids, given.segments)
            weights = self.model.forward_with_maps(ids, segments).encoder[:, 0].float().cpu().numpy()
        check_finite(weights)
        return Trace(
            request=TraceRequest(self.card.identity, given.tokens.text, None, 0),
            source=given.tokens,
            read=NO_TOKENS,
            predicted=NO_TOKENS,
            translation="",
            maps={"encoder": self._map(weights, given.tokens)},
            token_logprobs=np.zeros(0, dtype=np.float32),
            device=self.device,
            milliseconds=1000 * (time.perf_counter() - started),
            notes=given.notes,
        )

    def _map(self, weights: np.ndarray, tokens: Tokens) -> AttentionMap:
        names = self.model.config.head_names("encoder") if isinstance(self.model, HostedEncoder) else ()
        return AttentionMap("encoder", weights, tokens, tokens, head_names=names, source_name="")

    def _batch(self, ids: Sequence[int], segments: Sequence[int]) -> tuple[Tensor, Tensor]:
        return torch.tensor([ids], device=self.device), torch.tensor([segments], device=self.device)

    def _logprobs(self, ids: Sequence[int], segments: Sequence[int], places: Sequence[int]) -> Tensor:
        """Natural log-probabilities at some positions, float32 (position, vocabulary) on the CPU; special ids −inf.

        Those of ours are among the other ids; those of a model of somebody's own are its softmax over all ids.
        """
        with guard_memory(self.device), torch.inference_mode():
            tokens, sides = self._batch(ids, segments)
            if isinstance(self.model, Bert):
                hidden = self.model.hidden_from_embeddings(self.model.embedding(tokens), sides)[0, list(places)]
                logits = self.model.logits(hidden).float()
                logits[:, list(self.banned)] = -torch.inf
                return logits.log_softmax(-1).cpu()
            logprobs = self.model(tokens, sides)[0, list(places)].float().log_softmax(-1).cpu()
            logprobs[:, [token for token in self.banned if token < logprobs.shape[1]]] = -torch.inf
            return logprobs

    def _blank(self, given: ClozeInput, place: int, logprobs: Tensor, n: int) -> Blank:
        best = logprobs.topk(min(n, int((logprobs > -torch.inf).sum()))).indices.tolist()
        own, word, first = given.own[place], given.tokens.words[place], _begins(given, place)
        known = own >= 0 and own not in self.tokenizer.specials
        return Blank(
            place,
            word,
            None if given.words[word] == MASK else given.words[word],
            self._candidate(own, logprobs, first) if known else None,
            tuple(self._candidate(token, logprobs, first, rank) for rank, token in enumerate(best, start=1)),
        )

    def _candidate(self, token: int, logprobs: Tensor, first: bool, rank: int | None = None) -> Candidate:
        """One piece; of equally probable ones all have the best rank, unless `rank` says otherwise."""
        piece = self.tokenizer.piece_of(token)
        above = int((logprobs > logprobs[token]).sum()) + 1 if rank is None else rank
        probability = float(logprobs[token].exp())
        label = label_of(piece, begins=self.tokenizer.begins(token, first=first))
        return Candidate(token, label, piece.replace(BOUNDARY, " "), probability, above)

    def _score(self, given: ClozeInput, positions: Sequence[int], text: str) -> WordScore:
        """One word in the place of some positions; its share is left to do."""
        word, first = self.tokenizer.normalise(text), _begins(given, positions[0])
        if not word:
            raise EmptyInput("One of the words to compare is empty. Type a word, for example: animal.")
        parts = self.tokenizer.pieces_of(word, first=first, glued=not given.leads[positions[0]])
        if not parts or any(part.token == self.tokenizer.unknown for part in parts):
            raise UnknownCharacters(f"The model does not know all characters of {quoted(word)}. Type another word.")
        start, end = positions[0], positions[-1] + 1
        ids = [*given.tokens.ids[:start], *[self.tokenizer.mask] * len(parts), *given.tokens.ids[end:]]
        if len(ids) > self.longest:
            raise InputTooLong(
                f"With {quoted(word)} ({len(parts)} pieces) this text has {len(ids)} tokens, and {self.longest} is "
                "the most that the model sees at once. Shorten the text."
            )
        segments = [*given.segments[:start], *[given.segments[start]] * len(parts), *given.segments[end:]]
        rows = self._logprobs(ids, segments, range(start, start + len(parts)))
        found = tuple(float(row[part.token]) for row, part in zip(rows, parts, strict=True))
        labels = [
            label_of(self.tokenizer.piece_of(part.token), self.tokenizer.begins(part.token, first=first and not index))
            for index, part in enumerate(parts)
        ]
        return WordScore(word, tuple(labels), found, 1.0)


def _begins(given: ClozeInput, place: int) -> bool:
    """Whether nothing of its text stands before a position."""
    return place == 0 or given.tokens.special[place - 1]


def _need_blanks(given: ClozeInput) -> None:
    if not given.blanks:
        raise InputError("Nothing is masked. Click a word to mask it, or type [MASK] in the text.")


def load_cloze(name: str | ModelCard = "bert", device: str = "auto", dtype: str = "float32") -> Cloze:
    """A shipped network that restores masked words, verified against the catalogue.

    Args:
        name: a key of `engine.catalogue.MODELS` of the family "bert".
        device: "auto", "cpu", "cuda" or "mps".
        dtype: "float32", "bfloat16" or "float16"; results are float32 in any case.

    Raises:
        UnknownModel, WeightsMissing, WeightsDamaged, DeviceError: each says what to do.
        Unsupported: no such dtype, or the model is of another family.
    """
    found = card(name)
    if found.family != "bert":
        raise Unsupported(f"{name} does not restore masked words: use {found.loader}.")
    where = pick_device(device)
    if dtype not in DTYPES:
        raise Unsupported(f"There is no dtype {dtype!r}. Choose one of: {', '.join(DTYPES)}.")
    verify(found)
    model = Bert(from_json(BertConfig, read_json(found.folder / CONFIG), CONFIG))
    load_weights(model, found.folder / WEIGHTS)
    path = found.folder / TOKENIZER
    tokenizer = ClozeSubwords(path.read_bytes(), path.name)
    with guard_memory(where):
        model.requires_grad_(False).eval().to(device=where, dtype=DTYPES[dtype])
    return Cloze(found, model, tokenizer, where)
