"""`echoframe evaluate pull`: published files fetched once, checked, kept whole or not at all, and then found."""

import io
import urllib.error
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from echoframe.apps.cli import main
from echoframe.errors import BundleError, InputError
from echoframe.evaluation.evaluate import EvaluateConfig, evaluate
from echoframe.evaluation.judges import fetch
from echoframe.evaluation.judges.fetch import find_weights, judges_folder, pull_judges
from echoframe.output import file_sha256


@pytest.fixture
def published(tmp_path, monkeypatch) -> Path:
    """A place that publishes two judges' files, and a cache of its own. A file: address is fetched as an https: one is."""
    there = tmp_path / "there"
    there.mkdir()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    for judge in ("vggish", "passt"):
        path = there / f"{judge}.pth"
        torch.save({"a": torch.ones(3)}, path)
        one = replace(fetch.PUBLISHED[judge], file=path.name, url=path.as_uri(), digest=file_sha256(path))
        monkeypatch.setitem(fetch.PUBLISHED, judge, one)
    return there


def kept() -> list[str]:
    return sorted(path.name for path in judges_folder().glob("*"))


def test_pull_fetches_a_protocols_judges_once(published, capsys):
    assert find_weights("passt") is None
    assert main(["evaluate", "pull", "seed"]) == 0
    assert kept() == ["passt.pth", "vggish.pth"]
    assert find_weights("passt") == judges_folder() / "passt.pth"
    assert file_sha256(judges_folder() / "passt.pth") == file_sha256(published / "passt.pth")
    assert "fetching file://" in capsys.readouterr().err
    for path in published.iterdir():
        path.unlink()
    assert main(["evaluate", "pull", "seed"]) == 0  # nothing is asked for twice
    assert "fetching" not in capsys.readouterr().err
    assert main(["evaluate", "pull", "echoframe"]) == 0
    assert "protocol echoframe needs no weights: nothing to fetch" in capsys.readouterr().out


def test_a_file_with_another_digest_is_not_kept(published):
    (published / "vggish.pth").write_bytes(b"<html>moved</html>")
    with pytest.raises(
        InputError, match=r"vggish.pth: its sha256 is \w+..., the published file's \w+...; it is not kept"
    ):
        pull_judges(("vggish", "passt"), tell=lambda _: None)
    assert kept() == ["passt.pth"]  # the other one was tried all the same
    (judges_folder() / "passt.pth").write_bytes(b"altered")
    with pytest.raises(InputError, match=r"passt.pth: its sha256 is .*; delete it, and pull it again"):
        pull_judges(("passt",), tell=lambda _: None)


def test_every_file_that_cannot_be_fetched_is_named(published):
    def no_network(url: str) -> io.BytesIO:
        raise urllib.error.URLError("no route")

    with pytest.raises(
        InputError, match=r"vggish.pth: cannot be fetched \(no route\); check the network.*; file.*passt"
    ):
        pull_judges(("aisfx", "vggish", "passt"), tell=lambda _: None, open_url=no_network)
    assert kept() == []


def test_all_missing_judges_are_named_at_once(published, tmp_path):
    for folder in ("real", "ours"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "a.wav").write_bytes(b"not looked at")
    config = EvaluateConfig(reference=tmp_path / "real", generated={"ours": tmp_path / "ours"}, protocol="seed")
    with pytest.raises(
        InputError, match="no judge is available: vggish: its .*; passt: .*echoframe evaluate pull seed"
    ):
        evaluate(config)
    wrong = {name: tmp_path / f"{name}.pth" for name in ("vggish", "passt")}
    for path in wrong.values():
        path.write_bytes(b"\x80\x02csome.module\nthing\n.")
    with pytest.raises(
        BundleError, match="vggish.pth: not readable as VGGish's weights .*; .*passt.pth: not"
    ) as caught:
        evaluate(replace(config, weights=wrong))
    for advice in ("weights_only", "trust", "add_safe_globals", "allowlist"):
        assert advice not in str(caught.value)


def test_words_that_are_no_command_are_refused(capsys):
    for words in (["pull"], ["fetch", "seed"], ["pull", "seed", "clap"]):
        with pytest.raises(SystemExit):
            main(["evaluate", *words])
        assert f"unexpected {' '.join(words)}; expected options alone, or pull and" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        main(["evaluate", "--reference", "real"])
    assert "the following arguments are required: --generated" in capsys.readouterr().err
    assert main(["evaluate", "pull", "sead"]) == 2
    assert '"sead" is not a protocol; expected one of' in capsys.readouterr().err
