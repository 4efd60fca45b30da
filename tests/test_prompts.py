"""Words, labels and examples through the whole cascade: what a generator is asked for, and what the record says of it."""

import json
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

from echoframe import read_provenance
from echoframe.apps import cli
from echoframe.errors import AudioError, InputError
from echoframe.jobs.orders import plan_list, read_wishes, share_of, together
from echoframe.loading import remake
from echoframe.mappers.label_prior import LabelPrior, LabelPriorConfig
from echoframe.media.frame_array import NoPicture
from echoframe.options import Request, RunOptions, SampleOptions, Spot, WriteOptions
from echoframe.options.spots import read_spots
from echoframe.sound.steered import steered
from fakes import DIM, RATE, calls_of, fake_model
from planted_video import write_video
from tiny_bundles import write_tiny_mini

HUM, WHISTLE = torch.eye(2, DIM)


@pytest.fixture(scope="module")
def film(tmp_path_factory) -> Path:
    return write_video(tmp_path_factory.mktemp("film") / "clip.mp4", n_frames=75)


@pytest.fixture(scope="module")
def example(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("example") / "tone.wav"
    soundfile.write(path, 0.5 * np.sin(2 * np.pi * 30 * np.arange(RATE) / RATE), RATE)
    return path


def target_of(**asked) -> torch.Tensor:
    model = fake_model()
    model.generate(asked.pop("source", None), duration_s=1.0, **asked)
    return calls_of(model)[0]["target"][0]


def test_a_prompt_alone_is_the_target_of_its_label():
    assert torch.allclose(target_of(prompt="a hum"), HUM)
    assert torch.allclose(target_of(prompt="hum, whistle"), (HUM + WHISTLE) / 2**0.5)


def test_a_prompt_pulls_what_the_picture_shows(film):
    near = [
        float(target_of(source=film, prompt="whistle", prompt_weight=weight) @ WHISTLE) for weight in (0, 0.3, 0.6, 1)
    ]
    assert near == sorted(near)
    assert near[0] < 0.99
    assert near[-1] == pytest.approx(1)
    assert torch.equal(target_of(source=film, prompt="whistle", prompt_weight=0.0), target_of(source=film))


def test_what_is_not_wanted_is_taken_out_and_steered_away_from(film):
    model = fake_model()
    model.generate(film, negative_prompt="hum")
    call = calls_of(model)[0]
    assert float(call["target"][0] @ HUM) <= 1e-6
    assert torch.allclose(call["negative"], HUM[None])


def test_labels_that_people_call_by_the_same_word_are_akin_to_what_is_not_wanted():
    names = ("playing oboe", "playing flute", "raining")
    mapper = LabelPrior(LabelPriorConfig(visual_dim=6, audio_dim=DIM, labels=names, n_classes=4))
    settings = Request(negative_prompt="oboe").settle(SampleOptions(), duration_s=1.0)
    asked = steered(settings, mapper, fake_model().generator, None).whole
    assert (asked.unwanted, asked.akin) == ({"playing oboe"}, {"playing flute"})


def test_a_model_with_a_text_encoder_takes_any_words(film):
    model = fake_model()
    place = torch.nn.functional.normalize(torch.tensor([0.0, 0.0, 1.0, 1.0]), dim=0)
    model.generator.texts = {"quantum flux": place, "speech": HUM}  # type: ignore[attr-defined]
    model.generate(film, prompt="quantum flux", prompt_weight=1.0, negative_prompt="speech")
    call = calls_of(model)[0]
    assert torch.allclose(call["target"][0], place)
    assert torch.equal(call["negative"], HUM[None])


def test_labels_are_turned_down(film):
    assert float(target_of(source=film, labels={"hum": 0.0}) @ HUM) <= 1e-6
    assert torch.allclose(target_of(source=film, labels={"hum": 1.0}), target_of(source=film))


def test_each_spot_has_its_own_words(film):
    model = fake_model()
    spots = (Spot(start_s=0.0, end_s=1.5, text="hum"), Spot(start_s=1.5, end_s=3.0, text="whistle"))
    sound = model.generate(film, prompts=spots, prompt_weight=1.0, whole=True)
    calls = calls_of(model)
    first, second = calls[0]["target"][0], calls[-1]["target"][0]
    assert torch.allclose(first, HUM)
    assert torch.allclose(second, WHISTLE)
    assert [shot["start_s"] for shot in sound.provenance.result.shots] == [0.0, 1.5]
    assert sound.provenance.settings.prompts == spots
    with pytest.raises(InputError, match="one begins at 9 s, after the end at 3 s"):
        model.generate(film, prompts=(Spot(start_s=9.0, end_s=12.0, text="hum"),))


def test_an_example_pulls_the_target_and_is_what_the_generator_begins_with(film, example):
    model = fake_model()
    sound = model.generate(film, like=example, variation=0.4, duration_s=1.0)
    (call,) = calls_of(model)
    assert model.audio_encoder is not None
    place = model.audio_encoder(call["example"], RATE)[0]
    plain = target_of(source=film)
    expected = torch.nn.functional.normalize(torch.lerp(plain, place, 0.8), dim=0)
    assert torch.allclose(call["target"][0], expected, atol=1e-5)
    assert sound.provenance.example is not None
    assert sound.provenance.example.path == str(example)


def test_only_the_beginning_of_an_example_is_heard(tmp_path):
    path = tmp_path / "long.wav"
    soundfile.write(path, np.full(40 * RATE, 0.1), RATE)
    model = fake_model()
    model.generate(None, like=path, duration_s=1.0)
    assert calls_of(model)[0]["example"].shape == (1, 30 * RATE)


def test_examples_that_cannot_be_used_are_told(tmp_path, film):
    path = tmp_path / "silence.wav"
    soundfile.write(path, np.zeros(RATE), RATE)
    with pytest.raises(AudioError, match="silence.wav: nothing can be heard in its first 30 s"):
        fake_model().generate(film, like=path)
    with pytest.raises(AudioError, match="no such file"):
        fake_model().generate(film, like=tmp_path / "none.wav")
    with pytest.raises(InputError, match="this bundle has no audio encoder to hear an example with"):
        fake_model(with_ears=False).generate(film, like=path)


def test_what_the_model_does_not_know_is_told_before_anything_is_made(film):
    model = fake_model()
    with pytest.raises(InputError, match='label "humm" is not one of the model.s; the nearest are "hum"'):
        model.generate(film, labels={"humm": 2.0})
    with pytest.raises(InputError, match="names no sound that is known"):
        model.generate(film, prompt="quantum flux")
    deaf = fake_model(with_ears=False)
    with pytest.raises(InputError, match='label "hum": this model has no labels; leave it out, or use a prompt'):
        deaf.generate(film, labels={"hum": 2.0})
    with pytest.raises(InputError, match="this model has neither a text encoder nor labels"):
        deaf.generate(film, prompt="hum")
    with pytest.raises(InputError, match="no picture and no prompt: give a video"):
        model.generate(None)
    assert calls_of(model) == calls_of(deaf) == []


def test_the_nth_candidate_is_the_nth_best(film):
    model = fake_model()
    kept = [model.generate(film, candidates=4, nth=nth, loudness_lufs=None) for nth in (1, 2, 3, 4)]
    scores = kept[0].provenance.result.candidate_scores[0]
    order = sorted(range(4), key=lambda n: -scores[n])
    (call, *_) = calls_of(model)
    assert [sound.provenance.result.shots[0]["seed"] for sound in kept] == [call["seeds"][n] for n in order]
    with pytest.raises(InputError, match="nth 5: no more candidates are made than 4"):
        model.generate(film, candidates=4, nth=5)


def test_the_ranking_heeds_the_weights(film):
    model = fake_model()
    by_prompt = model.generate(
        film, candidates=6, prompt="hum", prompt_weight=0.0, rank={"target": 0.0, "soundness": 0.0}
    )
    reasons = by_prompt.provenance.result.candidate_reasons[0]
    best = max(range(6), key=lambda n: reasons[n]["prompt"])
    assert by_prompt.provenance.result.shots[0]["seed"] == calls_of(model)[0]["seeds"][best]
    with pytest.raises(
        InputError, match="rank {'beauty': 1.0}: expected some of target, label, prompt, time, soundness"
    ):
        Request(rank={"beauty": 1.0})


def test_a_sound_without_a_picture_is_made_again_from_its_record(tmp_path, example):
    model = fake_model()
    sound = model.generate(None, prompt="hum", like=example, duration_s=2.0, seed=4)
    assert sound.waveform.shape == (1, 2 * RATE)
    assert sound.frames.shape[0] == 0
    sound.save(tmp_path / "a.wav")
    record = read_provenance(tmp_path / "a.wav.json")
    assert (record.input.path, record.input.sha256) == ("", "")
    assert torch.equal(remake(model, record).waveform, sound.waveform)
    copy = tmp_path / "copy.wav"
    copy.write_bytes(example.read_bytes())
    with_copy = model.generate(None, like=copy, duration_s=1.0)
    soundfile.write(copy, np.full(RATE, 0.2), RATE)
    with pytest.raises(InputError, match="copy.wav: sha256 .*; the input has changed"):
        remake(model, with_copy.provenance)


def test_look_says_what_will_be_heard(film):
    model = fake_model()
    (shot,) = model.look(film)
    assert (shot.start_s, shot.stop_s) == (0.0, 3.0)
    assert {name for name, _ in shot.labels} == {"hum", "whistle"}
    (steered,) = model.look(film, prompt="whistle", prompt_weight=1.0)
    assert steered.labels[0] == ("whistle", 1.0)
    assert calls_of(model) == []


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("start,end\n0,1\n", "columns start, end; expected start, end, text, and no others, each once"),
        ("start,end,text\n0,x,rain\n", 'line 2: start "0", end "x"; expected seconds'),
        ("start,end,text\n0,1\n", "line 2: 2 cells, the header has 3"),
        ("start,end,text\n", "expected one spot at least, each with a text"),
        ("start,end,text\n0,4,rain\n3,6,wind\n", "expected one spot at least, .*none of which overlap"),
        ("start,end,text\n0,0.5,rain\n", "a second long at least"),
    ],
)
def test_a_table_of_spots_that_cannot_be_used_is_told(tmp_path, text, words):
    path = tmp_path / "spots.csv"
    path.write_text(text)
    with pytest.raises(InputError, match=words):
        read_spots(str(path))


