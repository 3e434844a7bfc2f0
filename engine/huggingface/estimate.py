"""What a model is and what it needs, before it is loaded: from its configuration and the headers of its files."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from engine.errors import ConfigError, SaccadeError, Unsupported, WeightsDamaged
from engine.huggingface import memory
from engine.huggingface.architecture import (
    KINDS_OF,
    WORDS,
    Architecture,
    architecture_of,
    context_of,
    network_class,
    restores,
    supports,
)
from engine.huggingface.checks import CONFIG, Checked
from engine.huggingface.files import read_object
from engine.huggingface.memory import shown_bytes
from engine.model_card import Capability
from engine.types import Kind
from engine.weights import BUILDING

FLOAT32 = 4  # bytes
MOST_TABLE = 1 << 28  # the most numbers of a table of positions: larger ones are of rotary models, which have none
SLACK = 2_000_000  # parameters that a small model's file may lack: a pooling layer, a tied table


@dataclass(frozen=True, slots=True)
class Estimate:
    """What a model is and what it needs.

    Attributes:
        name: what it is called.
        family: the architecture's own word, as its config says it ("llama"); "saccade" for this project's.
        kind: what reads and what writes; None where it has no attention.
        parameters: as they are stored.
        dtypes: of the weights, that with the most bytes first, as safetensors writes them.
        quantised: how, or None.
        device: "cpu", "cuda" or "mps".
        needed: bytes of memory for the weights.
        there: bytes of memory that the device has left.
        layers: with attention, by its kind.
        heads: query heads of a layer, by kind.
        key_heads: key and value heads of a layer, by kind.
        context: the most tokens at once; 0 where there is no limit.
        window: how far layers with sliding attention look; 0 where none slides.
        supports: what it can do once it is open.
    """

    name: str
    family: str
    kind: Architecture | None
    parameters: int
    dtypes: tuple[str, ...]
    quantised: str | None
    device: str
    needed: int
    there: int
    layers: Mapping[Kind, int]
    heads: Mapping[Kind, int]
    key_heads: Mapping[Kind, int]
    context: int = 0
    window: int = 0
    supports: frozenset[Capability] = frozenset()

    def map_bytes(self, tokens: int) -> int:
        """Bytes of every attention map of a text in float32: layers × heads × tokens², over all kinds.

        Source and target of a model that has both are taken as equally long.
        """
        return sum(self.layers[kind] * self.heads[kind] for kind in self.layers) * tokens**2 * FLOAT32

    @property
    def architecture(self) -> str:
        """In a few words: "decoder-only (llama), 32 heads share 8 key/value heads"."""
        words = f"{WORDS[self.kind]} ({self.family})" if self.kind else f"no attention ({self.family})"
        shared = next((kind for kind in self.layers if self.key_heads[kind] < self.heads[kind]), None)
        if shared is None:
            return words
        keys = self.key_heads[shared]
        return f"{words}, {self.heads[shared]} heads share {keys} key/value head{'s' if keys > 1 else ''}"

    @property
    def problem(self) -> str:
        """Why it cannot be loaded, "" if it can."""
        if self.needed <= self.there:
            return ""
        return (
            f"It does not fit: it needs {shown_bytes(self.needed)} of memory, and {self.device} has "
            f"{shown_bytes(self.there)} left. Unload a model, or start on a machine or device with more."
        )


def estimate(checked: Checked, device: str = "auto") -> Estimate:
    """What a model is and what it needs on a device. No weight is read.

    The architecture is built without memory, to see that it is one that reads text and that the files hold its weights:
    a configuration that claims more than there is would fill the memory with random ones.

    Raises:
        ConfigError: the configuration has impossible values.
        Unsupported: it reads no text, or it has no attention.
        WeightsDamaged: the files hold far fewer weights than the configuration says.
        DeviceError: there is no such device.
    """
    from engine.runner import pick_device

    where = pick_device(device)
    common: dict[str, Any] = {
        "name": checked.name,
        "parameters": checked.parameters,
        "dtypes": checked.dtypes,
        "quantised": checked.quantised,
        "device": where,
        "there": memory.available(where),
    }
    if checked.kind == "saccade":
        needed = checked.parameters * FLOAT32  # stored in half precision, widened when loaded
        return Estimate(family="saccade", needed=needed, **_own_shape(checked.config), **common)
    config = _configuration(checked)
    try:
        shape = _shape(config, checked, check_skeleton(config, checked))
    except SaccadeError:
        raise
    except Exception as error:  # whatever impossible values make of it
        raise _impossible(error) from error
    return Estimate(family=str(config.model_type), needed=checked.bytes, **shape, **common)


# --- The library's configuration --------------------------------------------------------------------------------------


def _configuration(checked: Checked) -> Any:
    """The library's own configuration of a folder: its defaults filled in, its names made common."""
    from transformers import AutoConfig

    try:
        return AutoConfig.from_pretrained(str(checked.folder), local_files_only=True, trust_remote_code=False)
    except Exception as error:  # whatever the library makes of impossible values
        raise _impossible(error) from error


