"""Views that live in the browser: Streamlit components with their own script, no round trip for pointing or clicking.

Each folder holds one: index.js, style.css and a Python face of one or two functions.
"""
