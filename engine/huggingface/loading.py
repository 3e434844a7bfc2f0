"""A folder of somebody's own model to what every page takes: a Runner, a Generator, a Cloze or a Reader."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable, Sequence
from itertools import takewhile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from engine.errors import ConfigError, ModelError, SaccadeError, Unsupported, WeightsDamaged
from engine.huggingface.architecture import architecture_of, context_of, network_class, supports
from engine.huggingface.checks import Checked, check_folder
from engine.huggingface.decoder import HostedDecoder
from engine.huggingface.encoder import HostedEncoder
from engine.huggingface.estimate import check_skeleton, counted
from engine.huggingface.hosted import Hosted, hosted
from engine.huggingface.seq2seq import HostedSeq2Seq
from engine.huggingface.source import Located, Policy, kind_of, locate
from engine.huggingface.stepping import check_steps
from engine.huggingface.tokens import HostedTokenizer
from engine.huggingface.vocabulary import NONE
from engine.model_card import ModelCard
from engine.reader import Reader
from engine.runner import DTYPES, Runner, guard_memory, pick_device
from engine.weights import BUILDING

if TYPE_CHECKING:
    from engine.loading import Model

Report = Callable[[float, str], None]
LONGEST = 4096  # tokens of a text in a model that sees any number
BLOCK = 1 << 24  # bytes between two reports
HASHED, WOKEN, READ = 0.3, 0.4, 0.9  # shares of a load: after the checksum, the tokenizer, the weights
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
        model, notes = _network(checked, config, device, dtype)
    report(READ, "Finding its attention")
    try:
        context = context_of(config, tokenizer.model_max_length, model)
        made = _assembled(checked, digest, config, tokenizer, hosted(model, architecture, context), notes)
    except (SaccadeError, MemoryError, torch.OutOfMemoryError):
        raise
    except Exception as error:  # whatever a network or a tokenizer makes of settings that people bring along
        log.exception("%s could not be made ready", name)
        raise ModelError(
            f"{name} cannot be used as its settings have it: {_first_line(error)} Save the model again with "
            "save_pretrained, or export its maps with transformers and upload the file."
        ) from error
    report(1.0, "Ready")
    return made


def _network(checked: Checked, config: Any, device: str, dtype: str) -> tuple[Any, tuple[str, ...]]:
    """The network with its weights, and what is to be said of them."""
    import transformers

    transformers.utils.logging.disable_progress_bar()
    auto = network_class(config)
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


def _assembled(
    checked: Checked, digest: str, config: Any, tokenizer: Any, ready: Hosted, notes: tuple[str, ...]
) -> Model:
    """A network and its tokenizer as what pages take."""
    vocabulary, forced = _vocabulary(checked, config, tokenizer, ready)
    where, name = str(ready.device), type(ready.model).__name__
    restoring = name.endswith("ForMaskedLM")
    cloze = restoring and vocabulary.mask is not None
    card = _card(checked, digest, ready, notes, cloze=cloze)
    if ready.shape.architecture == "encoder-decoder":
        translator = HostedSeq2Seq(ready, vocabulary.pad, vocabulary.end, forced)
        check_steps(translator, vocabulary.start, checked.name)
        return Runner(card, translator, vocabulary, where)
    if ready.shape.architecture == "decoder":
        from engine.huggingface.generating import generator_of_hosted

        decoder = HostedDecoder(ready)
        check_steps(decoder, vocabulary.start, checked.name)
        return generator_of_hosted(card, decoder, vocabulary, where)
    segments = int(getattr(config, "type_vocab_size", 0) or 0) > 1
    network = HostedEncoder(ready, restores=restoring, segments=segments)
    if cloze:
        from engine.huggingface.restoring import cloze_of_hosted

        return cloze_of_hosted(card, network, vocabulary, where)
    return Reader(card, network, vocabulary, where)


def _vocabulary(checked: Checked, config: Any, tokenizer: Any, ready: Hosted) -> tuple[HostedTokenizer, int]:
    """The tokenizer with the ids that settings name, and the one that every output is forced to begin with (−1: none).

    Raises:
        ConfigError: it is not known what a decoder reads first, or the weights have no vector for one of the ids.
    """
    settings, two = getattr(ready.model, "generation_config", None), ready.shape.architecture == "encoder-decoder"
    ends = _ids(_said("eos_token_id", settings, config, tokenizer))
    end = tokenizer.eos_token_id if tokenizer.eos_token_id in ends else next(iter(ends), NONE)
    pad = _first(_said("pad_token_id", settings, config, tokenizer))
    start, forced = _first(_said("bos_token_id", tokenizer, config)), NONE
    front: tuple[int, ...] = ()
    if two:
        pad = pad if pad != NONE else max(end, 0)
        own = _first(_said("decoder_start_token_id", settings, config))
        start, forced = own if own != NONE else start, _first(_said("forced_bos_token_id", settings, config))
        if start == NONE:
            raise ConfigError(
                f"The configuration of {checked.name} names no decoder_start_token_id: what the decoder reads first "
                "is not known. Add it to config.json."
            )
        front = (forced,) if forced != NONE else _front(tokenizer)
    size, inputs = _output_rows(ready), ready.shape.vocabulary
    if max(start, end, pad, forced) >= max(size, inputs):
        raise ConfigError(
            f"The configuration of {checked.name} names a token that its weights have no vector for. Copy the model's "
            "own config.json and generation_config.json."
        )
    made = HostedTokenizer(tokenizer, start=start, end=end, pad=pad, size=size, inputs=inputs, front=front)
    return made, forced


def _output_rows(ready: Hosted) -> int:
    """Tokens that the model can give: of an encoder alone, those that it can read."""
    outputs = ready.model.get_output_embeddings()
    rows = getattr(getattr(outputs, "weight", None), "shape", None)
    return int(rows[0]) if rows else ready.shape.vocabulary


def _front(tokenizer: Any) -> tuple[int, ...]:
    """What the tokenizer puts in front of every output."""
    special = {*tokenizer.all_special_ids} - {tokenizer.eos_token_id, tokenizer.unk_token_id}
    return tuple(takewhile(special.__contains__, tokenizer(text_target="a")["input_ids"]))


def _card(checked: Checked, digest: str, ready: Hosted, notes: tuple[str, ...], *, cloze: bool) -> ModelCard:
    shape = ready.shape
    size = f"{counted(checked.parameters)} parameters"
    sizes = ", ".join(f"{kind} {shape.layers[kind]}×{shape.heads[kind]}" for kind in shape.layers)
    return ModelCard(
        name=checked.name,
        family="huggingface",
        title=checked.name,
        summary=f"{type(ready.model).__name__}, {size}; layers × heads: {sizes}.",
        sha256={"weights.safetensors": digest},
        supports=supports(shape.architecture, cloze=cloze),
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


def _ids(value: int | Sequence[int] | None) -> tuple[int, ...]:
    """One id or several; none where none is given."""
    if value is None:
        return ()
    return (int(value),) if isinstance(value, int) else tuple(map(int, value))


def _first(value: int | Sequence[int] | None) -> int:
    """One id, the first of several, −1 for none."""
    return next(iter(_ids(value)), NONE)


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
