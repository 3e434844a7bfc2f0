"""The web app: settings and navigation. Pages are in pages/."""

import os

import streamlit as st

st.set_page_config(
    page_title="Saccade",
    page_icon="👁️",
    layout="wide",
    initial_sidebar_state="collapsed",
    menu_items={"About": "**Saccade** shows what a trained network looks at. Everything runs on this machine."},
)

STYLE = """
.stMainBlockContainer { padding-top: 3.6rem; }  /* the default leaves much of a screen empty */
.stMainBlockContainer h1 { font-size: 1.9rem; padding: 0.4rem 0 0.5rem; }
[data-testid="InputInstructions"] { display: none; }  /* it lies upon a long sentence; the placeholder says it */
/* on a narrow screen charts scroll sideways: squeezed, their labels would lie upon each other */
:is(.st-key-heatmap, .st-key-units, .st-key-rows, .st-key-measures, .st-key-agreement, .st-key-lengths) {
  overflow-x: auto;
  > * { min-width: 34rem; }
}
:is(.st-key-numbers, .st-key-encoder, .st-key-thread) { overflow-x: auto; }  /* a wide table; panels side by side */
/* sentences in a table: else they break long before its edge */
.st-key-outputs [data-testid="stTable"] td > * { max-width: none; }
"""
st.html(f"<style>{STYLE}</style>")

st.session_state["navigated"] = True  # pages/_shared.py: a page that is run without this file asks for it
page = st.navigation(
    [
        st.Page("pages/home.py", title="Saccade", url_path="home", icon=":material/visibility:", default=True),
        st.Page("pages/translate.py", title="Translate", url_path="translate", icon=":material/translate:"),
        st.Page("pages/coreference.py", title="Coreference", url_path="coreference", icon=":material/call_split:"),
        st.Page("pages/beam.py", title="Beam search", url_path="beam", icon=":material/account_tree:"),
        st.Page("pages/memorization.py", title="Memorization", url_path="memorization", icon=":material/history:"),
        st.Page("pages/alignment.py", title="Alignment", url_path="alignment", icon=":material/align_horizontal_left:"),
        st.Page("pages/generate.py", title="Generate", url_path="generate", icon=":material/edit_note:"),
        st.Page("pages/cloze.py", title="Cloze", url_path="cloze", icon=":material/question_mark:"),
        st.Page("pages/your_model.py", title="Your model", url_path="your_model", icon=":material/deployed_code:"),
        st.Page("pages/models.py", title="Models", url_path="models", icon=":material/inventory_2:"),
    ],
    position="top",
)
if os.environ.get("SACCADE_MODEL"):  # `saccade run --model`: the first who comes opens it
    from pages._own_loading import open_at_start

    open_at_start()
page.run()
