"""Two buttons that save the Plotly figure of a container, as it is drawn, as SVG or PNG."""

from __future__ import annotations

from viz.components.inline import register

_mount = register("save")


def save_picture(key_of_container: str, file_name: str, *, key: str) -> None:
    """Show the buttons "SVG" and "PNG"; they say so where the container has no figure.

    The browser does all of it: no run of the page, nothing sent. The SVG is the figure's own drawing without what
    hovering adds, on the figure's background; the PNG is drawn from it at twice its size or more.

    Args:
        key_of_container: the key of the `st.container` that holds `st.plotly_chart`; its first figure is taken.
        file_name: without its ending.
        key: of these buttons, unlike any other on the page.
    """
    _mount(key=key, data={"container": key_of_container, "name": file_name})
