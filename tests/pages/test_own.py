"""The page "Your model" in Streamlit's own test runner: opening, refusals, unloading, and attention of any model."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from streamlit.testing.v1 import AppTest

from engine.catalogue import card
from engine.opened import STORE, Opened
from engine.reading import trace_of
from pages import _own_loading
from pages._address import IDENTITIES
from pages._cards import file_name, name_in
from pages._own import VIEW, OwnView
from pages._own_open import ago, state_of
from pages._permalink import View
from tests.pages.own_page import (
    CODEC,
    TEXT,
    address_of,
    ask,
    choose,
    folder_of,
    look,
    opened,
    received,
    said,
    server,
    sound,
    view,
    with_model,
)


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with tiny models."""
    parent = tmp_path_factory.mktemp("models")
    for family in ("bert", "llama", "t5"):
        folder_of(parent, family)
    return parent


@pytest.fixture
def links(models: Path) -> Iterator[list[tuple[Any, ...]]]:
    with server(models) as found:
        yield found


# ---- opening ----


def test_where_nothing_is_allowed_the_operators_line_is_shown(links, monkeypatch):
    monkeypatch.delenv("SACCADE_MODEL_FOLDERS")
    page = sound(opened())
    assert "saccade run --models ~/checkpoints" in said(page.info) and not page.text_input
    assert "No model of your own is open yet" in said(page.caption)


def test_a_model_is_looked_at_before_it_is_opened_and_then_serves_pages(links):
    page = sound(look(opened(), "my-llama"))
    assert not STORE.cards(), "looking loads nothing"
    (table,) = page.table
    row = {name: str(table.value[name].iloc[0]) for name in table.value.columns}
    assert row["layers × heads"] == "decoder 3 × 4" and row["key/value heads"] == "decoder 2"
    assert row["all maps of 100 tokens"] == "480 kB" and row["tokens at once"] == "64"
    assert "4 heads share 2 key/value heads" in said(page.markdown) and "Generate" in said(page.caption)
    page = sound(page.button(key="own open button").click().run())
    (one,) = STORE.opened()
    assert one.loaded and one.card.name == "my-llama" and f"{one.size / 1000:.0f} kB" in said(page.caption)
    assert int(row["parameters"].replace(",", "")) * 4 == pytest.approx(one.size, rel=0.01)
    assert links == [("pages/generate.py", {"model": one.card.identity})]
    assert view(page).model == one.card.identity and page.session_state["model"] == "my-llama"
    page = sound(look(page, "my-llama"))
    assert "It is open already" in said(page.caption) and page.button(key="own open button").label == "Show"
    page = sound(page.button(key="own attention my-llama").click().run())
    assert view(page).section == "attention" and received(page, "lines")


def test_a_model_of_the_list_is_looked_at_at_once(links):
    page = opened()
    assert page.selectbox(key="own listed").options == ["my-bert", "my-llama", "my-t5"]
    page = sound(page.selectbox(key="own listed").set_value("my-t5").run())
    assert page.button(key="own open button") and "encoder-decoder" in said(page.markdown)
    page = sound(page.button(key="own open button").click().run())
    assert [link[0] for link in links] == [
        f"pages/{name}.py" for name in ("translate", "coreference", "beam", "alignment")
    ]
    assert links[-1][1] == {"models": STORE.cards()[0].identity}


@pytest.mark.parametrize(
    ("reference", "reason"),
    [
        ("/etc", "is not inside the folders"),
        ("../secret", "must not lead upwards"),
        ("owner/nothing", "not on the list of models that may be opened"),
        ("", "There is no model yet"),
        ("pickled", "saccade convert"),
        ("damaged", "again"),
        ("strange", "strange"),
    ],
)
def test_a_refusal_is_a_sentence_and_leaves_all_else_as_it_was(links, models, tmp_path, monkeypatch, reference, reason):
    monkeypatch.setenv("SACCADE_MODEL_FOLDERS", f"{models}:{tmp_path}")
    for name in ("pickled", "damaged", "strange"):
        shutil.copytree(models / "my-bert", tmp_path / name)
    (tmp_path / "pickled" / "model.safetensors").rename(tmp_path / "pickled" / "pytorch_model.bin")
    with (tmp_path / "damaged" / "model.safetensors").open("r+b") as file:
        file.truncate(5_000)
    config = json.loads((tmp_path / "strange" / "config.json").read_text("utf-8"))
    (tmp_path / "strange" / "config.json").write_text(json.dumps(config | {"model_type": "strange"}), "utf-8")
    page = with_model("my-bert")
    page = look(page, reference)
    assert len(page.error) == 1 and reason in said(page.error) and not page.exception
    assert "should not have" not in said(page.error)
    assert [one.name for one in STORE.cards()] == ["my-bert"]
    assert "own open button" not in [button.key for button in page.button]
    page = sound(page.button(key="own attention my-bert").click().run())
    assert received(page, "lines")


