"""The cards of the language models: what continues a text, and what restores masked words."""

from __future__ import annotations

from engine.model_card import ModelCard

_TOKENIZER = "884f479346f696ba756fbf539347606bb65f3299a3ba7f00630d93dd35bfdb5b"
_BOOKS = (
    "Public-domain English books (Project Gutenberg), 63.9 million characters in 158 books; `saccade fetch-data` gets "
    "43 well-known ones, on which the same command gives other weights"
)
_ENGLISH = (
    "Its English is that of books, most of them novels, up to the early 20th century; today's words are missing, and "
    "so is today's knowledge.",
    "It was trained to continue or restore text, not to be right, polite or safe: nothing it says is a statement of "
    "fact.",
)
_SMALL = (
    "Trained on one CPU core that other jobs shared, for 80 minutes at most and less than one epoch of its text: "
    "longer training is likely to make it better.",
)
_SUBWORDS = "Its 6,144 subwords (byte-pair encoding) were counted on the same books; gpt and bert share them."
_MUON = (
    "Optimizer: Muon (Jordan et al. 2024) for the matrices between layers, AdamW for all else, where the paper has "
    "Adam: chosen for fewer steps to the same loss. No dropout."
)

LANGUAGE: dict[str, ModelCard] = {
    "trigram": ModelCard(
        name="trigram",
        family="trigram",
        title="Generation: trigram",
        summary="Counts of word triples, the oldest of language models: the next word by the two before it.",
        sha256={
            "weights.safetensors": "f9d49ebc6143f4cdec54aa8b45097f47f52fc74b981a3364d1208a75240cbe2b",
            "words.json": "c84e17c8adcfdc04a65789c1b188213ad4fa183b668ad086d060ac05a127b644",
            "config.json": "99697e08a0f7718f6c69ba6dc73c5538d5037d6054a18c3b5be46849d786ce7e",
        },
        supports=frozenset({"generate", "counts"}),
        longest=0,
        data=(_BOOKS,),
        licence="Apache-2.0",
        limits=(
            "It sees two words: what was said before them is forgotten.",
            "Pairs and triples that the books have only once or twice were dropped, so that the table stays small; a "
            "word pair that it does not know is answered by what follows its last word, and the page says so.",
            *_ENGLISH,
        ),
        notes=(
            "Words and punctuation marks are tokens of their own, where “Mark V Shaney” splits at spaces and keeps a "
            "word's punctuation on it: counts of a pair are then larger.",
            "Probabilities are interpolated Kneser-Ney (Chen & Goodman 1998), from triples to pairs to single words.",
        ),
    ),
    "char-lm": ModelCard(
        name="char-lm",
        family="char-lm",
        title="Generation: character LSTM",
        summary="Two layers of 512 LSTM units that read and predict one character at a time.",
        sha256={
            "weights.safetensors": "2c56eb2e1f0f70e0a2e5b0bc17a656118e224befb98ff1bc90c57269fd326b8d",
            "alphabet.json": "4a0587bfb0517142eb8b30571e18418407c16972f2019935626bd486d9acc337",
            "config.json": "19e3b0f16300a91251a0a76210e5a650e50403906eef5be24c2a9d9cba8a1171",
        },
        supports=frozenset({"generate", "states"}),
        longest=0,
        data=(_BOOKS,),
        licence="Apache-2.0",
        limits=(
            "It predicts the same text worse than gpt and worse than counting word triples: see bits per character.",
            "It knows 80 characters, those that the books have 500 times at least; others are read as unknown.",
            *_ENGLISH,
        ),
        notes=("Optimizer: AdamW. No dropout. It was trained on windows of 160 characters.", *_SMALL),
    ),
    "gpt": ModelCard(
        name="gpt",
        family="gpt",
        title="Generation: GPT",
        summary="A decoder-only Transformer in the shape of GPT-2, six layers of eight heads: the next subword by all "
        "those before it.",
        sha256={
            "weights.safetensors": "ea7ba808272b68ced61471bc99705594aa6ef6f586590b44ae7cc69f6f6d7335",
            "tokenizer.model": _TOKENIZER,
            "config.json": "11f811c6327efbd2ba8e3fcbc1b5ecf2bba01d783789df7a19fe934afbff532f",
        },
        supports=frozenset({"generate", "decoder", "read"}),
        longest=256,
        data=(_BOOKS,),
        licence="Apache-2.0",
        limits=(
            "It writes sentences that sound like a novel and mean little; over a paragraph it loses the thread.",
            "It was trained to continue books and nothing else: it was never taught to follow instructions or the "
            "examples in a prompt.",
            *_ENGLISH,
        ),
        notes=(
            _SUBWORDS,
            "Learned positions, pre-norm, GELU and one matrix for tokens read and predicted, as in GPT-2; narrower "
            "(192) and with a shorter context (256).",
            _MUON,
            *_SMALL,
        ),
    ),
    "bert": ModelCard(
        name="bert",
        family="bert",
        title="Cloze: BERT",
        summary="An encoder-only Transformer in the shape of BERT, six layers of eight heads: it restores masked words "
        "from both sides, and tells whether one text follows another.",
        sha256={
            "weights.safetensors": "861f72c82751b963b08a5badfb2c0a7b70ef852cc2cf59288bd0b82bb52915c5",
            "tokenizer.model": _TOKENIZER,
            "config.json": "ee2bb74ecbcf79cba876cdd4bf0fdb3d1a96fbb72b2c7bea5995e996572710a2",
        },
        supports=frozenset({"cloze", "encoder", "read"}),
        longest=128,
        data=(_BOOKS,),
        licence="Apache-2.0",
        limits=(
            "It restores small words and common phrases; of names, numbers and rare words it knows little.",
            "Which of two nouns fits an adjective it has not learnt: in the Cloze page's pairs of sentences it prefers "
            "the same noun for both.",
            "Characters that its vocabulary lacks (Greek, most accents) were left out of its training: it reads them "
            "as unknown, and knows nothing of them.",
            "It was trained on masked tokens alone: words that were deleted, moved or shuffled it cannot put right.",
            *_ENGLISH,
        ),
        notes=(
            _SUBWORDS,
            "Both objectives of the paper: 15 % of the tokens are to be restored (80 % of them masked, 10 % replaced, "
            "10 % left), and half of the second texts are from elsewhere.",
            "Its embeddings, layers and last norm began as gpt's when that model's run had made 1,379 of its 3,483 "
            "updates (`gpt-early` in the command is a copy of the run's folder then): chosen to learn more in the same "
            "time. So it is pre-norm, where the paper has post-norm.",
            _MUON,
            *_SMALL,
        ),
    ),
}
