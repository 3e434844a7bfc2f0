"""Tokenizer files as the kinds of models have them, trained while testing on a few sentences of several scripts.

Each function writes what `transformers.AutoTokenizer.from_pretrained(folder)` loads, and gives the folder back.
"""

from __future__ import annotations

import io
import json
from functools import cache
from pathlib import Path
from typing import Any

from tokenizers import AddedToken, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers

FRENCH = """L'animal n'a pas traversé la rue parce qu'il était trop fatigué.
Le vieil homme était assis près de la rivière et le chien dormait au soleil.
La rue était trop large, et l'animal rentrait à la maison.
Elle lisait un livre ; il dormait. Où est l'animal ? Aujourd'hui, il fait beau !"""
ENGLISH = """The animal didn't cross the street because it was too tired.
The old man sat by the river and the dog slept in the sun.
The street was too wide, and the animal was walking home.
She was reading a book; he was sleeping. A well-known café is near the street.
It was late, so they were going to the house by the sea."""
OTHERS = """Das Tier überquerte die Straße nicht, weil es zu müde war.
Die Straße war zu breit, und der alte Mann saß am Fluss.
猫坐在垫子上。今天天气很好,我们去公园散步。
猫が好きです。今日は天気がいいです。
القطة تجلس على السجادة. الطقس جميل اليوم.
बिल्ली चटाई पर बैठी है। आज मौसम अच्छा है।
I like it 🙂 very much 🎉!
a < b > c / d | e _ f [ g ] h ( i ) # j @ k % l & m * n + o = p ~ q ^ r $ s "
0 1 2 3 4 5 6 7 8 9 A B C D E F G H I J K L M N O P Q R S T U V W X Y Z"""
TEXT = f"{ENGLISH}\n{FRENCH}\n{OTHERS}"
LINES = TEXT.split("\n")
PIECES = 420
BYTES = 256


def wordpiece(folder: Path) -> Path:
    """As BERT: lower case without accents, "##" within words, [CLS] text [SEP] text [SEP]."""
    return _save(
        folder,
        _wordpiece(),
        unk_token="[UNK]",
        pad_token="[PAD]",
        cls_token="[CLS]",
        sep_token="[SEP]",
        mask_token="[MASK]",
    )


def byte_bpe(folder: Path, *, roberta: bool = False) -> Path:
    """As GPT-2: pieces of bytes, one special token and none around a text; or as RoBERTa: <s> text </s>, <mask>."""
    if not roberta:
        return _save(folder, _gpt(), bos_token="<|endoftext|>", eos_token="<|endoftext|>", unk_token="<|endoftext|>")
    return _save(
        folder,
        _roberta(),
        bos_token="<s>",
        cls_token="<s>",
        eos_token="</s>",
        sep_token="</s>",
        pad_token="<pad>",
        unk_token="<unk>",
        mask_token=AddedToken("<mask>", lstrip=True, special=True),
    )


def metaspace_bpe(folder: Path) -> Path:
    """As Llama: "▁" for spaces, bytes for characters that have no piece, <s> in front."""
    return _save(folder, _metaspace(), bos_token="<s>", eos_token="</s>", unk_token="<unk>")


def unigram(folder: Path) -> Path:
    """As T5: "▁" for spaces, compatible characters made one, </s> at the end, unknown characters."""
    return _save(folder, _unigram(), pad_token="<pad>", eos_token="</s>", unk_token="<unk>")


def marian_files(folder: Path, *, separate: bool = False) -> Path:
    """As Marian: a sentencepiece model for each side, one vocabulary, or one for each; </s> at the end, <pad> last."""
    folder.mkdir(parents=True, exist_ok=True)
    source, target = _sentencepiece(ENGLISH), _sentencepiece(FRENCH)
    (folder / "source.spm").write_bytes(source)
    (folder / "target.spm").write_bytes(target)
    settings: dict[str, Any] = {"tokenizer_class": "MarianTokenizer", "source_lang": "en", "target_lang": "fr"}
    if separate:
        _write(folder / "vocab.json", _around(_pieces(source)))
        _write(folder / "target_vocab.json", _around(_pieces(target)))
        settings |= {"separate_vocabs": True}
    else:
        _write(folder / "vocab.json", _around([*_pieces(source), *_pieces(target)]))
    _write(folder / "tokenizer_config.json", settings | {"model_max_length": 512})
    return folder


def vocabulary_size(folder: Path) -> int:
    """How many ids the tokenizer of a folder has: what the config of a model for it says."""
    if (folder / "vocab.json").is_file():
        return len(json.loads((folder / "vocab.json").read_text("utf-8")))
    return int(Tokenizer.from_file(str(folder / "tokenizer.json")).get_vocab_size())


def _save(folder: Path, tokenizer: str, **specials: str | AddedToken) -> Path:
    from transformers import PreTrainedTokenizerFast

    folder.mkdir(parents=True, exist_ok=True)
    backend = Tokenizer.from_str(tokenizer)
    PreTrainedTokenizerFast(tokenizer_object=backend, **specials).save_pretrained(folder)
    return folder


def _write(path: Path, content: object) -> None:
    path.write_text(json.dumps(content, ensure_ascii=False), "utf-8")


@cache
def _merged(text: str) -> tuple[str, ...]:
    """Pieces of a text by merging pairs, "▁" in front of those that begin a word: the same in every process, which the
    trainers of WordPiece and Unigram do not give.
    """
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    trainer = trainers.BpeTrainer(vocab_size=PIECES, min_frequency=2, show_progress=False)
    tokenizer.train_from_iterator(text.split("\n"), trainer)
    return tuple(sorted(tokenizer.get_vocab(), key=tokenizer.get_vocab().__getitem__))


