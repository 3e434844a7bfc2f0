"""BertViz, the peer of the diagrams: its HTML for our weights, painted with no network.

Its HTML asks a content network for require.js 2.3.6, jQuery 2.0.0 and d3 5.7.0. The last two come from packages that
carry them: d3 5.7.0 itself from mpld3, jQuery 3.7 from xstatic-jquery (the views use nothing that differs). The small
package of require.js no longer builds, hence `REQUIRE`, which does what the views ask of it: load both, then call.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from importlib.metadata import PackageNotFoundError, distribution, version
from pathlib import Path
from typing import Literal

from playwright.sync_api import BrowserContext, Route

from engine.types import AttentionMap

View = Literal["head view", "model view"]
INSTALL = "to compare with BertViz, install the peers: make bench"
FILES = {
    "d3": ("mpld3", "mpld3/js/d3.v5.min.js"),
    "jquery": ("xstatic-jquery", "xstatic/pkg/jquery/data/jquery.min.js"),
}
REQUIRE = """window.require = window.requirejs = (names, run) => {
  const load = name => new Promise((resolve, reject) => {
    const script = document.createElement("script");
    script.onload = () => resolve({ jquery: window.jQuery, d3: window.d3 }[name]);
    script.onerror = reject;
    script.src = `${requirejs.paths[name]}.js`;
    document.head.append(script);
  });
  Promise.all(names.map(load)).then(found => run(...found));
};
requirejs.config = ({ paths }) => { requirejs.paths = paths; };
"""


def missing() -> str:
    """Why there is nothing to compare with; empty if all is installed."""
    absent = []
    for package in ("bertviz", "ipython", *(package for package, _ in FILES.values())):
        try:
            version(package)
        except PackageNotFoundError:
            absent.append(package)
    return f"{', '.join(absent)} not installed; {INSTALL}" if absent else ""


def libraries() -> dict[str, bytes]:
    """What its HTML loads, by the name that the addresses end with."""
    found = {name: Path(distribution(package).locate_file(path)) for name, (package, path) in FILES.items()}
    return {"require": REQUIRE.encode()} | {name: path.read_bytes() for name, path in found.items()}


def serve(context: BrowserContext) -> None:
    """Answer a browser's requests for those libraries; what else it asks of a network fails."""
    texts = libraries()

    def answer(route: Route) -> None:
        name = route.request.url.rsplit("/", 1)[-1].split(".")[0]
        if name in texts:
            route.fulfill(body=texts[name], content_type="text/javascript")
        else:
            route.abort()

    context.route(re.compile(r"https?://"), answer)


def builder(view: View, attention: AttentionMap) -> Callable[[], str]:
    """What makes the HTML of a view; the weights are torch tensors by then, as a model gives them."""
    import torch
    from bertviz import head_view, model_view

    draw = {"head view": head_view, "model view": model_view}[view]
    layers = [torch.tensor(layer)[None] for layer in attention.weights]  # each (1, head, query, key)
    tokens = list(attention.query_tokens.labels)

    def build() -> str:
        html: str = draw(layers, tokens, html_action="return").data
        return html

    return build
