"""What every shape of a model is checked for."""

from __future__ import annotations

from engine.errors import ConfigError


def check_counts(shape: object, *names: str) -> None:
    """Check numbers that count something.

    Args:
        shape: of a model.
        names: of its attributes.

    Raises:
        ConfigError: one is below 1; the message names it.
    """
    for name in names:
        if (count := getattr(shape, name)) < 1:
            raise ConfigError(f"{name} {count}: it must be at least 1.")
