"""The crowd of `python -m bench load`: its protocol by hand and against a small Streamlit app. Nothing is timed."""

from __future__ import annotations

import asyncio
import itertools
import json
import statistics
from urllib.parse import parse_qs

import pytest
from streamlit.proto.Alert_pb2 import Alert
from streamlit.proto.BackMsg_pb2 import BackMsg
from streamlit.proto.Element_pb2 import Element
from streamlit.proto.ForwardMsg_pb2 import ForwardMsg

from bench import crowd as bench_crowd
from bench.browser import serving
from bench.crowd import Action, Crowd, Visit, not_greeted, not_translated, query_of, sentences, think_times, visit
from bench.load import BARE, OURS, Found, Usage, report
from bench.report import as_json
from bench.sentences import SENTENCES
from bench.websocket import Page, ProtocolError, open_tab

URL = "http://127.0.0.1:8501/translate"
# A page like Translate in small: a form, the text as "French", a drawing, and something large that never changes.
APP = """
import time

import streamlit as st

with st.form("question"):
    text = st.text_input("Text")
    st.form_submit_button("Go")
if "fails" in text:
    raise ValueError("as asked")
if "waits" in text:
    time.sleep(5)
st.html(f'<p lang="fr">{text or "rien"}</p>')
values = [{"x": index, "word": word} for index, word in enumerate(text.split())]
st.vega_lite_chart({"data": {"values": values}, "mark": "text", "encoding": {"text": {"field": "word"}}})
st.markdown("large " * 5000)
st.markdown(f"query: {st.query_params.get('text')}")
"""


def begin(*, most_age: int = 2) -> bytes:
    message = ForwardMsg()
    message.new_session.page_script_hash = "page"
    message.new_session.config.max_cached_message_age = most_age
    return message.SerializeToString()


def end(status: int = ForwardMsg.FINISHED_SUCCESSFULLY) -> bytes:
    return ForwardMsg(script_finished=status).SerializeToString()


def shown(element: Element, path: int = 0, kept_as: str = "") -> bytes:
    message = ForwardMsg(hash=kept_as)
    message.metadata.delta_path.extend([0, path])
    message.metadata.cacheable = bool(kept_as)
    message.delta.new_element.CopyFrom(element)
    return message.SerializeToString()


def referred(name: str, path: int = 0) -> bytes:
    message = ForwardMsg(ref_hash=name)
    message.metadata.delta_path.extend([0, path])
    return message.SerializeToString()


def markdown(text: str) -> Element:
    element = Element()
    element.markdown.body = text
    return element


def html(text: str) -> Element:
    element = Element()
    element.html.body = text
    return element


def chart(*words: str) -> Element:
    element = Element()
    element.vega_lite_chart.spec = json.dumps(words)
    return element


def sent(request: bytes):
    return BackMsg.FromString(request).rerun_script


def test_the_first_request_names_the_page_and_later_ones_its_hash():
    page = Page(URL)
    first = sent(page.request())
    assert (first.page_name, first.page_script_hash, first.query_string) == ("translate", "", "")
    assert first.context_info.url == URL and not first.is_history_navigation
    assert not page.receive(begin()) and page.receive(end())
    later = sent(page.request("text=a", {"box": "a", "button": None}))
    assert (later.page_name, later.page_script_hash, later.query_string) == ("", "page", "text=a")
    box, button = later.widget_states.widgets
    assert (box.id, box.string_value) == ("box", "a") and (button.id, button.trigger_value) == ("button", True)
    assert sent(page.request("text=b")).is_history_navigation


def test_elements_that_were_kept_are_put_in_where_the_server_refers_to_them():
    page = Page(URL)
    page.request()
    for message in (begin(), shown(markdown("large"), 0, kept_as="h"), shown(markdown("small"), 1), end()):
        page.receive(message)
    assert list(sent(page.request()).cached_message_hashes) == ["h"]
    for message in (begin(), shown(markdown("new"), 0), referred("h", 1), end()):
        page.receive(message)
    assert [element.markdown.body for element in page.elements] == ["new", "large"]
    with pytest.raises(ProtocolError, match="never sent: other"):
        page.receive(referred("other"))


