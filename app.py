"""The web app: settings and navigation. Pages are in pages/."""

import streamlit as st

st.set_page_config(
    page_title="Saccade",
    page_icon="👁️",
    layout="wide",
    initial_sidebar_state="collapsed",
    menu_items={"About": "**Saccade** shows what a trained network looks at. Everything runs on this machine."},
)

STYLE = """
.stMainBlockContainer { padding-top: 2.5rem; }  /* the default leaves much of a screen empty */
[data-testid="InputInstructions"] { display: none; }  /* it lies upon a long sentence; the placeholder says it */
/* on a narrow screen figures scroll sideways: squeezed, their labels would lie upon each other */
.st-key-strip, .st-key-lines, .st-key-heatmap { overflow-x: auto; }
.st-key-strip > *, .st-key-lines > *, .st-key-heatmap > * { min-width: 34rem; }
"""
st.html(f"<style>{STYLE}</style>")

st.navigation(
    [st.Page("pages/translate.py", title="Translate", url_path="translate", icon="🔤", default=True)],
    position="hidden",
).run()