def test_a_load_that_fails_leaves_other_models_alive(links, models, tmp_path, monkeypatch):
    folder = shutil.copytree(models / "my-bert", tmp_path / "again")
    monkeypatch.setenv("SACCADE_MODEL_FOLDERS", f"{models}:{tmp_path}")
    page = sound(look(with_model("my-bert"), "again"))
    (folder / "model.safetensors").unlink()
    page = page.button(key="own open button").click().run()
    assert len(page.error) == 1 and not page.exception and "should not have" not in said(page.error)
    assert [one.name for one in STORE.cards()] == ["my-bert"] and STORE.held == STORE.opened()[0].size
    shutil.copy(models / "my-bert" / "model.safetensors", folder)
    page = sound(page.button(key="own open button").click().run())
    assert [one.name for one in STORE.cards()] == ["my-bert", "again"]


def test_what_does_not_fit_beside_models_in_use_says_which(links, monkeypatch):
    page = with_model("my-bert")
    monkeypatch.setattr(STORE, "_limit", STORE.held + 100_000)
    page = sound(look(page, "my-llama"))
    with STORE.using("my-bert"):
        page = page.button(key="own open button").click().run()
        assert "of which models in use take a part: my-bert" in said(page.error)
        assert page.button(key="own unload my-bert").disabled
    page = sound(page.button(key="own open button").click().run())
    assert [(one.card.name, one.loaded) for one in STORE.opened()] == [("my-bert", False), ("my-llama", True)]
    assert "dropped to make room" in said(page.caption)
    page = sound(page.button(key="own attention my-bert").click().run())
    assert received(page, "lines") and [one.loaded for one in STORE.opened()] == [True, False]


def test_unloading_forgets_a_model_unless_it_is_in_use(links):
    page = with_model("my-bert")
    with STORE.using("my-bert"):  # since the page was drawn
        page = page.button(key="own unload my-bert").click().run()
        assert "my-bert is in use" in said(page.error) and STORE.cards()
    page = sound(page.run())
    page = sound(page.button(key="own unload my-bert").click().run())
    assert not STORE.cards() and "No model of your own is open yet" in said(page.caption)


def test_the_model_named_at_start_is_opened_by_the_first_who_comes(links, models, monkeypatch):
    monkeypatch.setenv("SACCADE_MODEL", str(models / "my-bert"))
    page = sound(opened())
    assert [one.name for one in STORE.cards()] == ["my-bert"] and page.session_state["model"] == "my-bert"
    STORE.unload("my-bert")
    assert not sound(opened()).session_state["own"].model and not STORE.cards(), "it is opened once"


def test_a_model_named_at_start_that_cannot_be_opened_is_a_sentence(links, monkeypatch):
    monkeypatch.setenv("SACCADE_MODEL", "/nowhere/at/all")
    for _ in range(2):
        page = opened()
        assert len(page.error) == 1 and "/nowhere/at/all" in said(page.error) and not page.exception
    assert received(sound(opened(section="attention", model="bert")), "lines"), "the rest of the page is well"


def test_a_reader_who_leaves_ends_the_load_and_nobody_else_notices(links, monkeypatch):
    class Left(BaseException):
        pass

    class Place:
        def progress(self, share: float, text: str) -> None:
            raise Left

        def empty(self) -> None: ...

    with_model("my-bert")
    looked = _own_loading.Looked("my-llama", *_looked_at("my-llama"))
    with pytest.raises(Left):
        _own_loading.load(looked, Place())  # type: ignore[arg-type]
    assert [one.name for one in STORE.cards()] == ["my-bert"] and STORE.held == STORE.opened()[0].size


def _looked_at(name: str) -> tuple[Any, Any]:
    from engine.huggingface.checks import check_folder
    from engine.huggingface.estimate import estimate
    from engine.huggingface.source import Policy, locate

    located = locate(name, Policy.from_environment())
    return located, estimate(check_folder(located.folder, located.name), "cpu")


# ---- attention ----


def test_every_map_is_that_of_the_model(links):
    page = sound(ask(choose(with_model("my-bert"), "own section", "attention"), TEXT, "The dog slept."))
    trace = trace_of(STORE.get("my-bert"), TEXT, "The dog slept.")
    page = sound(choose(page, "tokens", "pieces"))
    ((header, arrays),) = received(page, "lines")
    assert [token["label"] for token in header["tokens"]["key"]] == list(trace.source.labels)
    shape = trace.maps["encoder"].weights.shape
    np.testing.assert_allclose(
        arrays["weights"].reshape(shape) / header["levels"], trace.maps["encoder"].weights, atol=0.5 / 255 + 1e-6
    )
    again = sound(opened(**address_of(page)))
    assert (received(again, "lines")[0][1]["weights"] == arrays["weights"]).all()
    assert address_of(again)["second"] == "The dog slept."


