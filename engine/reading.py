"""One text in one model, whatever its family: what it reads, its attention sublayers, and a forward to watch them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch

from engine.cloze import Cloze
from engine.completion import Completer, fold_checked
from engine.errors import EmptyInput, InputTooLong, Unsupported
from engine.generation_trace import transformer
from engine.generator import Generator
from engine.loading import Model
from engine.map_checks import NOT_FINITE
from engine.models.taps import Taps
from engine.reader import Reader
from engine.runner import Runner, guard_memory
from engine.text import BOUNDARY
from engine.types import KINDS, AttentionMap, Kind, Tokens, Trace, TraceRequest

MOST = 4096  # tokens that are read at once
UNSEEN = "…"
"""In place of the token that a text's last one predicts."""


@dataclass(frozen=True, slots=True)
class Axes:
    """What looks and what is looked at, of one kind of attention.

    Attributes:
        query: the positions that look.
        key: the positions looked at.
        predicted: what each row predicts; None for encoder maps.
    """

    query: Tokens
    key: Tokens
    predicted: Tokens | None = None


@dataclass(frozen=True, slots=True)
class Reading:
    """One text in one model, ready to be run.

    Attributes:
        request: what is asked.
        axes: by kind of attention, those that the model has.
        layers: attention sublayers of each kind.
        heads: query heads of each layer.
        key_heads: key and value heads of each layer: fewer where query heads share them.
        run: one teacher-forced forward of the text, a batch of one, with taps.
        head_names: what a screen calls the heads of each kind; none where they are numbered.
        source_name: as in `AttentionMap`.
        notes: what is to be said of the text, such as that it was cut.
    """

    request: TraceRequest
    axes: Mapping[Kind, Axes]
    layers: Mapping[Kind, int]
    heads: Mapping[Kind, int]
    key_heads: Mapping[Kind, int]
    run: Callable[[Taps], None]
    head_names: Mapping[Kind, tuple[str, ...]]
    source_name: str = "source"
    notes: tuple[str, ...] = ()


def reading_of(model: Model, text: str, second: str = "", *, cut: bool = False) -> Reading:
    """A text in a model, ready to be run.

    Args:
        model: with attention.
        text: what it reads.
        second: of a model with two segments the second text; of a translator the output that is forced, its own where
            there is none.
        cut: read as much as the model takes, `MOST` tokens at most, and say so; else too long a text is an error.

    Raises:
        Unsupported: the model has no attention that can be watched.
        InputError: a text that cannot be used.
    """
    if not cut:
        return _reading(model, text, second)
    notes: tuple[str, ...] = ()
    limit = min(_limit(model) or MOST, MOST)
    size, kept = _size(model, text, second), text
    while size > limit and len(kept) > 1:
        notes = (_cut_note(model, _size(model, text, second), limit),)
        kept = _shorter(model, kept, size - limit)
        size = _size(model, kept, second)
    found = _reading(model, kept, second)
    return replace(found, notes=(*notes, *found.notes))


def trace_of(model: Model, text: str, second: str = "") -> Trace:
    """Every attention map of a text in a model; arguments and errors as of `reading_of`.

    Of a model that continues texts, the last row reads the last token and predicts the most probable next one.
    """
    match model:
        case Runner():
            return model.trace(text, second or None)
        case Reader():
            return model.trace(text, second)
        case Cloze():
            return model.trace(model.read(text, second))
        case Generator():
            return model.trace(text, (_next(model, text),))
        case Completer():
            return _characters(model, text)


# ---- families ----


def _reading(model: Model, text: str, second: str) -> Reading:
    match model:
        case Runner():
            return _translation(model, text, second)
        case Reader():
            return _encoded(model, *model.encode(text, second), model.card.identity)
        case Cloze():
            given = model.read(text, second)
            return _encoded(model, given.tokens, given.segments, model.card.identity, given.notes)
        case Generator():
            return _continued(model, text)
        case Completer():
            return _completed(model, text)


def _translation(runner: Runner, text: str, second: str) -> Reading:
    request = runner.request(text, second or None)
    source = runner.encode(request.text)
    predicted = runner.predicted(source, request)
    read = runner.read_for(predicted)
    axes: dict[Kind, Axes] = {
        "encoder": Axes(source, source),
        "decoder": Axes(read, read, predicted),
        "cross": Axes(read, source, predicted),
    }
    inputs = runner.tensor(source.ids), runner.tensor(read.ids)

    def run(taps: Taps) -> None:
        with torch.inference_mode(), guard_memory(runner.device):
            runner.model(*inputs, taps)

    return _made(runner, request, axes, run, "source")


def _encoded(
    model: Reader | Cloze, tokens: Tokens, segments: Sequence[int], identity: str, notes: tuple[str, ...] = ()
) -> Reading:
    ids = torch.tensor([tokens.ids], device=model.device)
    places = torch.tensor([tuple(segments)], device=model.device)

    def run(taps: Taps) -> None:
        with torch.inference_mode(), guard_memory(model.device):
            model.model(ids, places, taps=taps)

    request = TraceRequest(identity, tokens.text, None, 0)
    return _made(model, request, {"encoder": Axes(tokens, tokens)}, run, "", notes)


def _continued(generator: Generator, text: str) -> Reading:
    tokens = generator.tokens_of(text, ())
    if not text.strip() or not len(tokens):
        raise EmptyInput("There is nothing to look at yet. Type a text.")
    if generator.context and len(generator.whole(text)) > generator.context:
        raise InputTooLong(
            f"This text has {len(generator.whole(text)):,} tokens and {generator.card.name} takes "
            f"{generator.context:,} at most. Shorten it."
        )
    network = transformer(generator)
    ids, watch = generator.tensor(tokens.ids), getattr(network, "watch", network)  # without logits where that is known

    def run(taps: Taps) -> None:
        with torch.inference_mode(), guard_memory(generator.device):
            watch(ids, taps)

    request = TraceRequest(generator.card.identity, tokens.text, None, 0)
    notes = generator.unknown_notes(tokens)
    return _made(generator, request, {"decoder": Axes(tokens, tokens, _shifted(tokens))}, run, "", notes)


