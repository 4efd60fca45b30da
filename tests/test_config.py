"""TOML to frozen dataclass: only differences in the file, and no key that nobody knows."""

from dataclasses import dataclass, field
from pathlib import Path

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
    with pytest.raises(ConfigError, match="here: .*missing 1 required keyword-only argument: 'size'"):
        from_dict(Needy, {}, name="here")
