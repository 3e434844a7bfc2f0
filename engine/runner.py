"""`load(name)` gives a Runner: a model, its tokenizer and its device behind texts and traces."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch

from engine.catalogue import ModelCard, card
from engine.decoding.search import Vocabulary, greedy_many
from engine.decoding.step import MapModel, StepModel
from engine.edits import Edits, Intervened, Outputs, compile_edits
from engine.errors import DeviceError, InputError, InputTooLong, Unsupported
from engine.huggingface.hosted import Shape
from engine.interventions import Intervention, Patch
from engine.map_checks import check_finite, check_maps
from engine.models.transformer import Transformer
from engine.models.translator import Translator, head_names, translator, translator_config
from engine.reference import output_buffers, reference_means
from engine.text import Subwords, TranslationTokenizer, with_start
from engine.types import AttentionMap, Kind, Tokens, Trace, TraceRequest
from engine.weights import CONFIG, TOKENIZER, WEIGHTS, load_weights, read_json, verify

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}
ALTERNATIVES = 5  # most probable tokens kept for each output step
_NO_MEMORY = re.compile(r"out of memory|not enough memory|can't allocate memory", re.IGNORECASE)
LONGEST_OUTPUT = 192  # tokens, </s> included


def pick_device(device: str) -> str:
    """The device to run on; "auto" takes CUDA, then MPS, then the CPU.

    Raises:
        DeviceError: unknown, or not on this machine.
    """
    there = {"cpu": True, "cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    if device == "auto":
        return next(name for name in ("cuda", "mps", "cpu") if there[name])
    if device not in there:
        raise DeviceError(f"There is no device {device!r}. Choose auto, cpu, cuda or mps.")
    if not there[device]:
        raise DeviceError(f"This machine has no {device} device that torch can use. Choose --device cpu or auto.")
    return device


def limit_threads(count: int) -> None:
    """Use `count` CPU threads for this process.

    A web process wants one: with several sessions on few cores, threads that wait for each other can stall a forward.
    """
    torch.set_num_threads(count)


@contextmanager
def guard_memory(device: str) -> Iterator[None]:
    """Turn an out-of-memory error into one that says what to do."""
    try:
        yield
    except (RuntimeError, MemoryError) as error:  # torch has a class of its own for CUDA only
        if not isinstance(error, MemoryError | torch.OutOfMemoryError) and not _NO_MEMORY.search(str(error)):
            raise
        instead = "Use a shorter text." if device == "cpu" else "Use a shorter text, or start with --device cpu."
        raise DeviceError(f"The {device} device ran out of memory. {instead}") from error


class Runner:
    """A translation model ready to run. It keeps weights only; every result is returned and none is stored."""

    def __init__(self, card: ModelCard, model: Translator, tokenizer: TranslationTokenizer, device: str) -> None:
        self.card = card
        self.model = model
        self.tokenizer = tokenizer
        self.device = device
        self.vocabulary = Vocabulary(tokenizer.pad, tokenizer.start, tokenizer.end, tokenizer.banned)

    @property
    def longest_output(self) -> int:
        """The most tokens of an output, </s> included."""
        config = self.model.config
        return min(LONGEST_OUTPUT, (config.context if isinstance(config, Shape) else 0) or LONGEST_OUTPUT)

    @property
    def steps(self) -> MapModel[Any]:
        """The model as searches see it."""
        return self.model

    @property
    def transformer(self) -> Transformer:
        """The model, where only a Transformer will do.

        Raises:
            Unsupported: it is none.
        """
        if not isinstance(self.model, Transformer):
            raise Unsupported(
                f"{self.card.name} has no attention of source or output with itself: choose a Transformer."
            )
        return self.model

    def encode(self, text: str) -> Tokens:
        """Tokens of a source text, </s> last.

        Raises:
            EmptyInput, UnknownCharacters: see `Subwords.encode`.
            InputTooLong: more tokens than the card's limit; the message states both.
        """
        tokens = self.tokenizer.encode(text)
        if self.card.longest and len(tokens) > self.card.longest:
            raise InputTooLong(
                f"This text has {len(tokens)} tokens and {self.card.name} takes {self.card.longest} at most. "
                "Shorten it, or try one sentence at a time."
            )
        return tokens

    def request(self, text: str, target: str | None = None, interventions: Sequence[Intervention] = ()) -> TraceRequest:
        """The full record of a question to this model, with texts normalised."""
        forced = self.tokenizer.normalise_output(target) if target is not None else ""
        source = self.tokenizer.normalise(text)
        return TraceRequest(self.card.identity, source, forced or None, self.longest_output, (*interventions,))

    def read_for(self, predicted: Tokens) -> Tokens:
        """What the decoder reads to predict these tokens: what starts every output, then all but the last."""
        return with_start(predicted, self.tokenizer.start, self.tokenizer.label_of(self.tokenizer.start))

    def translate(self, texts: Sequence[str], report: Callable[[int], None] = lambda done: None) -> list[str]:
        """Greedy translations, batched.

        Args:
            texts: one source each.
            report: called with the number of texts finished since the last call.

        Raises:
            InputError: a text that cannot be used.
            DeviceError: out of memory.
        """
        sources = [self._numbered(index, texts).ids for index in range(len(texts))]
        with guard_memory(self.device):
            outputs = greedy_many(self.steps, sources, self.vocabulary, self.longest_output, self.device, report)
        return [self.tokenizer.decode(ids) for ids in outputs]

    def _numbered(self, index: int, texts: Sequence[str]) -> Tokens:
        """`encode` of one of several texts; an error says which."""
        try:
            return self.encode(texts[index])
        except InputError as error:
            raise error if len(texts) == 1 else type(error)(f"Text {index + 1} of {len(texts)}: {error}") from None

    def trace(self, text: str, target: str | None = None, interventions: Sequence[Intervention] = ()) -> Trace:
        """Translate a text, or force a translation, and capture every attention map.

        The output is decoded first; then one teacher-forced pass over source and output gives one complete set of maps.

        Args:
            text: the source.
            target: the output to force; None lets the model choose greedily.
            interventions: what is changed in the model, while decoding and in the pass alike.

        Raises:
            InputError: a text that cannot be used, a target over the output limit, or an intervention at a head or a
                position that is not there.
            DeviceError: out of memory.
        """
        return self.run(self.request(text, target, interventions))

    @torch.inference_mode()
    def run(self, request: TraceRequest) -> Trace:
        """`trace` of a recorded request; made with other weights, it runs and the trace's notes say so."""
        started = time.perf_counter()
        source = self.encode(request.text)
        with guard_memory(self.device):
            edits = self.edits(request.interventions)
            predicted = self._predicted(source, request, edits)
            read = self.read_for(predicted)
            long, wide = len(source), len(read)
            check_maps(self.model.config, {"encoder": (long, long), "decoder": (wide, wide), "cross": (wide, long)})
            outputs = self.model.forward_with_maps(self.tensor(source.ids), self.tensor(read.ids), edits.at(0))
            logprobs = outputs.logits[0].float().log_softmax(-1)
            chosen = logprobs.gather(1, self.tensor(predicted.ids).T)[:, 0].cpu().numpy()
            alternatives = self._alternatives(logprobs)
            maps = {kind: array[:, 0].float().cpu().numpy() for kind, array in outputs.by_kind.items()}
        for array in maps.values():
            check_finite(array)
        axes: dict[Kind, tuple[Tokens, Tokens, Tokens | None]] = {
            "encoder": (source, source, None),
            "decoder": (read, read, predicted),
            "cross": (read, source, predicted),
        }
        return Trace(
            request=request,
            source=source,
            read=read,
            predicted=predicted,
            translation=predicted.text,
            maps={kind: self._map(kind, weights, axes[kind]) for kind, weights in maps.items()},
            token_logprobs=np.minimum(chosen, 0.0),
            alternatives=alternatives,
            device=self.device,
            milliseconds=(time.perf_counter() - started) * 1000,
            notes=self._notes(request, source, predicted),
        )

    def _map(self, kind: Kind, weights: np.ndarray, axes: tuple[Tokens, Tokens, Tokens | None]) -> AttentionMap:
        return AttentionMap(kind, weights, *axes, head_names=head_names(self.model.config, kind))

    def edits(self, interventions: Sequence[Intervention]) -> Edits:
        """The interventions, checked and ready for a forward.

        Raises:
            InputError: a head or a position that is not there.
        """
        if not interventions:
            return Edits({}, {})
        return compile_edits(
            interventions,
            self.model.config,
            means=lambda: reference_means(self.model, self.tokenizer),
            donor=self._donor,
        )

    @torch.inference_mode()
    def _donor(self, patch: Patch) -> Outputs:
        """What heads give in the run that a patch takes from, (H, Q, d/H)."""
        source = self.encode(patch.text)
        if patch.target is None and any(head.kind != "encoder" for head in patch.heads):
            raise InputError("A decoder or cross head can only be patched from a forced output. Give its translation.")
        read = self.read_for(self._forced(patch.target)) if patch.target is not None else None
        taps = output_buffers(self.model, 1, len(source), len(read) if read else 1)
        self.model(self.tensor(source.ids), self.tensor(read.ids if read else (self.tokenizer.start,)), taps)
        return {place: tap.outputs[0] for place, tap in taps.items() if tap.outputs is not None}

    @torch.inference_mode()
    def predicted(self, source: Tokens, request: TraceRequest) -> Tokens:
        """The output's tokens of a request without interventions: decoded, or forced.

        Raises:
            InputError: a target over the output limit.
            DeviceError: out of memory.
        """
        with guard_memory(self.device):
            return self._predicted(source, request, Edits({}, {}))

    def _predicted(self, source: Tokens, request: TraceRequest, edits: Edits) -> Tokens:
        """The output's tokens: decoded, or forced."""
        if request.target is not None:
            return self._forced(request.target)
        limit = max(1, min(request.max_length, self.longest_output))  # a request may come from an address
        model: StepModel[Any] = Intervened(self.model, edits) if request.interventions else self.steps
        return self.tokenizer.decode_tokens(greedy_many(model, [source.ids], self.vocabulary, limit, self.device)[0])

    def _forced(self, target: str) -> Tokens:
        forced = self.tokenizer.encode_output(target)
        if len(forced) > self.longest_output:
            raise InputTooLong(
                f"This translation has {len(forced)} tokens and the limit is {self.longest_output}. Shorten it."
            )
        return forced

    def _alternatives(self, logprobs: torch.Tensor) -> tuple[tuple[tuple[str, float], ...], ...]:
        """The most probable tokens of each step, best first."""
        best = logprobs.topk(ALTERNATIVES, dim=-1)
        rows = zip(best.indices.tolist(), best.values.tolist(), strict=True)
        return tuple(tuple(zip(map(self.tokenizer.label_of, ids), scores, strict=True)) for ids, scores in rows)

    def _notes(self, request: TraceRequest, source: Tokens, predicted: Tokens) -> tuple[str, ...]:
        notes = []
        if request.model != self.card.identity:
            notes.append(f"Asked of {request.model}, answered by {self.card.identity}: the weights have changed since.")
        if unknown := source.ids.count(self.tokenizer.unknown):
            notes.append(f"The model does not know {unknown} of the source's tokens and reads them as unknown.")
        if predicted.ids[-1] != self.tokenizer.end:
            notes.append(f"The output was cut at {len(predicted)} tokens.")
        if request.target is not None and self.tokenizer.unknown in predicted.ids:
            notes.append(
                "Some characters of the forced translation are unknown to the model; their probability means little."
            )
        return tuple(notes)

    def tensor(self, ids: Sequence[int]) -> torch.Tensor:
        """Ids as a batch of one, int64 (1, T), on the model's device."""
        return torch.tensor([ids], device=self.device)


def load(name: str | ModelCard, device: str = "auto", dtype: str = "float32") -> Runner:
    """A shipped model, verified against the catalogue.

    Args:
        name: a key of `engine.catalogue.MODELS`.
        device: "auto", "cpu", "cuda" or "mps".
        dtype: "float32", "bfloat16" or "float16"; maps are float32 in any case.

    Raises:
        UnknownModel, WeightsMissing, WeightsDamaged, DeviceError: each says what to do.
        Unsupported: no such dtype, or the model does not translate.
    """
    found = card(name)
    if "translate" not in found.supports:
        raise Unsupported(f"{name} does not translate: use {found.loader}.")
    where = pick_device(device)
    if dtype not in DTYPES:
        raise Unsupported(f"There is no dtype {dtype!r}. Choose one of: {', '.join(DTYPES)}.")
    verify(found)
    model = translator(translator_config(read_json(found.folder / CONFIG), CONFIG))
    load_weights(model, found.folder / WEIGHTS)
    with guard_memory(where):
        model.requires_grad_(False).eval().to(device=where, dtype=DTYPES[dtype])
    return Runner(found, model, Subwords.load(found.folder / TOKENIZER), where)