def test_spots_are_read_in_order_of_time(tmp_path):
    path = tmp_path / "spots.csv"
    path.write_text('start,end,text\n\n4,6,"dogs, cats"\n0,2.5,rain\n')
    assert read_spots(str(path)) == (
        Spot(start_s=0.0, end_s=2.5, text="rain"),
        Spot(start_s=4.0, end_s=6.0, text="dogs, cats"),
    )
    with pytest.raises(InputError, match="none.csv: cannot be read as UTF-8 text"):
        read_spots(str(tmp_path / "none.csv"))


# lists and the command


def test_a_list_has_prompts_and_rows_without_a_clip(tmp_path):
    path = tmp_path / "list.csv"
    path.write_text("path,prompt,out\na.mp4,rain,\n,a dog barks,dog.wav\n,wind: howling!,\n")
    orders = plan_list(read_wishes(path), tmp_path, Request(), RunOptions(), WriteOptions())
    assert [order.request.prompt for order in orders] == ["rain", "a dog barks", "wind: howling!"]
    assert [order.job.sound for order in orders] == [
        tmp_path / name for name in ("a.wav", "dog.wav", "wind howling.wav")
    ]
    assert [isinstance(order.job.info, NoPicture) for order in orders] == [False, True, True]


def test_the_candidates_of_a_sound_stay_together(tmp_path):
    path = tmp_path / "list.csv"
    path.write_text("path\na.mp4\nb.mp4\nc.mp4\n")
    running = RunOptions(keep=2)
    orders = plan_list(read_wishes(path), tmp_path, Request(candidates=3), running, WriteOptions())
    assert [order.job.sound.name for order in orders if order.job.sound] == [
        f"{clip}{nth}.wav" for clip in "abc" for nth in ("", ".2")
    ]
    assert [order.request.nth for order in orders] == [1, 2] * 3
    assert [len(batch) for batch in together(orders, 2)] == [4, 2]
    assert share_of(orders, (2, 2)) == orders[2:4]
    with pytest.raises(InputError, match="keep 2: 1 candidates are made of each sound"):
        plan_list(read_wishes(path), tmp_path, Request(), running, WriteOptions())


