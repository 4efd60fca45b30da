"""Sounds longer than a window, of both kinds: exact lengths, targets in their place, flat memory, no seam."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn.functional import normalize

import echoframe.generators as generators
import echoframe.media.phase as phase
from echoframe.bundles.bundle import EMBEDDED
from echoframe.generators import LatentGenerator, load_generator
from echoframe.generators.audioldm import AudioLdmGenerator, GeneratorConfig
from echoframe.generators.long_vocoder import vocoded, vocoder_length, vocoder_reach
from echoframe.generators.mel_flow import MelFlowConfig, MelFlowGenerator
from echoframe.generators.texture import Texture, TextureConfig
from echoframe.media.audio import log_mel
from echoframe.options import SampleOptions
from echoframe.pretrained import load_part
from echoframe.spec import MINI_MEL
from echoframe.timing.cues import Cues, Onset
from echoframe.weights import read_json
from tiny_audioldm import write_tiny_textless_audioldm
from tiny_mel_flow import tiny_codec, tiny_denoiser

DIM = 32
FAST = SampleOptions(steps=2, guidance=2.0, scheduler="euler")
ONE_STEP = SampleOptions(steps=1, guidance=1.0, scheduler="euler")


def targets(*shape: int, seed: int = 0) -> Tensor:
    return normalize(torch.randn(*shape, DIM, generator=torch.Generator().manual_seed(seed)), dim=-1)


def make_mel_flow(*, max_duration_s: float = 1.28) -> MelFlowGenerator:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        texture = Texture(TextureConfig(width=12, depth=1))
        torch.nn.init.normal_(texture.proj_out.weight, std=0.1)
    config = MelFlowConfig(min_duration_s=0.32, max_duration_s=max_duration_s, phase_iterations=2)
    return MelFlowGenerator(tiny_denoiser(dim=DIM, channels=32), tiny_codec(), texture=texture, config=config)


def make_audioldm(path: Path, *, max_duration_s: float = 1.28) -> AudioLdmGenerator:
    from diffusers import AutoencoderKL, UNet2DConditionModel
    from transformers import SpeechT5HifiGan

    return AudioLdmGenerator(
        load_part(UNet2DConditionModel, path / "unet"),
        load_part(AutoencoderKL, path / "vae"),
        vocoder=load_part(SpeechT5HifiGan, path / "vocoder"),
        scheduler_config=read_json(path / "scheduler" / "scheduler_config.json"),
        config=GeneratorConfig(unconditional="zeros", max_duration_s=max_duration_s),
    )


@pytest.fixture(scope="module")
def kinds(tmp_path_factory: pytest.TempPathFactory) -> dict[str, LatentGenerator]:
    path = write_tiny_textless_audioldm(tmp_path_factory.mktemp("long"), dim=DIM)
    return {"mel_flow": make_mel_flow(), "audioldm": make_audioldm(path)}


@pytest.fixture(params=["mel_flow", "audioldm"])
def generator(request: pytest.FixtureRequest, kinds: dict[str, LatentGenerator]) -> LatentGenerator:
    return kinds[request.param]


def network_of(generator: LatentGenerator) -> Any:
    return generator.unet if isinstance(generator, AudioLdmGenerator) else generator.denoiser  # type: ignore[attr-defined]


@pytest.mark.parametrize("duration_s", [0.5, 1.28, 1.2801, 1.45, 3.33333, 20.0, 60.0])
def test_sounds_of_any_length_are_exact_to_the_sample(generator, duration_s):
    sound = generator.generate(targets(1), duration_s=duration_s, seeds=[0], options=ONE_STEP)
    assert sound.shape == (1, round(duration_s * 16_000))
    assert sound.isfinite().all()
    assert sound.abs().max() <= 1
    assert sound[0, -800:].std() > 1e-4


def test_windows_cover_the_sound_and_a_short_one_is_one_window(generator):
    assert generator.windows_s(1.0) == [(0.0, 1.0)]
    windows = generator.windows_s(10.0)
    assert windows[0][0] == 0
    assert windows[-1][1] == 10
    assert all(stop - start <= 1.28 + 1e-9 for start, stop in windows)
    assert all(stop - start >= 0.1 for (_, stop), (start, _) in zip(windows[:-1], windows[1:], strict=True))


def test_numbers_do_not_depend_on_how_many_windows_are_computed_at_once(generator, monkeypatch):
    asked = {"duration_s": 4.0, "seeds": [5, 6], "options": FAST}
    found = []
    for n_at_once in (8, 3, 1):
        monkeypatch.setattr(generators, "_BATCH", n_at_once)
        found.append(generator.generate(targets(2), **asked))
    torch.testing.assert_close(found[1], found[0], atol=1e-4, rtol=0)
    torch.testing.assert_close(found[2], found[0], atol=1e-4, rtol=0)
    assert not torch.allclose(found[0][0], found[0][1], atol=0.01)
    alone = generator.generate(targets(2)[1:], duration_s=4.0, seeds=[6], options=FAST)
    torch.testing.assert_close(alone[0], found[0][1], atol=1e-4, rtol=0)


def test_one_target_is_that_target_for_every_window(generator):
    asked = {"duration_s": 4.0, "seeds": [5], "options": FAST}
    each = targets(1)[:, None].expand(-1, len(generator.windows_s(4.0)), -1)
    assert torch.equal(
        generator.sample_latents(targets(1), **asked), generator.sample_latents(each.contiguous(), **asked)
    )


def test_a_windows_target_is_heeded_where_it_lies(generator):
    windows = generator.windows_s(5.0)
    assert len(windows) >= 4
    target = targets(1, len(windows))
    changed = target.clone()
    changed[:, 2] = targets(1, seed=9)
    one, other = (
        generator.sample_latents(each, duration_s=5.0, seeds=[1], options=ONE_STEP).movedim(generator.time_dim, 0)
        for each in (target, changed)
    )
    apart = (one - other).abs().flatten(1).amax(dim=1)
    first, last = (round(s * generator.sample_rate / generator.step) for s in windows[2])
    assert apart[first:last].min() > 0
    assert apart[:first].max() == 0
    assert apart[last:].max() == 0


def test_a_steps_work_is_linear_in_windows(generator, monkeypatch):
    rows: list[int] = []
    network = network_of(generator)
    forward = network.forward

    def count(sample: Tensor, *args: Any, **kwargs: Any) -> Any:
        rows.append(len(sample))
        return forward(sample, *args, **kwargs)

    monkeypatch.setattr(network, "forward", count)
    for duration_s in (1.0, 4.0, 16.0):
        rows.clear()
        generator.sample_latents(targets(2), duration_s=duration_s, seeds=[0, 1], options=FAST)
        assert sum(rows) == 2 * 2 * 2 * len(generator.windows_s(duration_s))  # steps, items, guidance
        assert max(rows) <= 16
    assert len(generator.windows_s(16.0)) <= 5 * len(generator.windows_s(4.0))


def test_progress_counts_steps_not_windows(generator):
    seen: list[tuple[int, int]] = []
    generator.sample_latents(
        targets(1), duration_s=5.0, seeds=[0], options=FAST, progress=lambda done, total, _: seen.append((done, total))
    )
    assert seen == [(1, 2), (2, 2)]


def test_decoding_takes_no_more_at_once_for_a_longer_sound(generator, monkeypatch):
    most: dict[str, int] = {}

    def watch(owner: Any, name: str, size: Any) -> None:
        function = getattr(owner, name)

        def watched(*args: Any, **kwargs: Any) -> Any:
            most[name] = max(most.get(name, 0), size(*args))
            return function(*args, **kwargs)

        monkeypatch.setattr(owner, name, watched)

    if isinstance(generator, AudioLdmGenerator):
        watch(generator.vae, "decode", lambda latents: latents.shape[2])
        watch(generator.vocoder, "forward", lambda mel: mel.shape[1])
    else:
        watch(phase, "linear_magnitude", lambda mel, _: mel.shape[1])
        watch(generator.codec, "decode", lambda tokens: tokens.shape[1])  # type: ignore[attr-defined]
    found = []
    for duration_s in (5.0, 40.0):
        most.clear()
        latents = generator.sample_latents(targets(1), duration_s=duration_s, seeds=[0], options=ONE_STEP)
        pieces = [piece.shape[1] for piece in generator.decode_in_pieces(latents)]
        assert max(pieces) <= 1.28 * 16_000 + 32
        assert sum(pieces) >= duration_s * 16_000
        found.append(dict(most))
    assert found[0] == found[1]
    assert len(found[0]) == 2


def test_pieces_are_what_decode_gives_and_leave_gradients_as_they_were(generator):
    latents = generator.sample_latents(targets(2), duration_s=4.0, seeds=[0, 1], options=ONE_STEP)
    whole = generator.decode(latents, seeds=[3, 4])
    for n, seed in ((0, 3), (1, 4)):
        pieces = generator.decode_in_pieces(latents[n : n + 1], seed=seed)
        first = next(pieces)
        assert torch.is_grad_enabled()
        assert torch.equal(torch.cat([first, *pieces], dim=1), whole[n : n + 1])


def test_minis_samples_are_those_that_one_piece_would_give():
    latents = make_mel_flow().sample_latents(targets(1), duration_s=6.0, seeds=[0], options=FAST)
    found = [make_mel_flow(max_duration_s=s).decode(latents, seeds=[4]) for s in (0.48, 1.28, 10.24)]
    torch.testing.assert_close(found[0], found[2], atol=1e-4, rtol=0)
    torch.testing.assert_close(found[1], found[2], atol=1e-4, rtol=0)


def test_a_vocoders_samples_are_those_that_one_piece_would_give(kinds):
    vocoder = kinds["audioldm"].vocoder  # type: ignore[attr-defined]
    mel = torch.randn(1, 300, 64, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        whole = vocoder(mel)
        assert whole.shape == (1, vocoder_length(vocoder.config, 300))
        for longest in (40, 128):
            pieces = list(vocoded(vocoder, iter(mel[0].split(70)), 300, longest=longest))
            torch.testing.assert_close(torch.cat(pieces, dim=1), whole, atol=1e-5, rtol=0)
        # and no sample depends on frames further away than is said
        reach = vocoder_reach(vocoder.config)
        changed = mel.clone()
        changed[:, 150] += 1
        moved = ((vocoder(changed) - whole)[0].abs() > 1e-6).nonzero()[:, 0] / 160
        assert 150 - reach <= moved.min()
        assert moved.max() <= 151 + reach


def rank(flux: Tensor, places: list[int]) -> float:
    """How much of the spectral flux is less than the mean at these places, each over five frames."""
    smooth = flux.unfold(0, 5, 1).mean(dim=1)
    return float((smooth < smooth[[place - 2 for place in places]].mean()).float().mean())


def flux_of(sound: Tensor) -> Tensor:
    """How much the log-spectrum changes from one frame of 160 samples to the next."""
    spectrum = torch.stft(sound[0], 512, 160, window=torch.hann_window(512), return_complex=True).abs()
    return (spectrum + 1e-4).log().diff(dim=1).abs().mean(dim=0)


def test_audioldms_windows_of_a_steady_sound_are_decoded_to_one(kinds):
    generator = kinds["audioldm"]
    steady = torch.randn(1, 4, 1, 8, generator=torch.Generator().manual_seed(0)).expand(-1, -1, 256, -1)
    moving = 0.1 * torch.randn(1, 4, 256, 8, generator=torch.Generator().manual_seed(1))
    flux = flux_of(generator.decode(steady + moving))
    spans = generator._spans(256)
    ends = [8 * place for span in spans for place in span if 0 < place < 256]
    middles = [4 * (stop + start) for (_, stop), (start, _) in zip(spans[:-1], spans[1:], strict=True)]
    for places in (ends, middles, list(range(128, 2000, 128))):
        assert 0.05 < rank(flux, places) < 0.95
    # what a seam is: windows that are decoded alone and laid end to end
    parts = [generator.decode((steady + moving)[:, :, first : first + 16]) for first in range(0, 256, 16)]
    joined = flux_of(torch.cat([part[:, : 16 * generator.step] for part in parts], dim=1))
    assert rank(joined, list(range(128, 2000, 128))) > 0.95


LONG_S = 25.0


@pytest.fixture(scope="module")
def mini() -> LatentGenerator:
    return load_generator("mel_flow", EMBEDDED["mini"] / "generator", device="cpu", dtype=torch.float32)


@pytest.fixture(scope="module")
def wagon_and_siren(mini: LatentGenerator) -> tuple[Tensor, dict[str, Tensor], SampleOptions]:
    """Two targets, (2, D), of sounds that go on; 25 s of each alone, and of the first with the second in the last window."""
    assert mini.memory is not None
    labels = [entry.label for entry in mini.memory.entries]
    found = mini.memory.embeddings[[labels.index("railroad car, train wagon"), labels.index("fire truck siren")]]
    options = replace(mini.defaults, steps=6, variation=0.5)

    def make(places: list[int]) -> Tensor:
        return mini.generate(found[places][None], duration_s=LONG_S, seeds=[0], options=options)

    return found, {"wagon": make([0, 0, 0]), "siren": make([1, 1, 1]), "both": make([0, 0, 1])}, options


@pytest.mark.parametrize("name", ["wagon", "siren"])
def test_minis_steady_sounds_have_no_seam(mini, wagon_and_siren, name):
    target, sounds, options = wagon_and_siren
    flux, windows = flux_of(sounds[name]), mini.windows_s(LONG_S)
    assert sounds[name].shape == (1, 400_000)
    ends = [round(100 * s) for span in windows for s in span if 0 < s < LONG_S]
    middles = [round(50 * (stop + start)) for (_, stop), (start, _) in zip(windows[:-1], windows[1:], strict=True)]
    for places in (ends, middles, [1024, 2048]):
        assert 0.05 < rank(flux, places) < 0.95
    # what a seam is: sounds that were made one by one, laid end to end
    row = target[[0 if name == "wagon" else 1]].expand(5, -1)
    parts = mini.generate(row, duration_s=4.0, seeds=range(5), options=options)
    assert rank(flux_of(parts.reshape(1, -1)), [400, 800, 1200, 1600]) > 0.95


def test_mini_begins_every_window_with_its_own_recording(mini, wagon_and_siren):
    target, sounds, options = wagon_and_siren
    names = [each.label for each in mini.remembered(target[[0, 0, 1]], seed=0, options=options)]
    assert names == ["railroad car, train wagon", "fire truck siren"]
    spectra = {
        name: [log_mel(part, MINI_MEL)[0].mean(dim=0) for part in (sound[:, :224_000], sound[:, -112_000:])]
        for name, sound in sounds.items()
    }
    begins, ends = (
        {name: float((spectra["both"][part] - spectra[name][part]).abs().mean()) for name in ("wagon", "siren")}
        for part in (0, 1)
    )
    assert begins["wagon"] < 0.2 * begins["siren"]
    assert ends["siren"] < 0.2 * ends["wagon"]


def test_what_is_struck_in_a_later_window_is_heard_there(mini):
    assert mini.memory is not None
    labels = [entry.label for entry in mini.memory.entries]
    target = mini.memory.embeddings[[labels.index("dog barking")]]
    times_s = (3.0, 12.0, 16.5, 22.0)
    onsets = tuple(Onset(time_s=time_s, strength=1.0, confidence=1.0) for time_s in times_s)
    cues = Cues(onsets=onsets, times_s=np.zeros(0), activity=np.zeros(0))
    options = replace(mini.defaults, variation=0.0, sync=1.0)
    latents = mini.sample_latents(target, duration_s=LONG_S, seeds=[0], options=options, cues=[cues])
    level = mini.codec.decode(latents)[0].mean(dim=1)  # type: ignore[attr-defined]  # a frame is 10 ms
    for time_s in times_s:
        at = round(100 * time_s)
        assert level[at : at + 20].max() > level[at - 40 : at - 10].mean() + 20 / (MINI_MEL.scale * 8.686)
