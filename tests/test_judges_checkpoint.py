"""Published weights of judges: read without running what is in them, and named where they are not what they should be."""

import io
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from echoframe.errors import BundleError
from echoframe.evaluation.judges.checkpoint import Published, read_checkpoint
from echoframe.output import file_sha256
from echoframe.weights import write_weights

EAR = Published(what="Ear", file="ear.pth", url="https://ear.example/ear.pth", key="model")
BARE = replace(EAR, key="")
WEIGHTS = {"a": torch.arange(3.0), "b": torch.ones(2, 2)}


def test_weights_are_read_from_each_form(tmp_path):
    torch.save(
        {"model": WEIGHTS, "statistics": {"mAP": np.float64(0.4), "AP": np.ones(3), "epoch": 3}}, tmp_path / "dict.pth"
    )
    torch.save(WEIGHTS, tmp_path / "bare.pth")
    write_weights(tmp_path / "same.safetensors", WEIGHTS)
    for name, published in (("dict.pth", EAR), ("bare.pth", BARE), ("same.safetensors", EAR)):
        weights, digest = read_checkpoint(tmp_path / name, published)
        assert digest == file_sha256(tmp_path / name)
        assert weights.keys() == WEIGHTS.keys()
        assert all(torch.equal(weights[key], WEIGHTS[key]) for key in WEIGHTS)


def test_the_published_file_has_the_published_digest(tmp_path):
    path = tmp_path / "ear.pth"
    torch.save({"model": WEIGHTS}, path)
    right = file_sha256(path)
    read_checkpoint(path, replace(EAR, digest=right[:8]))
    for digest, words in (("0" * 64, f"its sha256 is {right[:8]}..., the published file's 00000000..."),
                          ("md5:" + "1" * 32, "its md5 is ")):  # fmt: skip
        with pytest.raises(BundleError, match=words):
            read_checkpoint(path, replace(EAR, digest=digest))
        path.rename(tmp_path / "mine.pth")
        read_checkpoint(tmp_path / "mine.pth", replace(EAR, digest=digest))  # somebody's own weights
        (tmp_path / "mine.pth").rename(path)


def test_files_that_are_no_weights_are_named(tmp_path):
    def refused(name: str, words: str, published: Published = EAR) -> None:
        with pytest.raises(BundleError, match=words):
            read_checkpoint(tmp_path / name, published)

    refused("absent.pth", r"absent.pth: no such file, expected Ear's weights; fetch https://ear")
    (tmp_path / "page.pth").write_text("<html>not found</html>")
    refused("page.pth", r"page.pth: not readable as Ear's weights \(it is no pickle of plain tensors\); fetch https://")
    torch.save({"model": Path("code")}, tmp_path / "code.pth")
    refused("code.pth", r"code.pth: not readable as Ear's weights \(it calls for pathlib\.\w+, which is no tensor\); f")
    torch.save({"state_dict": {}, "epoch": 1}, tmp_path / "other.pth")
    refused("other.pth", r'other.pth: holds no weights under "model" \(found state_dict, epoch\); expected ear.pth')
    torch.save(torch.zeros(3), tmp_path / "tensor.pth")
    refused("tensor.pth", r'holds no weights under "model" \(found Tensor\)')
    torch.save([1, 2], tmp_path / "list.pth")
    refused("list.pth", r"holds no weights \(found list\)", BARE)


def test_a_file_cut_off_anywhere_is_named(tmp_path):
    for new_format in (False, True):
        whole = io.BytesIO()
        torch.save({"model": WEIGHTS}, whole, _use_new_zipfile_serialization=new_format)
        for length in range(0, len(whole.getvalue()), 50):
            (tmp_path / "cut.pth").write_bytes(whole.getvalue()[:length])
            with pytest.raises(BundleError, match="cut.pth: not readable as Ear's weights"):
                read_checkpoint(tmp_path / "cut.pth", EAR)