def _completed(completer: Completer, text: str) -> Reading:
    tokens = _letters(completer, text)
    ids = torch.tensor([tokens.ids], device=completer.device)

    def run(taps: Taps) -> None:
        with torch.inference_mode(), guard_memory(completer.device):
            completer.model(ids, taps)

    request = TraceRequest(completer.card.identity, tokens.text, None, 0)
    return _made(completer, request, {"decoder": Axes(tokens, tokens, _shifted(tokens))}, run, "")


def _made(
    model: Model,
    request: TraceRequest,
    axes: Mapping[Kind, Axes],
    run: Callable[[Taps], None],
    source_name: str,
    notes: tuple[str, ...] = (),
) -> Reading:
    """A reading of what the model really has.

    Raises:
        Unsupported: it has no attention that taps can watch.
    """
    if "read" not in model.card.supports:
        raise Unsupported(f"{model.card.name} has no attention that can be watched: choose a Transformer.")
    sizes: Any = model.model.config
    kinds = [kind for kind in KINDS if kind in axes and sizes.attention_layers(kind)]
    heads: dict[Kind, int] = {kind: sizes.attention_heads(kind) for kind in kinds}
    hosted = hasattr(sizes, "key_heads")
    return Reading(
        request,
        axes={kind: axes[kind] for kind in kinds},
        layers={kind: sizes.attention_layers(kind) for kind in kinds},
        heads=heads,
        key_heads={kind: sizes.attention_key_heads(kind) for kind in kinds} if hosted else heads,
        run=run,
        head_names={kind: sizes.head_names(kind) if hosted else () for kind in kinds},
        source_name=source_name,
        notes=notes,
    )


def _shifted(tokens: Tokens) -> Tokens:
    """What each token predicts: the next one; what comes after the last is not known."""
    words = (*tokens.words[1:], tokens.words[-1] + 1)
    labels, spans = (*tokens.labels[1:], UNSEEN), (*tokens.spans[1:], (0, 0))
    ids = (*tokens.ids[1:], 0)
    return Tokens(
        tokens.text, labels, ids, tuple(word - words[0] for word in words), spans, (*tokens.special[1:], True)
    )


def _next(generator: Generator, text: str) -> int:
    """The most probable next token that the model can say."""
    from engine.decoding.options import SampleOptions

    if not text.strip():
        raise EmptyInput("There is nothing to look at yet. Type a text.")
    choices = generator.next_token(text, (), SampleOptions(1, 1.0, 0, 1.0, 0, 1), 1).choices
    if not choices:
        raise Unsupported(NOT_FINITE)
    return choices[0].token


# ---- characters ----


def _letters(completer: Completer, text: str) -> Tokens:
    folded = fold_checked(text, completer.card.longest - 1)
    labels = tuple(BOUNDARY if letter == " " else letter for letter in folded.text)
    spans = tuple((index, index + 1) for index in range(len(folded)))
    return Tokens(folded.text, labels, folded.ids, folded.words, spans, (False,) * len(folded))


@torch.inference_mode()
def _characters(completer: Completer, text: str) -> Trace:
    """A text in a Transformer that completes words: each character predicts its whole word."""
    import numpy as np

    tokens = _letters(completer, text)
    with guard_memory(completer.device):
        passed = completer.model.forward_with_maps(torch.tensor([tokens.ids], device=completer.device))
        best = passed.logits[0].float().log_softmax(-1).max(-1)
    words = tuple(completer.words[index] for index in best.indices.tolist())
    predicted = Tokens(
        " ".join(words), words, (), tuple(range(len(words))), ((0, 0),) * len(words), (False,) * len(words)
    )
    attention = AttentionMap(
        "decoder", passed.decoder[:, 0].float().cpu().numpy(), tokens, tokens, predicted, source_name=""
    )
    return Trace(
        request=TraceRequest(completer.card.identity, tokens.text, None, 0),
        source=tokens,
        read=tokens,
        predicted=predicted,
        translation="",
        maps={"decoder": attention},
        token_logprobs=np.minimum(best.values.cpu().numpy(), 0.0),
        device=completer.device,
    )


# ---- long texts ----


def _limit(model: Model) -> int:
    """The most tokens that a model takes, 0 for any number."""
    return model.context if isinstance(model, Generator) else model.card.longest


def _size(model: Model, text: str, second: str) -> int:
    """How many tokens a text has for a model, special ones included."""
    match model:
        case Runner():
            return len(model.tokenizer.encode(model.tokenizer.normalise(text)))
        case Reader() | Cloze():
            return model.length(text, second)
        case Generator():
            return len(model.whole(text))
        case Completer():
            return len(fold_checked(text, 50 * MOST))


def _shorter(model: Model, text: str, excess: int) -> str:
    """A text without as many tokens at its end, at least one character shorter, at a space where there is one."""
    size = max(1, _size(model, text, ""))
    end = max(1, min(len(text) - 1, len(text) * (size - excess) // size))
    space = text.rfind(" ", max(1, end - 80), end)
    return text[: space if space > 0 else end]


def _cut_note(model: Model, size: int, limit: int) -> str:
    reason = f"{model.card.name} takes {limit:,} at most" if _limit(model) else f"{limit:,} are read at most"
    return f"This text has {size:,} tokens and {reason}: it was cut at its end."
