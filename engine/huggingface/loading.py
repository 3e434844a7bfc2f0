"""A folder of somebody's own model to what every page takes: a Runner, a Generator, a Cloze or a Reader."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from engine.errors import ModelError, Unsupported, WeightsDamaged
from engine.huggingface.checks import Checked, check_folder
from engine.huggingface.decoder import HostedDecoder
from engine.huggingface.encoder import HostedEncoder
from engine.huggingface.estimate import check_skeleton
from engine.huggingface.hosted import Architecture, Hosted, hosted
from engine.huggingface.seq2seq import HostedSeq2Seq
from engine.huggingface.source import Located, Policy, kind_of, locate
from engine.huggingface.tokens import HostedTokenizer
from engine.model_card import Capability, ModelCard
from engine.reader import Reader
from engine.runner import DTYPES, Runner, guard_memory, pick_device
from engine.weights import BUILDING

if TYPE_CHECKING:
    from engine.loading import Model

Report = Callable[[float, str], None]
LONGEST = 4096  # tokens of a text in a model that sees any number
BLOCK = 1 << 24  # bytes between two reports
HASHED, WOKEN, READ = 0.3, 0.4, 0.9  # shares of a load: after the checksum, the tokenizer, the weights
NONE = -1
_SUPPORTS: Mapping[str, frozenset[Capability]] = {
    "encoder-decoder": frozenset({"translate", "encoder", "decoder", "cross", "interventions", "search", "read"}),
    "decoder": frozenset({"generate", "decoder", "read"}),
    "cloze": frozenset({"cloze", "encoder", "read"}),
    "encoder": frozenset({"encoder", "read"}),
}
log = logging.getLogger("saccade")


def open_model(
    model: Located | Path | str, device: str = "auto", dtype: str = "auto", report: Report = lambda share, what: None
) -> Model:
    """Load a model from its folder.

    Its files are checked first; weights are read from safetensors alone, and no code of the folder is ever run. On
    several GPUs a model that is larger than the first is laid out over all of them (accelerate).

    Args:
        model: as `engine.huggingface.source.locate` found it under what a server's operator allows; of a caller's own
            program also any folder, or a Hugging Face id, which is downloaded where this machine does not have it.
        device: "auto", "cpu", "cuda" or "mps".
        dtype: "auto" leaves the weights as they are stored; else "float32", "bfloat16" or "float16".
        report: told the share that is done, in [0, 1], and what is done next; what it raises ends the load.

    Raises:
        ModelError: files are missing, damaged or refused, or the model cannot be watched; each says what to do.
        ConfigError: its configuration is impossible.
        DeviceError: no such device, or not enough memory.
    """
    where = pick_device(device)
    if dtype != "auto" and dtype not in DTYPES:
        raise Unsupported(f"There is no dtype {dtype!r}. Choose one of: auto, {', '.join(DTYPES)}.")
    located = model if isinstance(model, Located) else _anywhere(model)
    checked = check_folder(located.folder, located.name)
    if located.kind == "saccade":
        from engine.checkpoints import open_checkpoint

        return open_checkpoint(located, where)
    digest = _digest(checked.weights, lambda share: report(HASHED * share, "Reading the files"))
    with guard_memory(where):
        return _open(checked, digest, where, dtype, report)


def _anywhere(reference: Path | str) -> Located:
    """A folder of this machine, or a Hugging Face id: whoever runs a program may read what it may read."""
    folder = Path(reference).expanduser()
    if folder.is_dir():
        return Located(folder.resolve().name, folder.resolve(), kind_of(folder))
    return locate(str(reference), Policy(ids=None, downloads=True))


def architecture_of(config: Any) -> Architecture:
    """What reads and what writes, by what the configuration says."""
    from transformers.models.auto.modeling_auto import (
        MODEL_FOR_CAUSAL_LM_MAPPING_NAMES as CAUSAL,
    )
    from transformers.models.auto.modeling_auto import (
        MODEL_FOR_MASKED_LM_MAPPING_NAMES as MASKED,
    )

    if config.is_encoder_decoder:
        return "encoder-decoder"
    names = tuple(config.architectures or ())
    if any(name.endswith(("ForCausalLM", "LMHeadModel")) for name in names) or getattr(config, "is_decoder", False):
        return "decoder"
    return "decoder" if config.model_type in CAUSAL and config.model_type not in MASKED else "encoder"


def _open(checked: Checked, digest: str, device: str, dtype: str, report: Report) -> Model:
    from transformers import AutoConfig, AutoTokenizer

    folder, name = checked.folder, checked.name
    try:
        config = AutoConfig.from_pretrained(folder, trust_remote_code=False, local_files_only=True)
        architecture = architecture_of(config)
        report(HASHED, "Reading the tokenizer")
        tokenizer = AutoTokenizer.from_pretrained(folder, trust_remote_code=False, local_files_only=True)
    except Exception as error:  # whatever a library raises of files that people bring along
        log.exception("the configuration or the tokenizer of %s could not be read", name)
        raise ModelError(
            f"The configuration or the tokenizer of {name} cannot be read: {_first_line(error)} Save the model again "
            "with save_pretrained, tokenizer included."
        ) from error
    report(WOKEN, "Loading the weights")
    with BUILDING:
        check_skeleton(config, checked)
        model, notes = _network(checked, config, architecture, device, dtype)
    report(READ, "Finding its attention")
    context = context_of(config, tokenizer, model)
    ready = hosted(model, architecture, context)
    made = _assembled(checked, digest, config, tokenizer, ready, notes, device)
    report(1.0, "Ready")
    return made


def _network(
    checked: Checked, config: Any, architecture: Architecture, device: str, dtype: str
) -> tuple[Any, tuple[str, ...]]:
    """The network with its weights, and what is to be said of them."""
    import transformers

    transformers.utils.logging.disable_progress_bar()
    restores = any(one.endswith(("ForMaskedLM", "ForPreTraining")) for one in config.architectures or ())
    auto = {
        "encoder-decoder": transformers.AutoModelForSeq2SeqLM,
        "decoder": transformers.AutoModelForCausalLM,
        "encoder": transformers.AutoModelForMaskedLM if restores else transformers.AutoModel,
    }[architecture]
    options: dict[str, Any] = {"dtype": "auto" if dtype == "auto" else DTYPES[dtype]}
    spread = device == "cuda" and torch.cuda.device_count() > 1
    if spread or checked.quantised:
        options["device_map"] = "auto" if spread else device
    try:
        model, found = auto.from_pretrained(
            checked.folder,
            config=config,
            trust_remote_code=False,
            local_files_only=True,
            use_safetensors=True,
            output_loading_info=True,
            **options,
        )
    except (MemoryError, torch.OutOfMemoryError):
        raise
    except Exception as error:
        log.exception("the weights of %s could not be loaded", checked.name)
        raise WeightsDamaged(
            f"The weights of {checked.name} do not fit its configuration, or need what is not installed here: "
            f"{_first_line(error)} Save the model again with save_pretrained, or download it again."
        ) from error
    missing = sorted(str(key) for key in found["missing_keys"])
    heads = [key for key in missing if "pooler" not in key]
    if heads:
        raise WeightsDamaged(
            f"The weights of {checked.name} lack {len(heads)} of the tensors that its configuration asks for, among "
            f"them {heads[0]}: they would be random numbers. Save the model again with save_pretrained."
        )
    if "device_map" not in options:
        model = model.to(device)
    return model, ("Its pooler has no weights in the file and is left out.",) if missing else ()


def context_of(config: Any, tokenizer: Any, model: Any) -> int:
    """The most tokens that a model sees at once, 0 for any number: what its positions and its tokenizer allow."""
    text = config.get_text_config()
    limits = [int(tokenizer.model_max_length)] if 0 < tokenizer.model_max_length < 10**9 else []
    positions = 0
    if not hasattr(text, "relative_attention_num_buckets"):
        positions = int(getattr(text, "max_position_embeddings", 0) or 0)
    if positions > 0:
        limits.append(positions - _offset(model))
    return min(limits, default=0)


def _offset(model: Any) -> int:
    """Positions that stand for no token: RoBERTa counts from behind its padding's id."""
    for name, module in model.named_modules():
        if name.endswith("position_embeddings") and isinstance(module, torch.nn.Embedding):
            return 0 if module.padding_idx is None else module.padding_idx + 1
    return 0


