"""Writes the requirements*.lock files from what is installed beside this interpreter.

A lock is the closure of the project's dependencies over the installed distributions, each pinned with `==`.
Local version labels (such as "+cpu") are dropped: the same pin then fits every platform's build.
"""

from __future__ import annotations

import tomllib
from importlib.metadata import distribution
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

ROOT = Path(__file__).resolve().parent.parent
HEADER = "# Written by `make lock`; the ranges are in pyproject.toml.\n"


def closure(requirements: list[str], deep: bool = True) -> dict[str, str]:
    """Returns every distribution that `requirements` lead to on this platform, as canonical name -> version.

    Not `deep`: those that they name.
    """
    pins: dict[str, str] = {}
    seen: set[tuple[str, str]] = set()
    todo = [(Requirement(text), "") for text in requirements]
    while todo:
        requirement, parent_extra = todo.pop()
        if requirement.marker and not requirement.marker.evaluate({"extra": parent_extra}):
            continue
        found = distribution(requirement.name)
        name = canonicalize_name(requirement.name)
        pins[name] = Version(found.version).public
        for extra in ("", *requirement.extras) if deep else ():
            if (name, extra) not in seen:
                seen.add((name, extra))
                todo += [(Requirement(text), extra) for text in found.requires or []]
    return pins


def without(pins: dict[str, str], others: dict[str, str]) -> dict[str, str]:
    """Returns those pins that are not among the others."""
    return {name: version for name, version in pins.items() if name not in others}


def lines(pins: dict[str, str]) -> str:
    """Returns one `name==version` line for each pin, in order."""
    return "".join(f"{name}=={pins[name]}\n" for name in sorted(pins))


def main() -> None:
    """Writes the three files."""
    config = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    # The build backend is pinned too, so that the editable install needs no isolated download.
    # `make run` opens models of people's own, too.
    extras = config["project"]["optional-dependencies"]
    runtime = closure(config["project"]["dependencies"] + config["build-system"]["requires"] + extras["hf"])
    # The trained model and the peers alone, without what they require: it is not installed.
    tests = without(closure(extras["test"]) | closure(extras["trained"], deep=False), runtime)
    bench = without(closure(extras["bench"]) | closure(extras["peers"], deep=False), runtime | tests)
    (ROOT / "requirements.lock").write_text(HEADER + lines(runtime), encoding="utf-8")
    (ROOT / "requirements-test.lock").write_text(HEADER + "-r requirements.lock\n" + lines(tests), encoding="utf-8")
    (ROOT / "requirements-bench.lock").write_text(
        HEADER + "-r requirements-test.lock\n" + lines(bench), encoding="utf-8"
    )


if __name__ == "__main__":
    main()