def _impossible(error: Exception) -> ConfigError:
    reason = textwrap.shorten(str(error), 160, placeholder=" …").rstrip(".")
    return ConfigError(f"{CONFIG} cannot be used ({type(error).__name__}: {reason}). Copy the model's own {CONFIG}.")


def check_skeleton(config: Any, checked: Checked) -> Any:
    """Build the architecture without memory: it must read text, and the files must hold about as many weights.

    Args:
        config: the library's own configuration of the folder.
        checked: its files.

    Returns:
        The network, without weights.

    Raises:
        ConfigError, Unsupported, WeightsDamaged: as `estimate`.
    """
    import torch

    text = config.get_text_config()
    table = _first(text, "max_position_embeddings", "n_positions") * _first(text, "hidden_size", "d_model")
    if table > MOST_TABLE and "rope_parameters" not in getattr(type(text), "__dataclass_fields__", {}):
        raise ConfigError(f"{CONFIG} claims an impossible table of positions. Copy the model's own {CONFIG}.")
    try:
        with BUILDING, torch.device("meta"):  # the device is for this thread alone
            skeleton = network_class(config).from_config(config, attn_implementation="eager", trust_remote_code=False)
    except Exception as error:  # whatever the library makes of impossible values
        if "Unrecognized configuration class" in str(error):
            raise Unsupported(f"{checked.name} does not read text as a language model does. Choose one.") from error
        raise _impossible(error) from error
    if getattr(skeleton, "main_input_name", "input_ids") != "input_ids":
        raise Unsupported(f"{checked.name} does not read text. Choose a language model.")
    expected = sum(parameter.numel() for parameter in skeleton.parameters())
    if expected > checked.parameters * (8 if checked.quantised else 2) + SLACK:
        raise WeightsDamaged(
            f"{CONFIG} of {checked.name} describes {counted(expected)} parameters and its weights are "
            f"{counted(checked.parameters)}: they do not belong together. Copy the model again."
        )
    return skeleton


def _shape(config: Any, checked: Checked, skeleton: Any) -> dict[str, Any]:
    """Kind, layers, heads, context and window, by the names that the library gives them."""
    kind = architecture_of(config)
    if kind == "encoder-decoder":
        encoder, decoder = getattr(config, "encoder", config), getattr(config, "decoder", config)
        sides: dict[Kind, tuple[int, int, int]] = {
            "encoder": _side(encoder, "encoder"),
            "decoder": _side(decoder, "decoder"),
            "cross": _side(decoder, "decoder"),
        }
    else:
        sides = {KINDS_OF[kind][0]: _side(config.get_text_config(), "")}
    if not all(layers and heads for layers, heads, _ in sides.values()):
        raise Unsupported(f"{checked.name} has no attention to look at. Choose a Transformer.")
    text = config.get_text_config()
    return {
        "kind": kind,
        "layers": {name: side[0] for name, side in sides.items()},
        "heads": {name: side[1] for name, side in sides.items()},
        "key_heads": {name: side[2] for name, side in sides.items()},
        "context": context_of(config, _longest(checked), skeleton),
        "window": _window(text),
        "supports": supports(kind, cloze=restores(config)),
    }


