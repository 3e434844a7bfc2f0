"""The models that ship: a literal dict of cards. Scores are not here but beside the weights, written by commands."""

from __future__ import annotations

from engine.catalogue_language import LANGUAGE
from engine.errors import UnknownModel
from engine.model_card import ASSETS, Capability, Family, ModelCard
from engine.opened import STORE


def _completion(
    network: str,
    title: str,
    summary: str,
    sha256: tuple[str, str, str],
    supports: frozenset[Capability] = frozenset({"complete", "states"}),
    longest: int = 1001,  # a text of 1,000 characters has a space put before it
    limits: tuple[str, ...] = (),
    notes: tuple[str, ...] = (),
) -> ModelCard:
    """The card of a network that completes words; what all five share stands here once.

    Args:
        network: the end of its name.
        title: the end of its title.
        summary: see `ModelCard`.
        sha256: of weights.safetensors, words.txt and config.json.
        supports: see `ModelCard`.
        longest: see `ModelCard`.
        limits: its own, before those of all.
        notes: its own, before those of all.
    """
    return ModelCard(
        name=f"autocomplete-{network}",
        family="autocomplete",
        title=f"Word completion: {title}",
        summary=summary,
        sha256=dict(zip(("weights.safetensors", "words.txt", "config.json"), sha256, strict=True)),
        supports=supports,
        longest=longest,
        data=(
            "Public-domain English books (Project Gutenberg), 61.5 million characters folded to a–z and the space; "
            "11.6 million words, 4,096-word vocabulary",
            "They are 158 books; `saccade fetch-data` gets 43 well-known ones, on which the same command gives other "
            "weights",
        ),
        licence="Apache-2.0",
        limits=(
            *limits,
            "It knows 4,096 words, the most frequent of its books, and suggests no other: names and rare words never "
            "come out.",
            "Its English is that of books, most of them novels, up to the early 20th century; today's words are "
            "missing.",
            "It reads the letters a to z and the space: capitals, digits, punctuation and accents are folded away.",
            "It was trained on sequences of at most 200 characters.",
        ),
        notes=(
            *notes,
            "The five networks have about 2.9 million parameters each: their widths were chosen so, to compare the "
            "networks and not their sizes.",
            "At a character of a word outside the 4,096 nothing is learnt or scored: such words are read and masked as "
            "targets.",
            "Trained on a part of the text only, a fraction of one epoch on 2 CPU cores, where the article read its "
            "text twice: longer training is likely to make all five better.",
            "The article (Madsen 2019, “Visualizing memorization in RNNs”, Distill) used text8 (Wikipedia), 16,386 "
            "words, wider layers and at most 200 characters: its figures and these are not comparable one to one.",
        ),
    )