@pytest.mark.parametrize(("name", "kinds"), [("my-t5", ["encoder", "decoder", "cross"]), ("my-llama", ["decoder"])])
def test_a_model_that_writes_has_gradients_and_all_its_maps(links, name, kinds):
    page = sound(choose(with_model(name), "own section", "attention"))
    assert ("map" in [one.key for one in page.segmented_control]) == (len(kinds) > 1)
    for kind in kinds if len(kinds) > 1 else []:
        page = sound(choose(page, "map", kind))
        assert received(page, "lines")[0][0]["title"]
    page = sound(choose(page, "measure", "gradient"))
    assert "∂ logit" in said(page.caption) and len(received(page, "lines")) == 1
    assert len(page.text_area) == (2 if name == "my-t5" else 1), "what it writes can be forced"


def test_heads_that_share_keys_say_so(links):
    page = sound(choose(with_model("my-llama"), "own section", "attention"))
    names = [f"head {head + 1} (key head {head // 2 + 1})" for head in range(4)]
    assert received(page, "lines")[0][0]["heads"] == names and "grouped-query" in said(page.caption)
    page = sound(choose(page, "view", "heatmap"))
    assert [box.options for box in page.selectbox if box.label == "Head"] == [names]


@pytest.mark.parametrize("how", ["hidden", "renormalised"])
def test_the_first_token_can_be_hidden_and_what_it_took_is_said(links, how):
    page = sound(ask(choose(with_model("my-llama"), "own section", "attention"), TEXT))
    page = sound(choose(sound(choose(page, "tokens", "pieces")), "sink", how))
    trace = trace_of(STORE.get("my-llama"), TEXT)
    weights = trace.maps["decoder"].weights
    ((header, arrays),) = received(page, "lines")
    assert len(header["tokens"]["key"]) == weights.shape[3] - 1
    np.testing.assert_allclose(arrays["removed"].reshape(*weights.shape[:2], -1), weights[:, :, 1:, 0], atol=1e-6)
    share = f"{float(weights[:, :, 1:, 0].mean()):.0%}"
    what = "rows were divided by what is left" if how == "renormalised" else "rows no longer sum to 1"
    assert f"The first token is hidden: it took {share} of each head's attention on average; {what}." in said(
        page.caption
    )
    assert f"sink.{how}" in address_of(page)["look"]
    page = sound(choose(page, "special", "hidden"))
    assert "Special tokens and the first token are hidden: they took" in said(page.caption)


def test_another_model_begins_with_its_own_heads_and_another_text_without_pins(links):
    with_model("my-bert")
    page = sound(opened(section="attention", model="my-bert", text=TEXT, look="layer.1~heads.2~pins.3"))
    assert view(page).look.layer == 0 and view(page).look.pins == (2,)
    page = sound(ask(page, "The dog slept."))
    assert view(page).look.pins == () and view(page).look.layer == 0
    page = with_model("my-llama", opened())
    page = sound(opened(section="attention", model="my-bert", text=TEXT, look="layer.1~heads.2"))
    other = next(name for name in page.selectbox(key="own model").options if name == "my-llama")
    page = sound(page.selectbox(key="own model").set_value(card(other).identity).run())
    assert view(page).model == card("my-llama").identity and view(page).look.layer in (None, 2)


def test_models_that_ship_are_read_too(links):
    page = sound(opened(section="attention", model="bert", text=TEXT))
    assert address_of(page)["model"] == card("bert").identity and received(page, "lines")


# ---- addresses ----


def test_a_link_to_a_model_that_is_not_open_says_which_and_goes_on_once_it_is(links):
    page = opened(section="attention", model="my-llama@01234567", text=TEXT, look="view.grid")
    assert "This link shows my-llama, which is not open here" in said(page.warning) and not STORE.cards()
    assert view(page).section == "open" and page.text_input(key="own reference").value == "my-llama"
    page = with_model("my-llama", page.run())
    assert view(page).section == "attention" and view(page).text == TEXT and received(page, "grid")
    page = opened(section="attention", model="my-llama@01234567", text=TEXT)
    assert "This link was made with my-llama@01234567" in said(page.warning) and received(page, "lines")


@pytest.mark.parametrize("section", ["attention", "neurons", "long"])
def test_a_model_that_was_unloaded_is_opened_again_and_what_was_seen_follows(links, section):
    page = with_model("my-llama")
    page = sound(ask_for(choose(page, "own section", section), section))
    seen = view(page)
    assert seen.model == card("my-llama").identity == address_of(page)["model"]
    STORE.unload("my-llama")  # by another reader
    page = page.run()
    assert said(page.warning) == "my-llama is no longer open here. Open it again below, and what you saw follows."
    assert not page.error and view(page).section == "open" and "model" not in address_of(page)
    assert page.text_input(key="own reference").value == "my-llama"
    page = with_model("my-llama", page.run())
    assert (view(page).section, view(page).text, view(page).model) == (section, TEXT, seen.model)


