"""What a flow remembers: chosen by target and seed, laid out, noised to a level, named in the record."""

import json
from dataclasses import replace

import pytest
import torch
from torch.nn.functional import normalize

from echoframe.errors import BundleError, ConfigError, InputError
from echoframe.generators.events import Struck
from echoframe.generators.mel_flow import MelFlowGenerator
from echoframe.generators.memory import Labeller, Memory, MemoryConfig, Remembered, load_memory, save_memory
from echoframe.options import SampleOptions
from tiny_mel_flow import tiny_codec, write_tiny_mel_flow

DIM = 6


LABELLER = Labeller(  # the last axis is the sign of the third label, whatever lies nearer
    names=("label 0", "label 1", "label 2"),
    weight=torch.tensor([[0.0] * 6, [0.0] * 6, [0.0] * 5 + [20.0]]),
    bias=torch.zeros(3),
)


def tiny_memory(temperature: float = 0.0, labeller: Labeller | None = None) -> Memory:
    """Three recordings of one level each, whose embeddings are the first three axes."""
    codec = tiny_codec()
    lengths = [12, 5, 20]
    mels = [
        torch.full((1, n * codec.config.frames, codec.config.n_mels), level)
        for n, level in zip(lengths, (-1.0, 0.0, 1.0), strict=True)
    ]
    return Memory(
        MemoryConfig(temperature=temperature, per_db=0.05, space="tiny"),
        entries=[
            Remembered(sound=f"{n}.ogg", label=f"label {n}", source="a free game", licence="GPL-2.0-or-later")
            for n in range(3)
        ],
        embeddings=torch.eye(DIM)[:3],
        tokens=torch.cat([codec.encode(mel)[0] for mel in mels]),
        starts=torch.tensor([0, 12, 17, 37]),
        steady=torch.tensor([True, False, True]),
        codec=codec,
        labeller=labeller,
    )


@pytest.fixture
def generator(tmp_path) -> MelFlowGenerator:
    folder = write_tiny_mel_flow(tmp_path / "generator", dim=DIM)
    save_memory(tiny_memory(), folder / "memory")
    return MelFlowGenerator.from_directory(folder, device="cpu", dtype=torch.float32)


def options(variation: float) -> SampleOptions:
    return SampleOptions(steps=4, guidance=1.5, scheduler="euler", variation=variation)


def test_the_nearest_recording_is_taken_and_the_seed_chooses_where_it_may():
    target = normalize(torch.tensor([1.0, 0.9, 0.1, 0, 0, 0]), dim=0)
    assert {tiny_memory().choose(target, seed) for seed in range(20)} == {0}
    assert {tiny_memory(temperature=0.05).choose(target, seed) for seed in range(40)} == {0, 1}


def test_a_label_that_the_target_has_weighs_more_than_a_near_embedding():
    target = normalize(torch.tensor([1.0, 0, 0.6, 0, 0, 1.0]), dim=0)
    assert tiny_memory().choose(target, 0) == 0
    assert tiny_memory(labeller=LABELLER).choose(target, 0) == 2
    said = LABELLER.log_probabilities(target)
    assert said.exp().sum() == pytest.approx(1.0)
    assert said.argmax() == 2


def test_other_sounds_fit_that_share_the_targets_label(generator):
    target = normalize(torch.tensor([0.0, 0.0, 0.0, 1.0, 0.0, 1.0]), dim=0)
    sounds = normalize(torch.tensor([[0.0, 0.0, 0.0, 1.0, 0.0, 0.0], [0.0, 0.0, 0.8, 0.0, 0.0, 0.9]]), dim=1)
    by_cosine, by_label = (tiny_memory(labeller=each).fit(target, sounds) for each in (None, LABELLER))
    assert torch.equal(by_cosine, sounds @ target)
    assert by_cosine[0] > by_cosine[1]
    assert by_label[1] > by_label[0]
    assert torch.equal(generator.fit(target, sounds), generator.memory.fit(target, sounds))
    forgetful = MelFlowGenerator(generator.denoiser, generator.codec, config=generator.config)
    assert torch.equal(forgetful.fit(target, sounds), by_cosine)