@cache
def _wordpiece() -> str:
    normalizer = normalizers.BertNormalizer(lowercase=True)
    specials = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    letters = sorted(set(normalizer.normalize_str(TEXT)) - {" ", "\n"})
    merged = [piece for piece in _merged(normalizer.normalize_str(ENGLISH + FRENCH)) if len(piece.strip("▁")) > 1]
    pieces = [piece[1:] if piece.startswith("▁") else f"##{piece}" for piece in merged]
    pieces += ["cafe", "river"]  # whole words that the tests mask
    every = dict.fromkeys([*specials, *letters, *(f"##{letter}" for letter in letters), *pieces])
    tokenizer = Tokenizer(models.WordPiece(_numbered([*every]), unk_token="[UNK]"))
    tokenizer.normalizer = normalizer
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.decoder = decoders.WordPiece()
    tokenizer.add_special_tokens(specials)
    tokenizer.post_processor = processors.TemplateProcessing(
        "[CLS] $A [SEP]", "[CLS] $A [SEP] $B:1 [SEP]:1", [("[CLS]", 2), ("[SEP]", 3)]
    )
    return str(tokenizer.to_str())


def _byte_bpe(specials: list[str | AddedToken]) -> Tokenizer:
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    tokenizer.train_from_iterator(
        LINES,
        trainers.BpeTrainer(
            vocab_size=PIECES, special_tokens=specials, initial_alphabet=alphabet, min_frequency=2, show_progress=False
        ),
    )
    return tokenizer


@cache
def _gpt() -> str:
    tokenizer = _byte_bpe(["<|endoftext|>"])
    tokenizer.post_processor = processors.ByteLevel(trim_offsets=False)
    return str(tokenizer.to_str())


@cache
def _roberta() -> str:
    tokenizer = _byte_bpe(["<s>", "<pad>", "</s>", "<unk>", AddedToken("<mask>", lstrip=True, special=True)])
    tokenizer.post_processor = processors.RobertaProcessing(("</s>", 2), ("<s>", 0), add_prefix_space=False)
    return str(tokenizer.to_str())


@cache
def _metaspace() -> str:
    """Trained without the bytes, which are no merges' pieces, and these put behind the three special tokens."""
    tokenizer = Tokenizer(models.BPE(unk_token="<unk>", byte_fallback=True, fuse_unk=True))
    tokenizer.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    specials = ["<unk>", "<s>", "</s>"]
    trainer = trainers.BpeTrainer(vocab_size=PIECES, special_tokens=specials, min_frequency=2, show_progress=False)
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()  # for training: no merges over spaces
    tokenizer.train_from_iterator((ENGLISH + FRENCH).split("\n"), trainer)
    tokenizer.pre_tokenizer = None
    tokenizer.decoder = decoders.Sequence(
        [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
    )
    tokenizer.post_processor = processors.TemplateProcessing("<s> $A", "<s> $A <s>:1 $B:1", [("<s>", 1)])
    content = json.loads(tokenizer.to_str())
    pieces = [piece for piece in content["model"]["vocab"] if piece not in specials]
    content["model"]["vocab"] = _numbered([*specials, *(f"<0x{byte:02X}>" for byte in range(BYTES)), *pieces])
    return json.dumps(content)


@cache
def _unigram() -> str:
    specials = ["<pad>", "</s>", "<unk>"]
    normalizer = normalizers.Sequence([normalizers.NFKC(), normalizers.Replace(" {2,}", " ")])
    letters = sorted(set(normalizer.normalize_str(TEXT)) - {" ", "\n"})
    pieces = dict.fromkeys(["▁", *(piece for piece in reversed(_merged(TEXT)) if len(piece) > 1), *letters])
    scored = [(piece, -1.0 - rank / 20) for rank, piece in enumerate(pieces)]  # longer pieces first: they cost less
    tokenizer = Tokenizer(models.Unigram([*((name, 0.0) for name in specials), *scored], unk_id=2))
    tokenizer.normalizer = normalizer
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    tokenizer.decoder = decoders.Metaspace()
    tokenizer.add_special_tokens(specials)
    tokenizer.post_processor = processors.TemplateProcessing("$A </s>", "$A </s> $B:1 </s>:1", [("</s>", 1)])
    return str(tokenizer.to_str())


@cache
def _sentencepiece(text: str) -> bytes:
    import sentencepiece

    model = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(text.split("\n")),
        model_writer=model,
        vocab_size=120,
        hard_vocab_limit=False,
        minloglevel=2,
    )
    return model.getvalue()


def _pieces(model: bytes) -> list[str]:
    """A sentencepiece model's ordinary pieces."""
    import sentencepiece

    processor = sentencepiece.SentencePieceProcessor(model_proto=model)
    ids = range(processor.get_piece_size())
    return [processor.id_to_piece(i) for i in ids if not (processor.is_control(i) or processor.is_unknown(i))]


def _numbered(pieces: list[str]) -> dict[str, int]:
    """Ids in order, each piece once."""
    return {piece: index for index, piece in enumerate(dict.fromkeys(pieces))}


def _around(pieces: list[str]) -> dict[str, int]:
    """Ids with Marian's special pieces around those of its sentencepiece models."""
    return _numbered(["</s>", "<unk>", *pieces, "<pad>"])
