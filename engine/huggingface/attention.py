"""The attention of transformers models on our two paths, through the library's own interface for attention functions.

Every sublayer of a model that was given this function calls it with its queries, keys and values. What a forward writes
down or changes there (`engine.models.taps`) travels beside it in a context variable: nothing is stored on the model, no
hook hangs on it, and threads can share it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from engine.models.query_key import QueryKey
from engine.models.taps import UNTAPPED, Place, Tap, Taps

NAME, MASKED = "saccade", "saccade-masked"
"""What the function is called in a configuration: where a causal mask may be left out, and where masks say all."""


class Watch(Protocol):
    """What a forward asks at each attention sublayer."""

    def tap(self, module: nn.Module, seen: QueryKey) -> Tap: ...


_watch: ContextVar[Watch | None] = ContextVar("watch", default=None)


class Tapped:
    """Taps by sublayer. A module that stands for several layers (ALBERT) is each of them in turn."""

    def __init__(self, taps: Taps, places: Mapping[int, tuple[Place, ...]]) -> None:
        """Args:
        taps: those of the forward.
        places: by the `id` of an attention module the sublayers that it is, in the order of its calls.
        """
        self._taps, self._places = taps, places
        self._calls: Counter[int] = Counter()

    def tap(self, module: nn.Module, seen: QueryKey) -> Tap:
        """The tap of the sublayer that runs now."""
        places = self._places[id(module)]
        call = self._calls[id(module)]
        self._calls[id(module)] += 1
        return self._taps.get(places[call % len(places)], UNTAPPED)


@contextmanager
def watched(watch: Watch) -> Iterator[None]:
    """What forwards of this thread ask at their sublayers, as long as it lasts."""
    token = _watch.set(watch)
    try:
        yield
    finally:
        _watch.reset(token)


def register() -> None:
    """Make the function known to transformers; again does nothing."""
    from transformers import AttentionInterface, AttentionMaskInterface
    from transformers.masking_utils import eager_mask, sdpa_mask

    AttentionInterface.register(NAME, attend)
    AttentionMaskInterface.register(NAME, sdpa_mask)
    AttentionInterface.register(MASKED, attend_masked)
    AttentionMaskInterface.register(MASKED, eager_mask)


def name_for(model: Any) -> str:
    """Which of the two a model needs: one that the library runs on eager attention alone says nothing of causality."""
    return NAME if getattr(model, "_supports_sdpa", False) else MASKED


def attend(
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    scaling: float | None = None,
    dropout: float = 0.0,
    is_causal: bool | None = None,
    position_bias: Tensor | None = None,
    softcap: float | None = None,
    s_aux: Tensor | None = None,
    **others: Any,
) -> tuple[Tensor, Tensor | None]:
    """One attention sublayer; the signature is transformers' own.

    Args:
        module: the sublayer.
        query: (B, H, Q, D).
        key: (B, G, K, D), G the number of key/value heads.
        value: (B, G, K, D).
        attention_mask: bool, True where looking is allowed, or float, added; None for a whole causal pass or no mask.
        scaling: of q·k; None for 1/√D.
        dropout: not used: models are in evaluation mode.
        is_causal: whether a missing mask means a causal one; None asks the module.
        position_bias: added to the logits (T5).
        softcap: logits are pressed below it (Gemma 2).
        s_aux: one logit a head that takes weight and gives nothing (GPT-OSS).
        others: what other functions need.

    Returns:
        (B, Q, H, D), and nothing for the weights: taps have them.
    """
    causal = getattr(module, "is_causal", True) if is_causal is None else is_causal
    causal = bool(causal) and query.shape[2] > 1 and attention_mask is None
    factor = query.shape[-1] ** -0.5 if scaling is None else scaling
    seen = QueryKey(query, key, factor, attention_mask, causal, position_bias, softcap, s_aux)
    watch = _watch.get()
    tap = UNTAPPED if watch is None else watch.tap(module, seen)
    if tap.look is not None:
        tap.look(seen)
    differentiated = torch.is_grad_enabled() and query.requires_grad
    if tap.explicit or differentiated or softcap is not None or s_aux is not None:
        mixed = _explicit(seen, value, tap, fill=not differentiated)
    else:
        mixed = _fused(module, seen, value, is_causal, others).transpose(1, 2)
    if tap.change_outputs is not None:
        mixed = tap.change_outputs(mixed)
    if tap.values is not None:
        tap.values.copy_(_for_each_head(value, seen.groups).detach())
    if tap.outputs is not None:
        tap.outputs.copy_(mixed.detach())
    return mixed.transpose(1, 2).contiguous(), None


def attend_masked(
    module: nn.Module, query: Tensor, key: Tensor, value: Tensor, attention_mask: Tensor | None, **others: Any
) -> tuple[Tensor, Tensor | None]:
    """`attend` where a missing mask means that everything may be looked at."""
    return attend(module, query, key, value, attention_mask, **{**others, "is_causal": False})


def _explicit(seen: QueryKey, value: Tensor, tap: Tap, *, fill: bool) -> Tensor:
    """The heads' outputs (B, H, Q, D) by their weights one by one."""
    looked = seen.weights_into(tap.weights) if fill and tap.weights is not None else seen.weights()
    if tap.change_weights is not None:
        looked = tap.change_weights(looked)
    if tap.weights is not None and looked is not tap.weights:
        tap.weights.copy_(looked.detach())
    return torch.matmul(looked.to(value.dtype), _for_each_head(value, seen.groups))


def _fused(
    module: nn.Module, seen: QueryKey, value: Tensor, is_causal: bool | None, others: Mapping[str, Any]
) -> Tensor:
    """(B, Q, H, D) by the library's fused path, which masks, grouped heads and biases are its own affair of."""
    from transformers.integrations.sdpa_attention import sdpa_attention_forward

    found: Tensor = sdpa_attention_forward(
        module,
        seen.query,
        seen.key,
        value,
        seen.mask,
        scaling=seen.scaling,
        is_causal=is_causal,
        position_bias=seen.bias,
        **others,
    )[0]
    return found


def _for_each_head(values: Tensor, groups: int) -> Tensor:
    """(B, G, K, D) to (B, H, K, D): each query head's own."""
    return values if groups == 1 else values.repeat_interleave(groups, dim=1)
