"""Everything a user can cause, under one base class: the command line prints one line and exits 2."""


class EchoFrameError(Exception):
    """A failure the user can mend. The message names the file, what was found, what was expected and what to do."""


class InputError(EchoFrameError):
    """An argument or an input path that cannot be used."""


class VideoError(EchoFrameError):
    """A video or picture that cannot be read or written."""


class AudioError(EchoFrameError):
    """A sound file that cannot be read or written."""


class ConfigError(EchoFrameError):
    """A configuration with an unknown key or an impossible value."""


class BundleError(EchoFrameError):
    """A model bundle that is missing, incomplete, altered or does not fit together."""


class OutputError(EchoFrameError):
    """A result that could not be written."""


class DeviceError(EchoFrameError):
    """A device or number format that is not there."""