def run(*args: object) -> int:
    return cli.main([str(arg) for arg in args])


def test_the_command_makes_a_sound_of_words_and_keeps_the_best(tmp_path, capsys):
    bundle = tmp_path / "bundle"
    write_tiny_mini(bundle)
    out = tmp_path / "rain.wav"
    words = ("generate", "--model", bundle, "--prompt", "a dog", "--duration", "1", "--steps", "2")
    assert run(*words, "-o", out, "--candidates", "3", "--keep", "2", "--json") == 0
    rows = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [Path(row["files"][0]).name for row in rows] == ["rain.wav", "rain.2.wav"]
    assert len(rows[0]["candidates"][0]) == 3
    assert read_provenance(tmp_path / "rain.2.wav.json").settings.nth == 2
    assert run("generate", "--from", tmp_path / "rain.2.wav.json", "-o", tmp_path / "again.wav", "--model", bundle) == 0
    assert "the same samples" in capsys.readouterr().out
    assert run(*words, "-o", tmp_path / "rain.mp4") == 2
    assert "there is no picture to make a video of" in capsys.readouterr().err
    with pytest.raises(SystemExit, match="2"):
        run("generate", "--model", bundle, "--label", "dog")
    assert '"dog": expected NAME=NUMBER, such as "dog barking=2"' in capsys.readouterr().err


def test_the_command_looks(tmp_path, film, capsys):
    bundle = tmp_path / "bundle"
    write_tiny_mini(bundle)
    assert run("look", film, "--model", bundle, "--json") == 0
    (shot,) = json.loads(capsys.readouterr().out)["shots"]
    assert shot["labels"]
    assert run("look", film, "--model", bundle) == 0
    assert "begins" in capsys.readouterr().out
    assert run("look", tmp_path / "none.mp4", "--model", bundle, "--json") == 2
    assert json.loads(capsys.readouterr().out)["status"] == "failed"