def test_variation_0_is_the_recording_and_1_forgets_it(generator):
    target = torch.eye(DIM)[[2, 0]]
    kept = generator.sample_latents(target, duration_s=1.0, seeds=[3, 3], options=options(0.0))
    levels = generator.codec.decode(kept).mean(dim=(1, 2))
    heard = [generator.codec.decode(generator.memory.tokens[None, a:b]).mean() for a, b in ((17, 37), (0, 12))]
    torch.testing.assert_close(levels, torch.stack(heard), atol=0.05, rtol=0)
    free = generator.sample_latents(target, duration_s=1.0, seeds=[3, 3], options=options(1.0))
    generator.memory = None
    assert torch.equal(free, generator.sample_latents(target, duration_s=1.0, seeds=[3, 3], options=options(1.0)))


def test_between_them_more_variation_leads_further_from_the_recording(generator):
    target = torch.eye(DIM)[[2]]
    kept, *others = (
        generator.sample_latents(target, duration_s=1.0, seeds=[3], options=options(v)) for v in (0.0, 0.25, 0.5, 1.0)
    )
    distances = [float((other - kept).square().mean()) for other in others]
    assert distances == sorted(distances)
    assert distances[0] > 0


def test_the_same_seed_gives_the_same_scene_whatever_the_batch(generator):
    target = torch.eye(DIM)[[0, 1, 2]]
    together = generator.generate(target, duration_s=1.0, seeds=[1, 2, 3], options=options(0.5))
    for n in range(3):
        alone = generator.generate(target[[n]], duration_s=1.0, seeds=[n + 1], options=options(0.5))
        torch.testing.assert_close(alone[0], together[n], atol=1e-4, rtol=0)


def test_what_was_remembered_is_named(generator):
    found = generator.remembered(torch.eye(DIM)[1], seed=0, options=options(0.4))
    assert found == (replace(tiny_memory().entries[1], cosine=1.0),)
    assert generator.remembered(torch.eye(DIM)[1], seed=0, options=options(1.0)) == ()
    several = generator.remembered(torch.eye(DIM)[[2, 2, 0, 2]], seed=0, options=options(0.4))
    assert [each.sound for each in several] == ["2.ogg", "0.ogg"]


def knocking_memory(*, steady: bool = False) -> Memory:
    """Two recordings with one label, of a high and of a low thing that knocks, and one with another label."""
    codec, memory = tiny_codec(components=128), tiny_memory()
    size = codec.config.frames
    mels = torch.full((3, 30 * size, codec.config.n_mels), -1.0)
    for recording, at, bands in ((0, (4, 20), slice(40, 64)), (1, (8,), slice(0, 20)), (2, (6,), slice(None))):
        for token in at:
            mels[recording, token * size : (token + 2) * size, bands] = 1.0
    return Memory(
        memory.config,
        entries=[replace(entry, label=label) for entry, label in zip(memory.entries, "aab", strict=True)],
        embeddings=memory.embeddings,
        tokens=codec.encode(mels).flatten(0, 1),
        starts=torch.tensor([0, 30, 60, 90]),
        steady=torch.tensor([steady, False, False]),
        codec=codec,
    )


def rises(memory: Memory, tokens: torch.Tensor) -> list[int]:
    """The frames from which on it is much louder than before."""
    course = memory._codec.decode(tokens[None])[0].amax(dim=1)
    return [n for n in range(2, len(course)) if course[n] > 0 and course[n - 2 : n].max() < 0]


def test_what_is_struck_begins_a_recording_there_and_nowhere_else():
    memory = knocking_memory()
    struck = [Struck(frame) for frame in (32, 160, 400)]
    for seed in range(4):
        scene = memory.scene(torch.eye(DIM)[0], seed, 40, struck)
        assert scene.shape == (40, memory.tokens.shape[1])
        found = rises(memory, scene)
        assert len(found) == 3
        assert found == pytest.approx([32, 160, 400], abs=3)
        assert torch.equal(scene, memory.scene(torch.eye(DIM)[0], seed, 40, struck))


def test_recordings_of_the_same_label_help_out_and_others_do_not():
    memory = knocking_memory()
    struck = [Struck(frame) for frame in range(16, 1600, 80)]
    scene = memory._codec.decode(memory.scene(torch.eye(DIM)[0], 1, 101, struck)[None])[0]
    heard = torch.stack([scene[each.frame + 2 : each.frame + 20].amax(dim=0) for each in struck]) > 0  # (N, mels)
    high, low, middle = heard[:, 45:60].all(dim=1), heard[:, 3:15].all(dim=1), heard[:, 25:35].all(dim=1)
    assert high.any()
    assert low.any()
    assert not middle.any()


