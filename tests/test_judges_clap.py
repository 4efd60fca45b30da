"""CLAP as a judge: what its encoders say, from a folder as on the hub."""

import pytest
import torch

from echoframe.encoders.clap import ClapAudioEncoder, ClapTextEncoder
from echoframe.errors import AudioError, BundleError
from echoframe.evaluation.judges import Judge, ReadingJudge
from echoframe.evaluation.judges.registry import load_judge
from echoframe.output import file_sha256
from tiny_models import write_tiny_clap


def test_it_hears_and_reads_as_its_encoders_do(tmp_path):
    folder = write_tiny_clap(tmp_path / "clap")
    judge = load_judge("clap", weights=folder, device="cpu")
    assert isinstance(judge, Judge)
    assert isinstance(judge, ReadingJudge)
    assert (judge.sample_rate, judge.dim, judge.classes) == (48_000, 32, 0)
    assert judge.sha256 == file_sha256(folder / "model.safetensors")
    sounds = 0.1 * torch.randn((2, 100_000), generator=torch.Generator().manual_seed(0))
    heard = judge(sounds)
    assert heard.embeddings.shape == (2, 1, 32)
    assert heard.logits is None
    torch.testing.assert_close(heard.embeddings[:, 0], ClapAudioEncoder.from_directory(folder)(sounds, 48_000))
    texts = ["dog barking", "rain"]
    torch.testing.assert_close(judge.read(texts), ClapTextEncoder.from_directory(folder)(texts))
    with pytest.raises(AudioError, match="NaN or infinite samples"):
        judge(torch.full((1, 100), torch.nan))


def test_a_folder_that_is_no_clap_is_named(tmp_path):
    with pytest.raises(
        BundleError, match="nowhere: no such folder; expected the folder of a CLAP model; echoframe models pull"
    ):
        load_judge("clap", weights=tmp_path / "nowhere")
    with pytest.raises(BundleError, match="lacks config.json"):
        load_judge("clap", weights=tmp_path)
