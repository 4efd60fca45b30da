"""Judges by name: aiSFX from the bundled model, and what is said of weights that are not here."""

import pytest
import torch

from echoframe.encoders import load_audio_encoder
from echoframe.errors import InputError
from echoframe.evaluation.judges import Judge
from echoframe.evaluation.judges.registry import JUDGES, load_judge
from echoframe.output import file_sha256
from second_opinions import bundled


@pytest.fixture(scope="module")
def judge():
    if bundled("audio_encoder") is None:
        pytest.skip("the bundle mini is not here")
    return load_judge("aisfx", device="cpu")


def test_aisfx_hears_what_the_encoder_of_mini_hears(judge):
    folder = bundled("audio_encoder")
    assert folder is not None
    assert isinstance(judge, Judge)
    assert judge.sha256 == file_sha256(folder / "model.safetensors")
    sounds = torch.rand((2, 3 * judge.sample_rate), generator=torch.Generator().manual_seed(0)) - 0.5
    heard = judge(sounds)
    assert heard.embeddings.shape == (2, 1, judge.dim)
    assert heard.logits is None
    mean = torch.nn.functional.normalize(heard.embeddings.mean(1), dim=1)
    torch.testing.assert_close(mean, load_audio_encoder(folder)(sounds, judge.sample_rate))
    torch.testing.assert_close(judge(sounds[:1]).embeddings, heard.embeddings[:1], rtol=1e-4, atol=1e-5)
    assert torch.equal(judge(sounds).embeddings, heard.embeddings)


def test_judges_that_cannot_be_had_are_named(tmp_path):
    with pytest.raises(
        InputError, match='"ear": no such judge; the judges are aisfx, vggish, panns-16k, passt, melception, clap'
    ):
        load_judge("ear")
    for name, (source, _) in JUDGES.items():
        if source:
            with pytest.raises(
                InputError, match=f"{name}: its weights are not part of EchoFrame .*--weights {name}=FILE"
            ):
                load_judge(name)
