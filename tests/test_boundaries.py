"""The rules of the house, read from the syntax tree of every Python file."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
ROOMS = ("engine", "viz", "pages", "tests", "bench", ".ci", "docs")
LONGEST = 450
HOOK = re.compile(r"register_\w*hook\w*")


def absolute_module(path: str, node: ast.ImportFrom) -> str:
    """Returns the dotted module an import names, with leading dots resolved against the file's place."""
    if not node.level:
        return node.module or ""
    package = path.removesuffix(".py").split("/")[: -node.level]
    return ".".join(package + ([node.module] if node.module else []))


def called_imports(node: ast.Call) -> Iterator[str]:
    """Yields the module of `import_module("x")` and `__import__("x")`."""
    name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
    if name in ("import_module", "__import__") and node.args and isinstance(node.args[0], ast.Constant):
        yield str(node.args[0].value)


def imports(path: str, nodes: Iterator[ast.AST]) -> Iterator[str]:
    """Yields every imported name in full: "torch", "engine.types", "engine.types.Trace"."""
    for node in nodes:
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            module = absolute_module(path, node)
            yield from (f"{module}.{alias.name}".lstrip(".") for alias in node.names)
        elif isinstance(node, ast.Call):
            yield from called_imports(node)


def executed_on_import(tree: ast.AST) -> Iterator[ast.AST]:
    """Yields the nodes that run when the module is imported: not function bodies, not `if TYPE_CHECKING`."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)):
            continue
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            continue
        yield node
        yield from executed_on_import(node)


def banned(path: str) -> set[str]:
    """Returns the top-level modules a file may not import."""
    room = path.split("/")[0]
    if path.startswith("engine/types/") or path == "engine/errors.py":
        return {"torch", "streamlit", "plotly", "altair", "viz", "pages", "app", "transformers"}
    if room == "engine":
        return {"streamlit", "plotly", "altair", "viz", "pages", "app"}
    if path.startswith("viz/components/"):
        return {"torch", "transformers", "pages", "app"}
    if room == "viz":
        return {"torch", "transformers", "pages", "app", "streamlit"}
    if room == "pages":
        return {"torch", "transformers", "app"}
    return set()


def import_violations(path: str, tree: ast.AST) -> Iterator[str]:
    for name in imports(path, ast.walk(tree)):
        top = name.split(".")[0]
        if top in banned(path):
            yield f"{path} imports {name}"
        if path.startswith("viz/") and top == "engine" and not f"{name}.".startswith("engine.types."):
            yield f"{path} imports {name}; of the engine, viz may import engine.types only"
    if path.startswith("engine/"):
        at_top = set(imports(path, executed_on_import(tree)))
        for name in imports(path, ast.walk(tree)):
            if name.split(".")[0] not in ("transformers", "accelerate", "huggingface_hub"):
                continue
            if not path.startswith("engine/huggingface/"):
                yield f"{path} imports {name}; only engine/huggingface/ does"
            elif name in at_top:
                yield f"{path} imports {name} at module level"


def use_violations(path: str, tree: ast.AST) -> Iterator[str]:
    if path.split("/")[0] not in ("engine", "viz", "pages", "app.py"):
        return
    for node in ast.walk(tree):
        names = [node.attr] if isinstance(node, ast.Attribute) else []
        if isinstance(node, ast.ImportFrom) and absolute_module(path, node).split(".")[0] == "streamlit":
            names = [alias.name for alias in node.names]
        for name in names:
            if name in ("cache_data", "cache_resource") and path != "pages/_shared.py":
                yield f"{path} uses {name}; only pages/_shared.py caches"
            if HOOK.fullmatch(name):
                yield f"{path} calls {name}; taps are arguments of a forward, nothing hangs on a model"


def violations(path: str, source: str) -> list[str]:
    """Returns every broken rule of one file, given by its path from the root and its text."""
    tree = ast.parse(source)
    found = [*import_violations(path, tree), *use_violations(path, tree)]
    length = len(source.splitlines())
    if length > LONGEST:
        found.append(f"{path} has {length} lines; {LONGEST} is the most")
    if path.split("/")[-1] in ("utils.py", "helpers.py"):
        found.append(f"{path}: name the noun it holds")
    return found


def python_files() -> list[str]:
    """Returns every Python file of the project, from the root."""
    files = [*ROOT.glob("*.py"), *(file for room in ROOMS for file in (ROOT / room).rglob("*.py"))]
    return sorted(file.relative_to(ROOT).as_posix() for file in files)


def test_the_search_reaches_every_room():
    files = python_files()
    assert {"engine/types/trace.py", "engine/errors.py", "tests/test_boundaries.py", "app.py"} <= set(files)
    assert {"engine", "viz", "pages"} <= {file.split("/")[0] for file in files}
    assert not any(".venv" in file for file in files)


@pytest.mark.parametrize("path", python_files())
def test_every_file_keeps_the_rules(path):
    assert violations(path, (ROOT / path).read_text(encoding="utf-8")) == []


@pytest.mark.parametrize(
    ("path", "source"),
    [
        ("viz/lines.py", "import torch"),
        ("viz/lines.py", "import streamlit as st"),
        ("viz/lines.py", "import engine"),
        ("viz/lines.py", "from engine import load"),
        ("viz/lines.py", "from engine.text import Tokenizer"),
        ("viz/lines.py", "import engine.typesetting"),
        ("viz/lines.py", "from pages import _shared"),
        ("viz/lines.py", "def draw():\n    import torch.nn as nn"),
        ("viz/lines.py", "from importlib import import_module\nst = import_module('streamlit')"),
        ("viz/components/lines/__init__.py", "import torch"),
        ("viz/components/lines/__init__.py", "from engine.runner import load"),
        ("viz/components/lines/__init__.py", "import streamlit as st\n@st.cache_data\ndef f(): ..."),
        ("engine/cli.py", "from streamlit.web import bootstrap"),
        ("engine/runner.py", "import plotly.graph_objects as go"),
        ("engine/runner.py", "import altair"),
        ("engine/models/attention.py", "from viz import theme"),
        ("engine/models/attention.py", "from ... import viz"),
        ("engine/runner.py", "from pages._shared import trace"),
        ("engine/types/trace.py", "import torch"),
        ("engine/errors.py", "from torch import Tensor"),
        ("pages/translate.py", "import torch"),
        ("pages/translate.py", "from torch import Tensor"),
        ("pages/translate.py", "import streamlit as st\n@st.cache_resource\ndef f(): ..."),
        ("pages/translate.py", "from streamlit import cache_data"),
        ("pages/_permalink.py", "import streamlit\nstreamlit.cache_data.clear()"),
        ("app.py", "import streamlit as st\nst.cache_resource(load)"),
        ("engine/models/bert.py", "layer.register_forward_hook(print)"),
        ("engine/gradients.py", "tensor.register_hook(print)"),
        ("viz/lines.py", "model.register_full_backward_pre_hook(print)"),
        ("engine/models/gpt.py", "from transformers import GPT2LMHeadModel"),
        ("engine/models/gpt.py", "def convert():\n    from transformers import GPT2LMHeadModel"),
        ("engine/huggingface/hosted.py", "import transformers"),
        ("engine/huggingface/hosted.py", "layer.register_forward_hook(print)"),
        ("engine/models/gpt.py", "try:\n    import transformers\nexcept ImportError:\n    pass"),
        ("engine/models/gpt.py", "class A:\n    import accelerate"),
        ("engine/models/gpt.py", "x = 1\n" * 451),
        ("engine/utils.py", ""),
        ("tests/helpers.py", ""),
    ],
)
def test_a_planted_violation_is_found(path, source):
    assert violations(path, source)


@pytest.mark.parametrize(
    ("path", "source"),
    [
        ("viz/lines.py", "from engine.types import Trace\nimport numpy as np\nimport altair as alt"),
        ("viz/lines.py", "from engine import types\nimport engine.types\nfrom . import theme"),
        ("viz/components/lines/__init__.py", "import streamlit as st\nfrom engine.types import AttentionMap"),
        ("engine/cli.py", "import subprocess\nsubprocess.run(['streamlit', 'run', 'app.py'])"),
        ("engine/huggingface/hosted.py", "def load():\n    from transformers import AutoModel"),
        (
            "engine/huggingface/hosted.py",
            "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from transformers import PreTrainedModel",
        ),
        ("engine/models/gpt.py", "self.register_buffer('mask', mask)"),
        ("engine/models/transformer.py", "from .attention import MultiHeadAttention\nfrom ..types import Tokens"),
        ("pages/_shared.py", "import streamlit as st\nimport engine\n@st.cache_resource\ndef f(): ..."),
        ("pages/translate.py", "import numpy as np\nfrom pages import _shared\nfrom viz import lines"),
        ("tests/engine/test_hooks.py", "import torch, streamlit\nlayer.register_forward_hook(print)"),
        ("engine/models/gpt.py", "x = 1\n" * 450),
    ],
)
def test_what_is_allowed_passes(path, source):
    assert violations(path, source) == []
