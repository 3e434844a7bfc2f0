"""The save buttons: what Python sends them, and what their script may not do. Saving itself is tested in a browser."""

from __future__ import annotations

import json
import re

from streamlit.testing.v1 import AppTest

from viz.components.inline import FOLDER, script


def two_buttons() -> None:
    import streamlit as st

    from viz.components.save import save_picture

    with st.container(key="heat map"):
        st.write("a figure")
    save_picture("heat map", "l'animal <b> 1", key="save heatmap")
    save_picture("elsewhere", "attention", key="save elsewhere")


def test_the_browser_gets_the_container_and_the_file_name() -> None:
    page = AppTest.from_function(two_buttons, default_timeout=60).run()
    assert not page.exception
    sent = [element.proto for element in page.main if element.type == "bidi_component"]
    assert [proto.component_name for proto in sent] == ["saccade_save", "saccade_save"]
    assert [json.loads(proto.json) for proto in sent] == [
        {"container": "heat map", "name": "l'animal <b> 1"},
        {"container": "elsewhere", "name": "attention"},
    ]


def test_the_script_writes_text_only_and_asks_nobody() -> None:
    own = (FOLDER / "save" / "index.js").read_text("utf-8")
    assert not re.search(r"innerHTML|outerHTML|insertAdjacentHTML|alert\(|fetch\(|import\b", own)
    addresses = set(re.findall(r"https?://[^\"'` )]+", own))
    assert addresses <= {
        "http://www.w3.org/2000/svg",
        "http://www.w3.org/1999/xlink",
        "http://www.w3.org/2000/xmlns/",
        "http://…#clip",
    }
    assert script("save").count("export default") == 1