def ask_for(page: AppTest, section: str) -> AppTest:
    """Type a text in the box of a section."""
    box = "own long" if section == "long" else "own text"
    page.text_area(key=f"{box} box").set_value(TEXT)
    label = "Read" if section == "long" else "Show"
    return page.button(key=f"FormSubmitter:{box} form-{label}").click().run()


def test_models_that_ship_are_shown_after_one_was_unloaded(links):
    page = sound(with_model("my-bert").button(key="own unload my-bert").click().run())
    page = sound(choose(page, "own section", "attention"))
    assert view(page).model == address_of(page)["model"] == card("en-fr").identity
    page = opened(section="attention", model="my-bert@01234567", text=TEXT)
    assert "which is not open here" in said(page.warning)
    page = sound(choose(page, "own section", "attention"))
    assert view(page).model == card("en-fr").identity and view(page).text == TEXT


@pytest.mark.parametrize(
    "made",
    [
        OwnView(),
        OwnView(model="a/b_c@main@01234567", section="neurons", text="", kind="cross", layer=3, head=0, query=7, key=0),
        OwnView(section="long", row=128, column=0, second="x ~ y & z", presenter=True),
        OwnView(look=View(sink="renormalised", special="hidden", map="decoder", pins=(1, 2))),
    ],
)
def test_an_address_gives_the_view_again(made):
    found, problems = CODEC.decode(CODEC.encode(made))
    assert found == made and not problems
    assert CODEC.from_file(CODEC.to_file(made).encode()) == (made, [])


def test_a_request_file_opens_its_view(links):
    with_model("my-bert")
    made = OwnView(model=card("my-bert").identity, section="attention", text="The dog slept.")
    page = opened()
    page.session_state["own problems"] = []  # as the uploader leaves it
    page.session_state[VIEW.name] = made
    page = sound(page.run())
    assert view(page).text == "The dog slept." and received(page, "lines")


def test_names_of_models_may_hold_what_addresses_use():
    names = ("en-fr", "owner/a_b", "bert@main@01234567", "50%_x@89abcdef")
    assert IDENTITIES.read(IDENTITIES.write(names)) == names
    assert IDENTITIES.read("en-fr_en-fr-rnn-dot") == ("en-fr", "en-fr-rnn-dot"), "as links were written before"
    assert [name_in(name) for name in names] == ["en-fr", "owner/a_b", "bert@main", "50%_x"]
    assert file_name("/models/a b/c_d.1") == "models-a-b-c_d.1" and file_name("/") == "model"


# ---- all pages ----


def menu() -> None:
    """A page that asks for a model that can do something, and computes with it."""
    import streamlit as st

    from engine.opened import STORE
    from pages import _shared

    def uses(model: object) -> int:
        return next(one.uses for one in STORE.opened() if one.card is model.card)  # type: ignore[attr-defined]

    card = _shared.pick_model("cloze")
    st.session_state["chosen"] = card.name
    if card.path is not None:
        st.session_state["uses"] = [
            _shared.computed(card, uses),
            _shared.computed_arrays(card, uses),
            _shared.computed_slowly(card, "Using", 1, lambda model, report: uses(model)),
        ]


def test_menus_of_other_pages_have_opened_models_which_nobody_drops_while_they_compute(links):
    first = AppTest.from_function(menu, default_timeout=60).run()
    assert not first.selectbox and first.session_state["chosen"] == "bert", "the only one that restores words"
    with_model("my-bert")
    page = sound(AppTest.from_function(menu, default_timeout=60).run())
    assert page.session_state["chosen"] == "bert" and "uses" not in page.session_state, "what ships comes first"
    page = sound(page.selectbox(key="model").set_value("my-bert").run())
    assert page.session_state["uses"] == [1, 1, 1] and STORE.opened()[0].uses == 0
    STORE.unload("my-bert")
    assert sound(page.run()).session_state["chosen"] == "bert"


def test_how_a_model_is_doing_is_said():
    one = Opened(card("bert"), 10, True, 0, 7_300)
    assert state_of(one) == "last used 2 hours ago"
    assert state_of(replace(one, uses=1)) == "in use by 1 computation"
    assert state_of(replace(one, uses=2)) == "in use by 2 computations"
    assert state_of(replace(one, loaded=False)).startswith("dropped to make room")
    assert [ago(seconds) for seconds in (0, 59, 60, 3_599, 90_000)] == [
        "just now", "just now", "1 minute ago", "59 minutes ago", "1 day ago",
    ]  # fmt: skip