def test_kept_elements_are_forgotten_when_unused_for_longer_than_the_server_allows():
    page = Page(URL)
    page.receive(begin(most_age=2))
    page.receive(shown(markdown("large"), kept_as="h"))
    page.receive(end())
    known = []
    for _ in range(3):
        known.append(list(sent(page.request()).cached_message_hashes))
        page.receive(begin(most_age=2))
        page.receive(end())
    assert known == [["h"], ["h"], []]


def test_a_script_that_reruns_itself_is_read_to_its_last_run():
    page = Page(URL)
    page.request()
    assert not page.receive(end())  # of a run that began before the request
    page.receive(begin())
    page.receive(shown(markdown("first")))
    assert not page.receive(end(ForwardMsg.FINISHED_EARLY_FOR_RERUN))
    page.receive(begin())
    page.receive(shown(markdown("second")))
    page.receive(shown(markdown("third")))  # in the place of the second
    assert page.receive(end())
    assert [element.markdown.body for element in page.elements] == ["third"]


def test_problems_are_what_a_user_would_see_as_an_error():
    hidden, broken, refused, advice = Element(), Element(), Element(), Element()
    hidden.exception.message = "The details are in the log."
    broken.exception.type, broken.exception.message = "ValueError", "no"
    refused.alert.body, refused.alert.format = "Too long.", Alert.ERROR
    advice.alert.body, advice.alert.format = "A hint.", Alert.INFO
    for element, problem in (
        (hidden, "an exception"),
        (broken, "ValueError: no"),
        (refused, "Too long."),
        (advice, ""),
    ):
        page = Page(URL)
        page.receive(begin())
        page.receive(shown(element))
        page.receive(end())
        assert page.problem.startswith(problem) and bool(page.problem) == bool(problem)
    page = Page(URL)
    page.receive(begin())
    assert page.receive(end(ForwardMsg.FINISHED_WITH_COMPILE_ERROR)) and page.problem
    page.receive(begin())
    assert page.receive(end()) and not page.problem


def test_a_form_is_a_text_box_and_the_button_of_the_same_form():
    box, plain, other, submit = Element(), Element(), Element(), Element()
    box.text_input.id, box.text_input.form_id = "box", "f"
    plain.button.id = "plain"
    other.button.id, other.button.form_id, other.button.is_form_submitter = "other", "g", True
    submit.button.id, submit.button.form_id, submit.button.is_form_submitter = "submit", "f", True
    page = Page(URL)
    page.receive(begin())
    for index, element in enumerate((box, plain, other)):
        page.receive(shown(element, index))
    assert page.form() is None
    page.receive(shown(submit, 3))
    found = page.form()
    assert found is not None and found.filled("text") == {"box": "text", "submit": None}


def test_a_translation_has_french_and_a_drawing_of_its_words():
    french, old, new = html('<p lang="fr">Il dort.</p>'), chart("The", "cat", "sits"), chart("The", "dog", "sleeps")
    asked = "The dog sleeps."
    assert not not_translated(asked, [french, new], [french, old])
    assert not_translated(asked, [new], [old]) == "the page has no French"
    assert not_translated(asked, [html('<p lang="fr"></p>'), new], [old]) == "the page has no French"
    assert not_translated(asked, [french, markdown(asked)], [old]) == "the page has no drawing"
    assert not_translated(asked, [french, old], [old]) == "the page shows another sentence"
    assert not_translated(asked, [french, chart("The", "bird")], [old]) == "the page shows another sentence"
    assert not not_greeted("", [markdown("hello")], []) and not_greeted("", [markdown("bye")], [])


def test_every_question_is_another_sentence_of_8_to_20_words():
    found = sentences(seed=0)
    assert len(found) == len(set(found)) > 40 * 100  # clients × more questions than anybody asks
    assert {len(sentence.split()) for sentence in found} == set(range(8, 21))
    assert set(SENTENCES) <= set(found) and sentences(seed=0) == found != sentences(seed=1)
    assert parse_qs(query_of("Tom's “café” & tea.")) == {"text": ["Tom's “café” & tea."]}


def test_think_times_are_seeded_and_have_the_mean_asked_for():
    first, again, other = (list(itertools.islice(think_times(Crowd(think=8), client), 10_000)) for client in (0, 0, 1))
    assert first == again != other
    # an exponential's deviation is its mean: of 10,000 the mean is within 4 × 0.08
    assert statistics.mean(first) == pytest.approx(8, abs=0.32)
    assert statistics.stdev(first) == pytest.approx(8, abs=0.8)


