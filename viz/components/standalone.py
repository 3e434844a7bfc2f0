"""A component and its data as one HTML file that needs neither Saccade nor a network."""

from __future__ import annotations

import base64
import html

from viz.components.inline import script, style
from viz.theme import Theme

# The data are base64, so that no text of a reader's can end the script.
_PAGE = """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
<style>
body {{ background: {background}; color: {text}; font-family: {font}; margin: 1rem auto; max-width: 70rem; }}
h1 {{ font-size: 1.2rem; }}
p {{ color: {muted}; overflow-wrap: anywhere; }}
{style}
</style>
<h1 dir="auto">{title}</h1>
<p dir="auto">{note}</p>
<div id="figure"></div>
<script type="text/plain" id="data">{data}</script>
<script type="module">
{script}
const bytes = Uint8Array.from(atob(document.getElementById("data").textContent), (c) => c.charCodeAt(0));
const parentElement = document.getElementById("figure");
render({{ data: bytes, parentElement, setStateValue() {{}}, setTriggerValue() {{}} }});
</script>
</html>
"""


def standalone_html(component: str, data: bytes, *, title: str, note: str, theme: Theme) -> str:
    """The page: open it in any browser; pointing, pins, layers, heads and threshold work as in the app.

    Args:
        component: the folder's name, e.g. "lines".
        data: what the component receives.
        title: of the page, any text.
        note: what was done, in a sentence, any text.
        theme: the one that `data` was made with.
    """
    return _PAGE.format(
        title=html.escape(title),
        note=html.escape(note),
        background=theme.background,
        text=theme.text,
        muted=theme.muted,
        font=theme.font,
        style=style(component),
        script=script(component),
        data=base64.b64encode(data).decode("ascii"),
    )