def _side(config: Any, side: str) -> tuple[int, int, int]:
    """Layers with attention, query heads, and key heads of an encoder or a decoder ("" where there is one side)."""
    names = (f"{side}_layers", f"num_{side}_layers") if side else ()
    layers = _first(config, *names, "num_hidden_layers")
    types = getattr(config, "layer_types", None)
    if not side and types:
        layers = sum("attention" in str(name) and "linear" not in str(name) for name in types)
    heads = _first(config, *((f"{side}_attention_heads", f"num_{side}_attention_heads") if side else ()))
    heads = heads or _first(config, "num_attention_heads", "num_heads", "n_head")
    return layers, heads, _key_heads(config) or heads


def _key_heads(config: Any) -> int:
    """Of a decoder: several heads may share the keys and values of one (0: none of them do)."""
    if getattr(config, "multi_query", False) and not getattr(config, "new_decoder_architecture", False):
        return 1
    return _first(config, "num_key_value_heads", "num_kv_heads")


def _longest(checked: Checked) -> float:
    """The limit that the tokenizer's settings name, 0 for none."""
    path = checked.folder / "tokenizer_config.json"
    longest = read_object(path).get("model_max_length") if path.is_file() else None
    return longest if isinstance(longest, int | float) and longest > 0 else 0


def _window(config: Any) -> int:
    """How far back sliding attention looks, 0 where none does."""
    return _first(config, "sliding_window") if getattr(config, "use_sliding_window", True) else 0


def _first(config: Any, *names: str) -> int:
    """The first of some settings that is a positive whole number; 0 where none is."""
    for name in names:
        value = getattr(config, name, None)
        if type(value) is int and value > 0:
            return value
    return 0


# --- This project's own checkpoints -----------------------------------------------------------------------------------


def _own_shape(config: Mapping[str, Any]) -> dict[str, Any]:
    """Kind, layers, heads and abilities of a model that this project's training saved."""
    from engine.checkpoints import family_of, like

    family = family_of(config)
    number = {key: value for key, value in config.items() if type(value) is int}
    layers, heads, context = number.get("layers", 0), number.get("heads", 0), number.get("context", 0)
    sides: dict[Kind, tuple[int, int]] = {}
    if family == "transformer":
        decoder = (number.get("decoder_layers", 0), heads)
        sides = {"encoder": (number.get("encoder_layers", 0), heads), "decoder": decoder, "cross": decoder}
    elif family == "seq2seq" and config["attention"] != "none":
        sides = {"cross": (1, 1)}
    elif family in ("gpt", "bert"):
        sides = {"encoder" if family == "bert" else "decoder": (layers, heads)}
    elif config.get("cell") == "transformer":
        sides = {"decoder": (layers, heads)}
    kinds = {kinds: kind for kind, kinds in KINDS_OF.items()}
    by_kind = {kind: side[1] for kind, side in sides.items()}
    return {
        "kind": "encoder-decoder" if "cross" in sides else kinds.get(tuple(sides)),
        "layers": {kind: side[0] for kind, side in sides.items()},
        "heads": by_kind,
        "key_heads": by_kind,
        "context": context or number.get("max_length", 0),
        "supports": like(family, config).supports,
    }


# --- Words ------------------------------------------------------------------------------------------------------------


def counted(number: int) -> str:
    """A count for a screen: "410", "22.7 million", "7.1 billion"."""
    for size, word in ((10**12, "trillion"), (10**9, "billion"), (10**6, "million")):
        if number >= size:
            return f"{number / size:.1f} {word}"
    return f"{number:,}"
