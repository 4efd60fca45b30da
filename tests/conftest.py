"""Shape annotations of the seams are checked while the tests run, and only then."""

from jaxtyping import install_import_hook

# an int where a float is declared is right by PEP 484, and is here
_hook = install_import_hook("echoframe", "beartype.beartype(conf=beartype.BeartypeConf(is_pep484_tower=True))")
