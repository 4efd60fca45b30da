"""What all tests share: shape annotations are checked while they run, and only then; the recipe's programs are importable."""

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from jaxtyping import install_import_hook

# an int where a float is declared is right by PEP 484, and is here
_hook = install_import_hook("echoframe", "beartype.beartype(conf=beartype.BeartypeConf(is_pep484_tower=True))")

RECIPE = Path(__file__).parents[1] / "recipes" / "mini"


@pytest.fixture
def recipe(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The recipe's folder. Its programs can be imported in the test, and are forgotten after it."""
    before = set(sys.modules)
    monkeypatch.syspath_prepend(str(RECIPE))
    yield RECIPE
    for name in set(sys.modules) - before:
        if str(RECIPE) in str(getattr(sys.modules[name], "__file__", "")):
            del sys.modules[name]


@pytest.fixture(scope="module")
def heads_of_eight_channels() -> Iterator[None]:
    """The tiny UNet's config, 32 channels that diffusers divides into 8 heads, is one of the published: 4 heads."""
    from echoframe.generators.attention_heads import HEAD_WIDTHS

    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(HEAD_WIDTHS, (16, 32), 8)
        yield