def test_report():
    good = [Action(0, 0.1 * second, float(second), 1000 * second, "") for second in (1, 2, 3)]
    bad = Action(1, 0.5, 30.0, 0, "no answer within 30 s")
    start, later = Usage(100.0, 5.0, 20.0, 50.0), Usage(110.0, 6.0, 25.0, 400.0)
    visits = {
        OURS: Found(Visit(9.0, ["an exception"], [*good, bad]), start, later),
        BARE: Found(Visit(1.0, [], good), start, later),
    }
    found = report(Crowd(), visits)
    ours, bare = found.rows
    assert (ours["requests"], ours["errors"], bare["errors"]) == (4, "2: an exception", "0")
    assert (ours["p50 s"], ours["p95 s"], ours["max s"]) == ("2.500", "25.950", "30.000")
    assert (bare["p50 s"], bare["p95 s"], ours["p95 ÷ bare"]) == ("2.000", "2.900", "8.9")
    assert (ours["kB of an answer, median"], ours["MB"]) == ("2.0", "400")
    assert (ours["CPU ms a request"], ours["cores"]) == ("1250", "0.50")
    assert [(goal.figure, goal.most, goal.met) for goal in found.goals] == [
        (pytest.approx(25.95), 2.5, False),
        (2, 0, False),
    ]
    data = json.loads(as_json([found]))["reports"][0]["figures"]
    assert data["crowd"]["clients"] == 40 and data[OURS]["visit"]["actions"][3]["error"] == "no answer within 30 s"
    with pytest.raises(ValueError, match="nobody asked"):
        report(Crowd(), visits | {BARE: Found(Visit(1.0, [], []), start, later)})


@pytest.fixture(scope="module")
def address(tmp_path_factory):
    script = tmp_path_factory.mktemp("app") / "app.py"
    script.write_text(APP, encoding="utf-8")
    with serving("streamlit", "run", str(script), port="--server.port") as server:
        yield server.address


def test_a_real_server_answers_as_it_would_a_browser(address):
    async def ask():
        tab = await open_tab(address, "", 30)
        form = tab.page.form()
        answers = [await tab.run(query_of(text), form.filled(text)) for text in ("one two", "fails", "three four")]
        await tab.close()
        return answers

    one, broken, three = asyncio.run(ask())
    assert not one.problem and one.elements[-1].markdown.body == "query: one two"
    assert broken.problem.startswith("an exception")  # the configuration keeps its text from readers
    large = [element.markdown.body for element in three.elements if element.markdown.body.startswith("large")]
    assert len(large) == 1 and len(large[0]) > 20_000 > three.size > 0  # the server sent its hash alone
    assert not not_translated("three four", three.elements, one.elements)
    assert not_translated("five six", three.elements, one.elements)


def test_a_crowd_of_a_real_server(address):
    observed = []
    crowd = Crowd(clients=3, think=0.2, seconds=1)
    visited = visit(address, "", crowd, not_translated, lambda: observed.append(True))
    actions = visited.actions
    assert {action.client for action in actions} == {0, 1, 2} and len(observed) == 2
    assert not visited.errors and visited.loading > 0
    assert all(action.size > 0 and 0 < action.sent < 1 for action in actions)


def test_errors_are_counted_and_a_late_answer_is_not_waited_for(address, monkeypatch):
    asked = ["it waits", "seven words are enough for this test", "it fails", *SENTENCES]
    monkeypatch.setattr(bench_crowd, "sentences", lambda seed: asked)
    crowd = Crowd(clients=1, think=0.05, seconds=3, timeout=1.5)
    found = visit(address, "", crowd, not_translated, lambda: None)
    late, fine, broken = (action.error for action in found.actions[:3])
    assert len(found.errors) == 2
    assert late == "no answer within 1.5 s" and not fine and broken.startswith("an exception")


def test_a_page_that_is_not_there_ends_the_run():
    with pytest.raises(ProtocolError, match="no connection"):
        visit("http://127.0.0.1:9", "", Crowd(clients=1), not_greeted, lambda: None)