def _assembled(
    checked: Checked, digest: str, config: Any, tokenizer: Any, ready: Hosted, notes: tuple[str, ...], device: str
) -> Model:
    shape, settings = ready.shape, getattr(ready.model, "generation_config", None)
    end = _first(_said("eos_token_id", settings, config, tokenizer))
    pad = _first(_said("pad_token_id", settings, config, tokenizer))
    if shape.architecture == "encoder-decoder":
        start = _first(_said("decoder_start_token_id", settings, config))
    else:
        start = _first(_said("bos_token_id", tokenizer, config))
    try:
        vocabulary = HostedTokenizer(tokenizer, start=start, end=end, pad=pad, size=shape.vocabulary)
    except Exception as error:  # a backend with parts written in Python, or without what its settings name
        raise ModelError(
            f"The tokenizer of {checked.name} cannot be used here: {_first_line(error)} Export its maps with "
            "transformers and upload the file instead."
        ) from error
    where = str(ready.device)

    def card(does: str) -> ModelCard:
        return _card(checked, digest, ready, does, notes)

    if shape.architecture == "encoder-decoder":
        return Runner(card("encoder-decoder"), HostedSeq2Seq(ready, pad), vocabulary, where)
    if shape.architecture == "decoder":
        from engine.huggingface.generating import generator_of_hosted

        return generator_of_hosted(card("decoder"), HostedDecoder(ready), vocabulary, where)
    restores = type(ready.model).__name__.endswith("ForMaskedLM") and tokenizer.mask_token_id is not None
    segments = int(getattr(config, "type_vocab_size", 0) or 0) > 1
    network = HostedEncoder(ready, restores=restores, segments=segments)
    if restores:
        from engine.huggingface.restoring import cloze_of_hosted

        return cloze_of_hosted(card("cloze"), network, vocabulary, where)
    return Reader(card("encoder"), network, vocabulary, where)


