"""The same question over many sentences."""

from __future__ import annotations

import streamlit as st

import viz
from engine.catalogue import ModelCard


def draw(card: ModelCard, theme: viz.Theme) -> None:
    """To come."""
    st.info("…")
