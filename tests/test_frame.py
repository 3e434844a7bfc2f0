"""The project's frame: version, documents, settings and pinned dependencies agree with each other."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

ROOT = Path(__file__).resolve().parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
SETTINGS = tomllib.loads((ROOT / ".streamlit" / "config.toml").read_text(encoding="utf-8"))


def pins(name: str) -> dict[str, Version]:
    """Returns a lock file's pins as canonical name -> version; a line in any other form is an error."""
    found = {}
    for line in (ROOT / name).read_text(encoding="utf-8").splitlines():
        if not line or line.startswith("#"):
            continue
        if included := re.fullmatch(r"-r (requirements\S*\.lock)", line):
            found |= pins(included[1])
            continue
        match = re.fullmatch(r"([A-Za-z0-9._-]+)==([A-Za-z0-9.!]+)", line)
        assert match, f"{name}: {line!r} is not name==version"
        found[canonicalize_name(match[1])] = Version(match[2])
    return found


def luminance(colour: str) -> float:
    """Relative luminance in [0, 1]. Source: WCAG 2.1."""
    channels = [int(colour[start : start + 2], 16) / 255 for start in (1, 3, 5)]
    linear = [value / 12.92 if value <= 0.03928 else ((value + 0.055) / 1.055) ** 2.4 for value in channels]
    return sum(weight * value for weight, value in zip((0.2126, 0.7152, 0.0722), linear, strict=True))


def contrast(one: str, other: str) -> float:
    """Contrast ratio in [1, 21]. Source: WCAG 2.1."""
    darker, lighter = sorted((luminance(one), luminance(other)))
    return (lighter + 0.05) / (darker + 0.05)


def test_the_newest_change_is_this_version():
    newest = re.search(r"^## \[(\d+\.\d+\.\d+)\]", (ROOT / "CHANGELOG.md").read_text(encoding="utf-8"), re.MULTILINE)
    assert newest and newest[1] == PROJECT["version"]


@pytest.mark.parametrize("command", ["make run", "make test"])
def test_the_readme_names_the_command(command):
    assert command in (ROOT / "README.md").read_text(encoding="utf-8")


def test_the_command_leads_to_a_function():
    module, function = PROJECT["scripts"]["saccade"].split(":")
    source = (ROOT / f"{module.replace('.', '/')}.py").read_text(encoding="utf-8")
    assert re.search(rf"^(def {function}\(|{function} = )", source, re.MULTILINE)


def test_the_app_is_private_by_default():
    assert SETTINGS["browser"]["gatherUsageStats"] is False
    assert SETTINGS["server"]["address"] == "127.0.0.1"
    assert SETTINGS["server"]["enableCORS"] is True
    assert SETTINGS["server"]["enableXsrfProtection"] is True
    assert SETTINGS["client"]["showErrorDetails"] == "none"


def test_no_setting_fetches_from_outside():
    assert "://" not in (ROOT / ".streamlit" / "config.toml").read_text(encoding="utf-8")


def test_streamlit_knows_every_setting():
    from streamlit import config

    known = config.get_config_options()

    def names(table: dict, prefix: str) -> list[str]:
        found = []
        for key, value in table.items():
            found += names(value, f"{prefix}{key}.") if isinstance(value, dict) else [f"{prefix}{key}"]
        return found

    unknown = [name for name in names(SETTINGS, "") if name not in known]
    assert unknown == []


@pytest.mark.parametrize("name", ["light", "dark"])
def test_the_theme_is_legible(name):
    theme = SETTINGS["theme"][name]
    for ground in (theme["backgroundColor"], theme["secondaryBackgroundColor"]):
        assert contrast(theme["textColor"], ground) >= 7, "WCAG AAA for text"
        assert contrast(theme["linkColor"], ground) >= 4.5, "WCAG AA for text"
        assert contrast(theme["primaryColor"], ground) >= 3, "WCAG AA for controls"
    assert contrast(theme["primaryColor"], "#FFFFFF") >= 4.5, "a primary button's label is white"


@pytest.mark.parametrize(
    ("lock", "requirements"),
    [
        ("requirements.lock", PROJECT["dependencies"]),
        ("requirements-test.lock", PROJECT["dependencies"] + PROJECT["optional-dependencies"]["test"]),
        (
            "requirements-bench.lock",
            [need for extra in ("test", "bench", "peers") for need in PROJECT["optional-dependencies"][extra]],
        ),
    ],
)
def test_a_lock_pins_every_dependency_within_its_range(lock, requirements):
    pinned = pins(lock)
    for requirement in map(Requirement, requirements):
        version = pinned.get(canonicalize_name(requirement.name))
        assert version is not None, f"{lock} does not pin {requirement.name}: run `make lock`"
        assert version in requirement.specifier, f"{lock}: {version} is not in {requirement}"


def test_the_environment_runs_the_pinned_versions():
    """Fails in an environment made by other means than the lock files, whose results would then mean little."""
    from importlib.metadata import PackageNotFoundError, version

    def installed(name: str) -> str | None:
        try:
            return Version(version(name)).public
        except PackageNotFoundError:
            return None

    pinned = {name: str(pinned) for name, pinned in pins("requirements.lock").items()}
    assert {name: installed(name) for name in pinned} == pinned
