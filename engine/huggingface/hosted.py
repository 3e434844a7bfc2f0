"""A transformers model made ready to be watched: its attention sublayers, found by running it, and its shape."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from engine.errors import InputTooLong, Unsupported
from engine.huggingface.architecture import KINDS_OF, Architecture
from engine.huggingface.attention import Tapped, name_for, register, watched
from engine.models.query_key import QueryKey
from engine.models.taps import NO_TAPS, UNTAPPED, Place, Tap, Taps
from engine.types import KINDS, Kind

SOURCE, TARGET = 3, 2  # tokens of the run that finds the sublayers: what looks at what shows in their numbers


@dataclass(frozen=True, slots=True)
class Shape:
    """What is known of a model's attention.

    Attributes:
        architecture: what reads and what writes.
        layers: attention sublayers by kind.
        heads: query heads of each layer, by kind.
        key_heads: key and value heads of each layer, by kind: fewer than `heads` where several share one.
        head_widths: of one query of the first layer, by kind.
        width: of token vectors.
        vocabulary: number of token ids.
        context: the most tokens that it sees at once; 0 for any number.
    """

    architecture: Architecture
    layers: Mapping[Kind, int]
    heads: Mapping[Kind, int]
    key_heads: Mapping[Kind, int]
    head_widths: Mapping[Kind, int]
    width: int
    vocabulary: int
    context: int

    def check_length(self, length: int) -> None:
        """Refuse what the positions do not reach, before memory is taken for it.

        Raises:
            InputTooLong: more tokens than positions.
        """
        if self.context and length > self.context:
            raise InputTooLong(f"This model sees {self.context} tokens at most, and the text has {length}. Shorten it.")

    def attention_layers(self, kind: Kind) -> int:
        """Layers of a kind of attention."""
        return self.layers.get(kind, 0)

    def attention_heads(self, kind: Kind) -> int:
        """Heads of each layer of a kind of attention."""
        return self.heads.get(kind, 0)

    def attention_head_width(self, kind: Kind) -> int:
        """Width of what a head of a kind of attention gives."""
        return self.head_widths.get(kind, 0)

    def attention_key_heads(self, kind: Kind) -> int:
        """Key and value heads of each layer of a kind of attention."""
        return self.key_heads.get(kind, 0)

    def head_names(self, kind: Kind) -> tuple[str, ...]:
        """What a screen calls the heads: those that share a key head say which."""
        heads, keys = self.heads[kind], self.key_heads[kind]
        if heads == keys:
            return tuple(f"head {head + 1}" for head in range(heads))
        return tuple(f"head {head + 1} (key head {head * keys // heads + 1})" for head in range(heads))


@dataclass(slots=True)
class _Probe:
    """Records the sublayers of a run, in the order in which they are called."""

    calls: list[tuple[nn.Module, QueryKey]] = field(default_factory=list)

    def tap(self, module: nn.Module, seen: QueryKey) -> Tap:
        self.calls.append((module, seen))
        return UNTAPPED


@dataclass(frozen=True, slots=True, eq=False)
class Hosted:
    """A transformers model whose attention can be watched and changed.

    Attributes:
        model: a `transformers.PreTrainedModel` in evaluation mode.
        shape: of its attention.
        places: by the `id` of each attention module the sublayers that it is.
    """

    model: Any
    shape: Shape
    places: Mapping[int, tuple[Place, ...]]

    def run(self, taps: Taps = NO_TAPS, **inputs: Any) -> Any:
        """One forward with these taps; the model's own output."""
        with watched(Tapped(taps, self.places)):
            return self.model(**inputs, return_dict=True)

    def run_encoder(self, taps: Taps = NO_TAPS, **inputs: Any) -> Tensor:
        """The encoder's output (B, S, d) of an encoder-decoder."""
        with watched(Tapped(taps, self.places)):
            output: Tensor = self.model.get_encoder()(**inputs, return_dict=True).last_hidden_state
        return output

    @torch.inference_mode()
    def scale_of_vectors(self, stack: Any) -> float:
        """What a stack multiplies the vectors of ids by, and vectors given in their place not (Marian's encoder); 1
        where it treats both alike.
        """
        scale = float(getattr(stack, "embed_scale", 1.0))
        if scale == 1.0:
            return scale
        ids = torch.arange(SOURCE, device=self.device)[None]
        seen = []
        for inputs in ({"input_ids": ids}, {"inputs_embeds": stack.get_input_embeddings()(ids)}):
            probe = _Probe()
            with watched(probe):
                stack(**inputs)
            seen.append(probe.calls[0][1].query)
        return 1.0 if torch.allclose(seen[0], seen[1], rtol=1e-3, atol=1e-5) else scale

    @property
    def device(self) -> torch.device:
        """Where token ids go: of a model over several devices, that of its token vectors."""
        weight: Tensor = self.model.get_input_embeddings().weight
        return weight.device