def _card(checked: Checked, digest: str, ready: Hosted, does: str, notes: tuple[str, ...]) -> ModelCard:
    shape = ready.shape
    size = f"{checked.parameters / 1e6:,.1f} million parameters"
    sizes = ", ".join(f"{kind} {shape.layers[kind]}×{shape.heads[kind]}" for kind in shape.layers)
    return ModelCard(
        name=checked.name,
        family="huggingface",
        title=checked.name,
        summary=f"{type(ready.model).__name__}, {size}; layers × heads: {sizes}.",
        sha256={"weights.safetensors": digest},
        supports=_SUPPORTS[does],
        longest=min(shape.context, LONGEST) if shape.context else LONGEST,
        data=(),
        licence="",
        limits=(),
        notes=notes,
        path=checked.folder,
    )


def _said(name: str, *sources: Any) -> Any:
    """The first value that is given, by the model's settings for generation, its configuration, or its tokenizer."""
    return next((value for source in sources if (value := getattr(source, name, None)) is not None), None)


def _first(value: int | Sequence[int] | None) -> int:
    """One id, the first of several, −1 for none."""
    if value is None:
        return NONE
    return int(value) if isinstance(value, int) else int(value[0])


def _digest(files: Sequence[Path], report: Callable[[float], None]) -> str:
    """One SHA-256 of all weight files, in their order."""
    found, done, total = hashlib.sha256(), 0, sum(file.stat().st_size for file in files) or 1
    for path in files:
        with path.open("rb") as file:
            while block := file.read(BLOCK):
                found.update(block)
                done += len(block)
                report(done / total)
    return found.hexdigest()


def _first_line(error: Exception) -> str:
    """What a library said, in at most one sentence's length."""
    line = (str(error).strip().splitlines() or [type(error).__name__])[0][:200]
    return line if line.endswith((".", "!", "?")) else f"{line}."
