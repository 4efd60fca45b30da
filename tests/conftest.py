"""Shape annotations of the seams are checked while the tests run, and only then."""

from jaxtyping import install_import_hook

_hook = install_import_hook("echoframe", "beartype.beartype")
