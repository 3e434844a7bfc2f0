"""The web app: settings and navigation. Pages are in pages/."""

import streamlit as st

st.set_page_config(
    page_title="Saccade",
    page_icon="👁️",
    layout="wide",
    initial_sidebar_state="collapsed",
    menu_items={"About": "**Saccade** shows what a trained network looks at. Everything runs on this machine."},
)

st.html("<style>.stMainBlockContainer { padding-top: 2.5rem; }</style>")  # the default leaves much empty

st.navigation(
    [st.Page("pages/translate.py", title="Translate", url_path="translate", icon="🔤", default=True)],
    position="hidden",
).run()