def test_a_steady_recording_is_laid_out_as_if_nothing_were_struck():
    memory = knocking_memory(steady=True)
    target, struck = torch.eye(DIM)[0], [Struck(50)]
    assert torch.equal(memory.scene(target, 3, 40, struck), memory.scene(target, 3, 40))
    other = torch.eye(DIM)[1]
    assert not torch.equal(memory.scene(other, 3, 40, struck), memory.scene(other, 3, 40))


def test_a_short_sound_is_the_loudest_stretch(generator):
    generator.config = replace(generator.config, cut_loudest=True, min_duration_s=3.2)
    codec = generator.codec
    quiet = torch.full((1, 20 * codec.config.frames, codec.config.n_mels), -1.0)
    quiet[:, 8 * codec.config.frames : 11 * codec.config.frames] = 1.0
    cut = generator._cut(codec.encode(quiet), duration_s=3 * codec.config.frames * 0.01, timed=[False])
    assert cut.shape[1] == 3
    assert torch.equal(cut, codec.encode(quiet)[:, 8:11])


def test_a_memory_comes_back_within_a_bytes_rounding(tmp_path):
    memory = tiny_memory(temperature=0.1, labeller=LABELLER)
    save_memory(memory, tmp_path / "memory")
    loaded = load_memory(tmp_path / "memory", tiny_codec())
    assert loaded.config == memory.config
    assert loaded.entries == memory.entries
    step = memory.tokens.abs().amax(dim=0) / 127
    assert ((loaded.tokens - memory.tokens).abs() <= 0.51 * step + 1e-6).all()
    assert torch.equal(loaded.starts, memory.starts)
    assert torch.equal(loaded.steady, memory.steady)
    assert loaded.labeller is not None
    assert loaded.labeller.names == LABELLER.names
    assert torch.equal(loaded.labeller.weight, LABELLER.weight)
    save_memory(tiny_memory(), tmp_path / "without")
    assert load_memory(tmp_path / "without", tiny_codec()).labeller is None


def test_damaged_memories_are_refused(tmp_path, generator):
    with pytest.raises(
        ConfigError, match="memory: temperature -1.0, label_weight 0.2, per_db 1.0; expected the first two"
    ):
        MemoryConfig(temperature=-1.0)
    memory, codec = tiny_memory(), tiny_codec()
    with pytest.raises(BundleError, match="3 sounds, 2 embeddings, 4 starts and 37 tokens do not belong together"):
        Memory(
            memory.config,
            entries=memory.entries,
            embeddings=memory.embeddings[:2],
            tokens=memory.tokens,
            starts=memory.starts,
            steady=memory.steady,
            codec=codec,
        )
    with pytest.raises(BundleError, match='memory: its labeller does not know "label 0"; fetch the model again'):
        tiny_memory(labeller=replace(LABELLER, names=("other", "label 1", "label 2")))
    folder = tmp_path / "memory"
    save_memory(tiny_memory(labeller=LABELLER), folder)
    listed = json.loads((folder / "sounds.json").read_text())
    (folder / "sounds.json").write_text(json.dumps(listed | {"labels": ["label 0"]}))
    with pytest.raises(
        BundleError, match=r"labels of shape \(3, 6\) and \(3,\) for 1 names and embeddings of 6 numbers"
    ):
        load_memory(folder, codec)
    save_memory(memory, folder)
    with pytest.raises(BundleError, match="remembers tokens of 32 numbers, the codec has 40; take both from"):
        load_memory(folder, tiny_codec(components=5))
    (folder / "sounds.json").write_text(
        json.dumps({"sounds": [{"sound": "a", "label": "b", "source": "c", "licence": "d", "colour": "red"}]})
    )
    with pytest.raises(BundleError, match=r"sounds\.json: .*colour.*; fetch the model again"):
        load_memory(folder, codec)
    (folder / "sounds.json").write_text("{}")
    with pytest.raises(BundleError, match="no list of sounds; fetch the model again"):
        load_memory(folder, codec)
    other = write_tiny_mel_flow(tmp_path / "other", dim=DIM + 1)
    save_memory(memory, other / "memory")
    with pytest.raises(BundleError, match="remembers embeddings of 6 numbers, the denoiser takes 7; take both"):
        MelFlowGenerator.from_directory(other, device="cpu", dtype=torch.float32)


def test_variation_needs_a_memory(generator):
    generator.memory = None
    with pytest.raises(InputError, match="variation 0.5: this generator remembers no recordings; leave it out"):
        generator.generate(torch.eye(DIM)[[0]], duration_s=1.0, seeds=[0], options=options(0.5))
    with pytest.raises(InputError, match="variation 1.5: expected a number from 0 to 1"):
        options(1.5)
