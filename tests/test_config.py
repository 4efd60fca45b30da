"""TOML to frozen dataclass: only differences in the file, and no key that nobody knows."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import pytest

from echoframe.config import from_dict, load_toml
from echoframe.errors import ConfigError


@dataclass(frozen=True, kw_only=True, slots=True)
class Inner:
    rate: float = 0.5
    sizes: tuple[int, ...] = (1, 2)


@dataclass(frozen=True, kw_only=True, slots=True)
class Outer:
    name: str = "default"
    inner: Inner = field(default_factory=Inner)


@dataclass(frozen=True, kw_only=True, slots=True)
class Needy:
    size: int


def write(path: Path, text: str) -> Path:
    path.write_text(text, encoding="utf-8")
    return path


def test_a_file_lists_only_differences(tmp_path):
    path = write(tmp_path / "run.toml", 'name = "mine"\n[inner]\nsizes = [3]\n')
    assert load_toml(Outer, path) == Outer(name="mine", inner=Inner(rate=0.5, sizes=(3,)))


def test_unknown_keys_list_the_known(tmp_path):
    path = write(tmp_path / "run.toml", "[inner]\nrte = 1.0\n")
    with pytest.raises(ConfigError, match=r"run.toml \[inner\]: unknown key rte; known keys are rate, sizes"):
        load_toml(Outer, path)


def test_missing_file(tmp_path):
    with pytest.raises(ConfigError, match=r"none.toml: cannot be read \(No such file or directory\)"):
        load_toml(Outer, tmp_path / "none.toml")


def test_not_toml(tmp_path):
    with pytest.raises(ConfigError, match="run.toml: not valid TOML"):
        load_toml(Outer, write(tmp_path / "run.toml", "name = = 3"))


def test_a_key_that_has_no_default_is_asked_for():
    with pytest.raises(ConfigError, match="here: has no size; add it, there is no default"):
        from_dict(Needy, {}, name="here")


@dataclass(frozen=True, kw_only=True, slots=True)
class Typed:
    count: int = 1
    share: float = 0.5
    on: bool = False
    kind: Literal["a", "b"] = "a"
    folders: tuple[str, ...] = ()
    ends: tuple[float, float] = (0.0, 1.0)
    inner: Inner | None = None
    anything: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.count > 9:
            raise ConfigError(f"count {self.count}; expected 9 at most")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("count = 1.5", "run.toml: count is 1.5; expected a whole number"),
        ("count = true", "run.toml: count is True; expected a whole number"),
        ("count = 10", "run.toml: count 10; expected 9 at most"),
        ('share = "a"', 'run.toml: share is "a"; expected a finite number'),
        ("share = nan", "run.toml: share is nan; expected a finite number"),
        ("on = 1", "run.toml: on is 1; expected true or false"),
        ('kind = "c"', 'run.toml: kind is "c"; expected one of a, b'),
        ('folders = "data"', 'run.toml: folders is "data"; expected a list'),
        ("folders = [1]", "run.toml: folders is 1; expected a text"),
        ("ends = [0.5]", r"run.toml: ends is \[0.5\]; expected a list of 2"),
        ("inner = 3", "run.toml: inner is 3; expected a table or none"),
        ("anything = 3", "run.toml: anything is 3; expected a table"),
        ("[inner]\nrate = true", r"run.toml \[inner\]: rate is True; expected a finite number"),
    ],
)
def test_values_of_other_types_are_refused(tmp_path, text, words):
    with pytest.raises(ConfigError, match=words):
        load_toml(Typed, write(tmp_path / "run.toml", text))


def test_values_of_the_type_are_taken(tmp_path):
    text = 'share = 1\nends = [0, 0.5]\nfolders = ["a", "b"]\n[inner]\n[anything]\nx = [1]'
    found = load_toml(Typed, write(tmp_path / "run.toml", text))
    assert found == Typed(share=1, ends=(0, 0.5), folders=("a", "b"), inner=Inner(), anything={"x": [1]})


def test_what_is_no_table_is_refused():
    with pytest.raises(ConfigError, match="here: 3; expected a table with some of rate, sizes"):
        from_dict(Inner, 3, name="here")  # type: ignore[arg-type]