def _recurrent(
    attention: str,
    title: str,
    summary: str,
    sha256: tuple[str, str],
    supports: frozenset[Capability] = frozenset({"translate", "cross", "search", "states"}),
    limits: tuple[str, ...] = (),
    notes: tuple[str, ...] = (),
) -> ModelCard:
    """The card of a recurrent translator; what all four share stands here once.

    Args:
        attention: the end of its name.
        title: the end of its title.
        summary: see `ModelCard`.
        sha256: of weights.safetensors and config.json.
        supports: see `ModelCard`.
        limits: its own, before those of all.
        notes: its own, before those of all.
    """
    files = {"weights.safetensors": sha256[0], "tokenizer.model": _TOKENIZER, "config.json": sha256[1]}
    return ModelCard(
        name=f"en-fr-rnn-{attention}",
        family="seq2seq",
        title=f"English → French GRU: {title}",
        summary=summary,
        sha256=files,
        supports=supports,
        longest=128,
        data=(
            "Tatoeba English-French pairs (149,332), CC-BY 2.0 FR",
            "Europarl pairs of at most 30 words (600,000 in the file, of which a part was seen), no known restriction",
            "Public-domain books (5,958 pairs)",
            "The subword vocabulary and the token vectors that it starts from are those of en-fr: its card says what "
            "they were made from",
        ),
        licence="Apache-2.0",
        limits=(
            *limits,
            "It is there to be compared and looked at: the Transformer en-fr translates everyday sentences better.",
            "Short everyday sentences and sentences of parliament are its home; rare words, names and numbers are "
            "often wrong.",
            "It was trained on pairs of at most 64 tokens a side, those of Europarl of at most 30 words; longer input "
            "is taken up to the limit and gets worse.",
        ),
        notes=(
            *notes,
            "The four recurrent translators have the same mixture of pairs, vocabulary, number and size of updates, "
            "widths and random seed, and differ in their attention; additive and general also in the schedule and the "
            "order of pairs that their first note tells of.",
            "One wiring for all: the state before a step is the query, and the step reads the token and the context "
            "(Bahdanau et al. 2015, section 3.1). Keys are projected to the decoder's width for every score, so "
            "that dot can express all that general can: the two differ in how one product is parametrised, and their "
            "scores here in how well that was learnt.",
            "Departures from Luong et al. 2015, where dot and general come from: there the state after the step is the "
            "query, the attentional vector is fed into the next step (input feeding), encoder and decoder are stacked "
            "LSTMs of equal width that read in one direction, and keys are not projected.",
            "Departures from Bahdanau et al. 2015: two encoder layers where the paper has one, both ends of the "
            "encoder start the decoder where the paper takes the backward one, a tanh layer before the output matrix "
            "where the paper has maxout, and subwords where the paper has words.",
            "One embedding for source, target and output, as in en-fr.",
            "No dropout and little training: a fraction of the updates of the papers, on 2 CPU cores. Longer training "
            "is likely to make all four better.",
        ),
    )


_TOKENIZER = "e221fc9523057c6767c988e02d8e8cda350ea6656658b675ed6c02e3089263b1"  # of en-fr and of all that share it

__all__ = ["ASSETS", "MODELS", "Capability", "Family", "ModelCard", "card", "cards"]

