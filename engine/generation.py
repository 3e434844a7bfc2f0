"""`load_generator(name)` gives a Generator: GPT, the character LSTM or the counts of words, ready to continue texts."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from engine.catalogue import card as card_of
from engine.errors import Unsupported, WeightsDamaged
from engine.generator import REACH, Generator, Prompt
from engine.model_card import Family, ModelCard
from engine.models.char_lm import CharLM, CharLMConfig
from engine.models.gpt import GPT, GPTConfig
from engine.models.trigram import Trigram
from engine.prose_tokens import ALPHABET, LINE, Alphabet, ProseSubwords, ProseTokenizer, ProseWords
from engine.runner import DTYPES, guard_memory, pick_device
from engine.text import END, START, UNKNOWN, Subwords
from engine.weights import CONFIG, TOKENIZER, WEIGHTS, from_json, load_weights, read_json, verify
from engine.words import WORDS, Words

__all__ = ["Generator", "Prompt", "generator_of", "load_generator"]

NO_END = -1
LanguageModel = GPT | CharLM | Trigram


def generator_of(
    card: ModelCard, model: LanguageModel, tokenizer: ProseTokenizer | Words, device: str = "cpu"
) -> Generator:
    """A generator of one of our models that is there already, such as the counts of a text of one's own.

    Args:
        card: what is known of it.
        model: in evaluation mode, on the device.
        tokenizer: that of the model.
        device: where it is.
    """
    if isinstance(tokenizer, Words):
        tokenizer = ProseWords(tokenizer.vocabulary)
    if isinstance(model, GPT):
        assert isinstance(tokenizer, ProseSubwords)
        return Generator(card, model, tokenizer, device, START, END, UNKNOWN, tokenizer.banned, model.config.context)
    front = model.config.paragraph if isinstance(model, Trigram) else tokenizer.encode(LINE).ids[0]
    reach = REACH if isinstance(model, CharLM) else 0
    return Generator(card, model, tokenizer, device, front, NO_END, 0, (0,), reach=reach)


def load_generator(name: str | ModelCard, device: str = "auto", dtype: str = "float32") -> Generator:
    """A shipped model that continues texts, verified against the catalogue.

    Args:
        name: a key of `engine.catalogue.MODELS` of the family "gpt", "char-lm" or "trigram".
        device: "auto", "cpu", "cuda" or "mps"; counts are on the CPU in any case.
        dtype: "float32", "bfloat16" or "float16"; results are float32 in any case. Counts have none.

    Raises:
        UnknownModel, WeightsMissing, WeightsDamaged, DeviceError: each says what to do.
        Unsupported: no such dtype, or the model is of another family.
    """
    found = card_of(name)
    if found.family not in LOADERS:
        raise Unsupported(f"{name} does not continue texts: use {found.loader}.")
    where = pick_device(device)
    if dtype not in DTYPES:
        raise Unsupported(f"There is no dtype {dtype!r}. Choose one of: {', '.join(DTYPES)}.")
    verify(found)
    model, tokenizer = LOADERS[found.family](found.folder)
    _check_sizes(found, model, len(tokenizer))
    if isinstance(model, Trigram):
        return generator_of(found, model, tokenizer)
    with guard_memory(where):
        model.requires_grad_(False).eval().to(device=where, dtype=DTYPES[dtype])
    return generator_of(found, model, tokenizer, where)


def _check_sizes(card: ModelCard, model: LanguageModel, tokens: int) -> None:
    """Raises WeightsDamaged where a model and its vocabulary do not belong together."""
    size = _vocabulary(model)
    if size != tokens:
        raise WeightsDamaged(
            f"The vocabulary of {card.name} has {tokens} entries and its model {size}: they do not belong together. "
            "Restore the model's folder from the repository (git checkout)."
        )


def _vocabulary(model: LanguageModel) -> int:
    """Number of token ids."""
    if isinstance(model, GPT):
        return model.config.vocabulary
    return model.config.characters if isinstance(model, CharLM) else model.config.words


def _gpt(folder: Path) -> tuple[GPT, ProseTokenizer]:
    model = GPT(from_json(GPTConfig, read_json(folder / CONFIG), CONFIG))
    load_weights(model, folder / WEIGHTS)
    return model, ProseSubwords(Subwords.load(folder / TOKENIZER))


def _char_lm(folder: Path) -> tuple[CharLM, ProseTokenizer]:
    model = CharLM(from_json(CharLMConfig, read_json(folder / CONFIG), CONFIG))
    load_weights(model, folder / WEIGHTS)
    return model, Alphabet.load(folder / ALPHABET)


def _trigram(folder: Path) -> tuple[Trigram, Words]:
    return Trigram.load(folder), Words.load(folder / WORDS)


LOADERS: dict[Family, Callable[[Path], tuple[LanguageModel, ProseTokenizer | Words]]] = {
    "gpt": _gpt,
    "char-lm": _char_lm,
    "trigram": _trigram,
}
