"""The errors that a user can cause, under one base class: the command prints one line and exits with 2."""


class EchoFrameError(Exception):
    """A failure that the user can correct. The message names the file, what was found, what was expected and what to do."""


class InputError(EchoFrameError):
    """An argument or an input path cannot be used."""


class VideoError(EchoFrameError):
    """A video or a still image cannot be read or written."""


class AudioError(EchoFrameError):
    """A sound file cannot be read or written."""


class ConfigError(EchoFrameError):
    """A configuration has an unknown key or an impossible value."""


class BundleError(EchoFrameError):
    """A model is missing, incomplete or altered, or its parts do not fit together."""


class OutputError(EchoFrameError):
    """A result could not be written."""


class DeviceError(EchoFrameError):
    """A device or a number format is not there."""