@torch.inference_mode()
def hosted(model: Any, architecture: Architecture, context: int) -> Hosted:
    """A transformers model, made ready.

    Args:
        model: a `transformers.PreTrainedModel`.
        architecture: what its configuration says.
        context: the most tokens that it sees at once; 0 for any number.

    Raises:
        Unsupported: its attention does not go through the library's interface for attention functions, or its layers
            differ in their heads.
    """
    register()
    model.eval().requires_grad_(False)
    name = type(model).__name__
    try:
        model.set_attn_implementation(name_for(model))
    except ValueError as error:
        raise Unsupported(_closed(name)) from error
    probe = _Probe()
    try:
        with watched(probe):
            _run_once(model, architecture)
    except (MemoryError, torch.OutOfMemoryError):
        raise
    except Exception as error:  # whatever a network makes of another attention function
        raise Unsupported(_closed(name)) from error
    if {_kind(architecture, seen) for _, seen in probe.calls} != {*KINDS_OF[architecture]}:
        raise Unsupported(_closed(name))
    places: defaultdict[int, list[Place]] = defaultdict(list)
    found: defaultdict[Kind, list[QueryKey]] = defaultdict(list)
    for module, seen in probe.calls:
        kind = _kind(architecture, seen)
        places[id(module)].append((kind, len(found[kind])))
        found[kind].append(seen)
    shape = Shape(
        architecture,
        layers={kind: len(found[kind]) for kind in KINDS if kind in found},
        heads={kind: _same(name, found[kind], lambda seen: seen.query.shape[1]) for kind in KINDS if kind in found},
        key_heads={kind: _same(name, found[kind], lambda seen: seen.key.shape[1]) for kind in KINDS if kind in found},
        head_widths={kind: found[kind][0].query.shape[3] for kind in KINDS if kind in found},
        width=model.get_input_embeddings().weight.shape[1],
        vocabulary=model.get_input_embeddings().weight.shape[0],
        context=context,
    )
    return Hosted(model, shape, {module: tuple(some) for module, some in places.items()})


def _run_once(model: Any, architecture: Architecture) -> None:
    """A forward of a few tokens, any: what they are does not matter."""
    weight: Tensor = model.get_input_embeddings().weight

    def ids(count: int) -> Tensor:
        return torch.arange(count, device=weight.device)[None] % weight.shape[0]

    inputs = {"input_ids": ids(SOURCE), "attention_mask": torch.ones_like(ids(SOURCE))}
    if architecture == "encoder-decoder":
        inputs["decoder_input_ids"] = ids(TARGET)
    model(**inputs, use_cache=False) if architecture != "encoder" else model(**inputs)


def _kind(architecture: Architecture, seen: QueryKey) -> Kind:
    """Of the run of `_run_once`: `SOURCE` tokens look at each other, `TARGET` at each other, or these at those."""
    if architecture != "encoder-decoder":
        return architecture
    if seen.query.shape[2] == SOURCE:
        return "encoder"
    return "decoder" if seen.key.shape[2] == TARGET else "cross"


def _same(name: str, found: list[QueryKey], of: Callable[[QueryKey], int]) -> int:
    """A number that all layers have in common."""
    numbers = {of(seen) for seen in found}
    if len(numbers) > 1:
        raise Unsupported(
            f"The layers of this {name} differ in their number of heads ({', '.join(map(str, sorted(numbers)))}), "
            "which no view can draw. Export its attention and upload the file instead."
        )
    return numbers.pop()


def _closed(name: str) -> str:
    return (
        f"The attention of {name} does not go through transformers' interface for attention functions, so that it can "
        "neither be watched nor changed. Export its maps with transformers (output_attentions) and upload the file "
        "instead."
    )