MODELS: dict[str, ModelCard] = {
    "en-fr": ModelCard(
        name="en-fr",
        family="transformer",
        title="English → French Transformer",
        summary="An encoder-decoder Transformer in the shape of Attention Is All You Need, narrower.",
        sha256={
            "weights.safetensors": "679e8addccb175f6e44d307de609adf57addfc765fa1047aecbe800007fba313",
            "tokenizer.model": _TOKENIZER,
            "config.json": "4e4c9270f8f13cbd9f0e768381b21dd33bbb30f98810ce42fe1d0961f956d364",
        },
        supports=frozenset({"translate", "encoder", "decoder", "cross", "interventions", "search", "read"}),
        longest=128,
        data=(
            "Tatoeba English-French pairs (149,332), CC-BY 2.0 FR",
            "Europarl pairs of at most 30 words (600,000 in the file), no known restriction",
            "Public-domain books (5,958 pairs) and GNOME user documentation (4,353 pairs, CC-BY 3.0)",
            "Sentences of this project's own pronoun grammar (engine/training/synthetic.py), Apache-2.0",
            "The subword vocabulary was counted on all of these, and on Python's documentation (PSF licence, CC0) and "
            "Mozilla's web pages (MPL-2.0), which the model was not trained on",
        ),
        licence="Apache-2.0",
        limits=(
            "Everyday sentences are its home; long, technical or literary text is translated poorly.",
            "It translates one text at a time and knows nothing of what was said before it.",
            "Rare words and names are often wrong, and so are common words with an unusual capital (“the Law”); "
            "numbers should be checked.",
            "It was trained on pairs of at most 64 tokens a side; longer input is taken up to the limit and "
            "gets worse.",
            "Pronouns were practised on made-up sentences; with adjectives that those never used they are right about "
            "as often as chance (pronouns-b).",
        ),
        notes=(
            "Pre-norm (a layer norm before each sublayer and one after each stack) where the paper has "
            "post-norm, chosen "
            "to need only a short warm-up; the learning rate falls linearly to 0 where the paper has an inverse "
            "square root.",
            "No dropout, where the paper has 0.1: chosen for speed.",
            "Six encoder and four decoder layers, where the paper has six and six: chosen for more steps in the "
            "same time.",
            "Two auxiliary tasks on outputs, none on attention weights: sentences tagged <who> are translated with the "
            "pronoun's noun in its place, and a linear layer that is not shipped tells the noun from the "
            "encoder's output "
            "at the pronoun.",
            "Both runs shared their cores with light jobs: a free machine takes more steps in the same time.",
            "The second run goes on from the first at half its learning rate, with more of Europarl and its text "
            "normalised as typed text is.",
            "In the grammar, animal and street never meet, animal is never tired and street never wide.",
        ),
    ),
    "en-fr-rnn-none": _recurrent(
        "none",
        "no attention",
        "A recurrent encoder-decoder whose decoder knows the source as one vector: the bottleneck.",
        (
            "55ac26fae78d7402760febd1519cf384d8b959df8e3f3366cd1f259a5a806cb6",
            "5032a58176919359d86cc28d720d34ae1d082c7f5738a2be60a54264396b75b7",
        ),
        supports=frozenset({"translate", "search", "states"}),
        limits=("It has no attention: what its one vector does not hold of a long sentence is lost.",),
        notes=("The vector is read at every step, as in Cho et al. 2014, section 2.2.",),
    ),
    "en-fr-rnn-additive": _recurrent(
        "additive",
        "additive attention",
        "A recurrent encoder-decoder with additive attention, after Bahdanau et al. 2015.",
        (
            "fda61eec18a8092ccc706555131417904e343e6b5c9e7026370445c6487507a2",
            "c4db7b126bee61cad4c7fa0b1c308de455bbf9a0f2f7fca1591e7459d63fe0df",
        ),
        notes=(
            "The first 2,640 of its updates ran under a schedule of 5,000; then all four were set to 4,000, its rate "
            "fell to the shorter schedule's at once, and its pairs came in another order from there on. The command as "
            "it is begins with the shorter schedule.",
        ),
    ),
    "en-fr-rnn-dot": _recurrent(
        "dot",
        "dot-product attention",
        "A recurrent encoder-decoder whose attention score is the dot product, after Luong et al. 2015.",
        (
            "82ecfb45ae013ed44de403c8e1e14961fe811813cef7a8241c2f815af857990a",
            "d6f93504a5eed7600c93c0103d037c2655d2136e40984c266986174d5ab5791f",
        ),
    ),
    "en-fr-rnn-general": _recurrent(
        "general",
        "general attention",
        "A recurrent encoder-decoder whose attention score is a product with a matrix between, after Luong et al. "
        "2015.",
        (
            "4abb7cb37c5e649bd8ad5f59e59a8f96367bd9a522bbdf89b16dcb805ec85c79",
            "140792d52a5136b3cef4d478fee8f1e4827c04194f484db2d6cd3a65c84ebb5e",
        ),
        limits=(
            "It has not learnt to align: it links words worse than the diagonal, and translates hardly better than the "
            "model without attention.",
        ),
        notes=(
            "The first 2,838 of its updates ran under a schedule of 5,000; then all four were set to 4,000, its rate "
            "fell to the shorter schedule's at once, and its pairs came in another order from there on. The command as "
            "it is begins with the shorter schedule.",
        ),
    ),
    "autocomplete-rnn": _completion(
        "rnn",
        "tanh RNN",
        "The plain recurrent network: two layers of 512 units without gates.",
        (
            "877ec3f9d38d1d57bf0be4468713c017ab4d597ce7efb32ae2bbe58565498d6c",
            "09c7e654f39babfda30ec75ec2c9782cc3967d2752f7f2eec08520796c17c314",
            "dbe43e52f18e0be4382d60f5953681a2f36f1f2b12cdfb6ab0fd97f0bf1f79df",
        ),
        limits=("Without gates, its memory is overwritten with every character.",),
        notes=(
            "It is there to show what fails: without gates gradients vanish or explode over many characters, which is "
            "why its learning rate is the lowest of the five. The article does not have it.",
        ),
    ),
    "autocomplete-gru": _completion(
        "gru",
        "GRU",
        "A gated recurrent network: two layers of 384 GRU units read characters and suggest whole words.",
        (
            "71bd295e37c6e10894744f330525f48fbe9376f7a214f76d79e1c2f43d942e97",
            "09c7e654f39babfda30ec75ec2c9782cc3967d2752f7f2eec08520796c17c314",
            "7b6d315fb083631feec7b1b7e1fa672dfa8dad610ba53f22341516d141829c42",
        ),
        notes=(
            "The first third of its steps ran under a schedule for 0.32 of the text; then all five were set to 0.22, "
            "and its rate fell to the shorter schedule's at once. The command as it is begins with the shorter one.",
        ),
    ),
    "autocomplete-lstm": _completion(
        "lstm",
        "LSTM",
        "Two layers of 344 LSTM units, each with a cell that gates write, keep and read.",
        (
            "6a8de5892e3df33b8937dce412d7fd18f66aa4f8fc247548ec3354a593e25abc",
            "09c7e654f39babfda30ec75ec2c9782cc3967d2752f7f2eec08520796c17c314",
            "73582448d232f877e37300d9f020d928de85c77eb66d828691812c5ef3f59e36",
        ),
        notes=(
            "The first half of its steps ran under a schedule for 0.32 of the text; then all five were set to 0.22, "
            "and its rate fell to the shorter schedule's at once. The command as it is begins with the shorter one.",
        ),
    ),
    "autocomplete-nlstm": _completion(
        "nlstm",
        "nested LSTM",
        "One layer of 344 LSTM units whose cell is an LSTM of its own: memory inside memory.",
        (
            "23e8b39e964dbff872e84d4c6ef63882767ec194bd468cc3bdc95cc76a17db76",
            "09c7e654f39babfda30ec75ec2c9782cc3967d2752f7f2eec08520796c17c314",
            "e3a396a7544edb26900ee3c2bab83348f72126d7345c8bb7d9d14cc6158a81e2",
        ),
        notes=("One layer of depth 2 as in the article, where the GRU and the LSTM have two layers.",),
    ),
    "autocomplete-transformer": _completion(
        "transformer",
        "Transformer",
        "A decoder-only Transformer of four layers and eight heads, which sees all characters of its window at once.",
        (
            "51dec6278eb832eb4337e5ae2256f18cd53ec3f06d5768b9169761f368f68a20",
            "09c7e654f39babfda30ec75ec2c9782cc3967d2752f7f2eec08520796c17c314",
            "82d51ddb70d852b630b160e5cb0b21f03f870d86303c9811903c21fede1ec6cc",
        ),
        supports=frozenset({"complete", "decoder", "read"}),
        longest=200,
        limits=("It reads 200 characters at once; in longer texts it reads overlapping windows of 200.",),
        notes=(
            "The article does not have it: it is there to compare attention with recurrence on the same task.",
            "Pre-norm with fixed sinusoidal positions; causal, so that a character sees only those before it.",
        ),
    ),
    **LANGUAGE,
}


def cards() -> list[ModelCard]:
    """The cards of all models that can be used now: those that ship, then those that were opened here."""
    return [*MODELS.values(), *STORE.cards()]


def card(name: str | ModelCard) -> ModelCard:
    """The card of a model that ships or was opened, by its name; a card is its own.

    Raises:
        UnknownModel: there is none of that name; the message lists those there are.
    """
    if isinstance(name, ModelCard):
        return name
    known = {**MODELS, **{card.name: card for card in STORE.cards()}}
    if name in known:
        return known[name]
    raise UnknownModel(f"There is no model {name!r}. Choose one of: {', '.join(known)}.")
