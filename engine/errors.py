"""One tree of errors. Every message says what happened and what to do next.

SaccadeError
├── InputError            what the user typed cannot be used as it is
│   ├── EmptyInput            nothing left after normalisation
│   ├── InputTooLong          over the model's limit, which the message states
│   └── UnknownCharacters     the tokenizer knows none of the characters
├── ModelError            a model cannot be given
│   ├── UnknownModel          no such name in the catalogue
│   ├── WeightsMissing        a file the catalogue names is not there
│   ├── WeightsDamaged        a file's checksum or content is not what the catalogue states
│   └── Unsupported           the model exists but cannot do this
├── DeviceError           the device asked for is absent or out of memory
└── ConfigError           a configuration file has unknown keys or impossible values
"""


class SaccadeError(Exception):
    """Base of every error meant for a user: `str(error)` is a complete sentence for the screen."""


class InputError(SaccadeError):
    """What the user typed cannot be used as it is."""


class EmptyInput(InputError):
    """Nothing is left of the text after normalisation."""


class InputTooLong(InputError):
    """The text has more tokens (or characters) than the model takes."""


class UnknownCharacters(InputError):
    """The tokenizer knows none of the characters of the text."""


class ModelError(SaccadeError):
    """A model cannot be given."""


class UnknownModel(ModelError):
    """The catalogue has no model of that name."""


class WeightsMissing(ModelError):
    """A file that belongs to a model is not where it should be."""


class WeightsDamaged(ModelError):
    """A file's checksum or content differs from what the catalogue or its header states."""


class Unsupported(ModelError):
    """The model exists, but its family cannot do what was asked."""


class DeviceError(SaccadeError):
    """The device asked for is absent, or it ran out of memory."""


class ConfigError(SaccadeError):
    """A configuration has unknown keys or impossible values."""
