"""`load_cloze(name)` gives a Cloze: a BERT behind texts with blanks, pairs of texts, and attention maps."""

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
from engine.errors import EmptyInput, InputError, InputTooLong, UnknownCharacters, Unsupported
from engine.models.bert import Bert, BertConfig
from engine.runner import DTYPES, guard_memory, pick_device
from engine.text import BOUNDARY, UNKNOWN, normalise, quoted
from engine.types import AttentionMap, Tokens, Trace, TraceRequest
from engine.weights import CONFIG, TOKENIZER, WEIGHTS, from_json, load_weights, read_json, verify

_NOTHING = Tokens("", (), (), (), (), ())


@dataclass(frozen=True, slots=True)
class Cloze:
    """A BERT, ready to run. It keeps weights only; every result is returned, none is stored.

    Attributes:
        card: what is known of it.
        model: in evaluation mode.
        tokenizer: its subwords.
        device: where it runs.
    """

    card: ModelCard
    model: Bert
    tokenizer: ClozeSubwords
    device: str

    @property
    def longest(self) -> int:
        """The most tokens that it sees at once, [CLS] and [SEP] included."""
        return min(self.card.longest or self.model.config.context, self.model.config.context)

    @property
    def banned(self) -> tuple[int, ...]:
        """Ids that are never candidates."""
        return self.tokenizer.specials

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
            InputError: there is no second text.
            DeviceError: out of memory.
        """
        if not given.second:
            raise InputError("There is one text only. Type a second one to ask whether it follows the first.")
        with guard_memory(self.device), torch.inference_mode():
            logits = self.model.follows(self._hidden(given.tokens.ids, given.segments))
            return float(logits[0].float().softmax(-1)[0])

    def trace(self, given: ClozeInput) -> Trace:
        """Every attention map of one pass: all tokens look at all tokens, masks and special tokens included.

        Raises:
            DeviceError: out of memory.
        """
        started = time.perf_counter()
        with guard_memory(self.device), torch.inference_mode():
            ids, segments = self._batch(given.tokens.ids, given.segments)
            weights = self.model.forward_with_maps(ids, segments).encoder[:, 0].float().cpu().numpy()
        return Trace(
            request=TraceRequest(self.card.identity, given.tokens.text, None, 0),
            source=given.tokens,
            read=_NOTHING,
            predicted=_NOTHING,
            translation="",
            maps={"encoder": AttentionMap("encoder", weights, given.tokens, given.tokens, source_name="")},
            token_logprobs=np.zeros(0, dtype=np.float32),
            device=self.device,
            milliseconds=1000 * (time.perf_counter() - started),
            notes=given.notes,
        )

    def _batch(self, ids: Sequence[int], segments: Sequence[int]) -> tuple[Tensor, Tensor]:
        return torch.tensor([ids], device=self.device), torch.tensor([segments], device=self.device)

    def _hidden(self, ids: Sequence[int], segments: Sequence[int]) -> Tensor:
        """Outputs (1, T, d)."""
        tokens, places = self._batch(ids, segments)
        return self.model.hidden_from_embeddings(self.model.embedding(tokens), places)

    def _logprobs(self, ids: Sequence[int], segments: Sequence[int], places: Sequence[int]) -> Tensor:
        """Natural log-probabilities at some positions, float32 (position, vocabulary) on the CPU; special ids −inf."""
        with guard_memory(self.device), torch.inference_mode():
            hidden = self._hidden(ids, segments)[0, list(places)]
            logits = self.model.logits(hidden).float()
            logits[:, list(self.banned)] = -torch.inf
            return logits.log_softmax(-1).cpu()

    def _blank(self, given: ClozeInput, place: int, logprobs: Tensor, n: int) -> Blank:
        ordinary = len(self.tokenizer) - len(self.banned)
        best = logprobs.topk(min(n, ordinary)).indices.tolist()
        own, word = given.own[place], given.tokens.words[place]
        known = own >= 0 and own not in self.banned
        return Blank(
            place,
            word,
            None if given.words[word] == MASK else given.words[word],
            self._candidate(own, logprobs) if known else None,
            tuple(self._candidate(token, logprobs, rank) for rank, token in enumerate(best, start=1)),
        )

    def _candidate(self, token: int, logprobs: Tensor, rank: int | None = None) -> Candidate:
        """One piece; of equally probable ones all have the best rank, unless `rank` says otherwise."""
        piece = self.tokenizer.piece_of(token)
        above = int((logprobs > logprobs[token]).sum()) + 1 if rank is None else rank
        probability = float(logprobs[token].exp())
        return Candidate(token, label_of(piece), piece.replace(BOUNDARY, " "), probability, above)

    def _score(self, given: ClozeInput, positions: Sequence[int], text: str) -> WordScore:
        """One word in the place of some positions; its share is left to do."""
        word = normalise(text)
        if not word:
            raise EmptyInput("One of the words to compare is empty. Type a word, for example: animal.")
        pieces = self.tokenizer.pieces(word, glued=not given.leads[positions[0]])
        if any(token == UNKNOWN for token, _ in pieces):
            raise UnknownCharacters(f"The model does not know all characters of {quoted(word)}. Type an English word.")
        start, end = positions[0], positions[-1] + 1
        masks = [self.tokenizer.id_of(MASK)] * len(pieces)
        ids = [*given.tokens.ids[:start], *masks, *given.tokens.ids[end:]]
        if len(ids) > self.longest:
            raise InputTooLong(
                f"With {quoted(word)} ({len(pieces)} pieces) this text has {len(ids)} tokens, and {self.longest} is "
                "the most that the model sees at once. Shorten the text."
            )
        segments = [*given.segments[:start], *[given.segments[start]] * len(pieces), *given.segments[end:]]
        rows = self._logprobs(ids, segments, range(start, start + len(pieces)))
        found = tuple(float(row[token]) for row, (token, _) in zip(rows, pieces, strict=True))
        return WordScore(word, tuple(label_of(piece) for _, piece in pieces), found, 1.0)


def _need_blanks(given: ClozeInput) -> None:
    if not given.blanks:
        raise InputError("Nothing is masked. Click a word to mask it, or type [MASK] in the text.")


def load_cloze(name: str = "bert", device: str = "auto", dtype: str = "float32") -> Cloze:
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
