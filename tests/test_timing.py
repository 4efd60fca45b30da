"""What is seen of a film over time: the camera's motion, small frames, onsets, cues. The shots' borders: test_shots.py."""

import math
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
import torch

from echoframe.errors import BundleError, VideoError
from echoframe.media.frame_array import FrameArray
from echoframe.media.video import probe
from echoframe.timing import onsets, small_frames, watch
from echoframe.timing.camera import MOST_ZOOM, camera_motion, warp
from echoframe.timing.cues import Cues, Onset
from echoframe.timing.onset_net import OnsetNet, OnsetNetConfig, beside, load_onset_net, residuals
from echoframe.timing.onsets import LEAST_CONTRAST, contrast, peaks, with_contrast
from echoframe.timing.small_frames import MOST_RATE, N_PIXELS, small_size
from echoframe.weights import write_json, write_weights
from moving_pictures import bouncing, coloured, held, panned, wall
from planted_video import write_video

SMALL = (96, 54)
HITS = (0.8, 1.6, 2.4)


def luma(frames: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(frames / 255).float()


def watched(images: np.ndarray, rate: float = 25.0, **options: float) -> watch.Watched:
    return watch.watch(FrameArray(images=images, frame_rate=rate), **options)


@pytest.fixture(scope="module")
def bounces() -> np.ndarray:
    return bouncing(HITS, length_s=3.2, rate=25)


# the camera


@pytest.mark.parametrize("shift", [(3.0, 0.0), (-5.0, 2.0), (0.5, -1.0), (11.0, 6.0)])
def test_the_cameras_shift_is_found_to_a_part_of_a_pixel(shift):
    motion = camera_motion(luma(panned(shift, 4, size=SMALL)))
    assert motion.shape == (3, 3)
    assert np.allclose(motion[:, :2], [shift] * 3, atol=0.45)  # where a place was before
    assert np.allclose(motion[:, 2], 1, atol=0.015)


@pytest.mark.parametrize("zoom", [0.96, 1.02, 1.04])
def test_the_cameras_zoom_is_found(zoom):
    first = luma(wall(3, size=SMALL, patch=8))[None]
    second = warp(first, torch.tensor([[0.0, 0.0, zoom]]))
    motion = camera_motion(torch.cat([first, second]))
    assert motion[0, 2] == pytest.approx(zoom, abs=0.008)
    assert motion[0, :2].abs().max() < 0.4
    moved = (second - warp(first, motion))[:, 8:-8, 8:-8].abs().mean()
    assert moved < 0.2 * (second - first)[:, 8:-8, 8:-8].abs().mean()


def test_a_zoom_beyond_the_most_is_not_believed():
    first = luma(wall(3, size=SMALL, patch=8))[None]
    second = warp(first, torch.tensor([[0.0, 0.0, 1.4]]))
    assert abs(float(camera_motion(torch.cat([first, second]))[0, 2]) - 1) <= MOST_ZOOM + 1e-6


@pytest.mark.parametrize(("behind", "before"), [(3, 8), (4, 5), (5, 3), (2, 8)])
def test_what_moves_by_itself_is_not_the_camera(behind, before):
    """Whether there is more detail in the wall or in the thing before it."""
    whole = wall(3, size=(98, 54), patch=behind)
    frames = np.stack([whole[:, :96], whole[:, 2:]])
    thing = wall(5, size=(16, 16), patch=before)
    frames[0, 10:26, 40:56] = thing
    frames[1, 10:26, 52:68] = thing  # 12 px the other way
    motion = camera_motion(luma(frames))
    assert np.allclose(motion[0], [2, 0, 1], atol=[0.4, 0.4, 0.015])


def test_plain_walls_flashes_and_stills_have_no_motion():
    plain = torch.full((2, 54, 96), 0.5)
    still = luma(wall(1, size=SMALL))
    for frames in (plain, torch.stack([still, still]), torch.stack([0.5 * still, still])):
        assert camera_motion(frames).tolist() == [[0.0, 0.0, 1.0]]


def test_a_warp_moves_as_it_says_and_holds_the_edge():
    frame = torch.zeros(1, 54, 96)
    frame[0, 20, 30], frame[0, :, 95] = 1.0, 0.5
    moved = warp(frame, torch.tensor([[4.0, -3.0, 1.0]]))  # a place was 4 px further right before
    assert torch.nonzero(moved[0] > 0.9).tolist() == [[23, 26]]
    assert torch.allclose(moved[0, :, 91:], torch.tensor(0.5), atol=1e-4)


# small frames


@pytest.mark.parametrize("size", [(1920, 1080), (320, 240), (1080, 1920), (96, 54), (7, 5)])
def test_small_frames_keep_the_shape_and_the_number_of_pixels(size):
    width, height = small_size(*size)
    assert width % 2 == height % 2 == 0
    assert width * height == pytest.approx(N_PIXELS, rel=0.06)
    assert width / height == pytest.approx(size[0] / size[1], rel=0.05)


def test_a_thin_film_has_sixteen_pixels_at_least():
    assert small_size(4000, 4) == (2276, 16)


def test_frames_in_memory_and_in_a_file_are_the_same(tmp_path):
    images = coloured(panned((3.0, 0.0), 10))
    path = write_video(tmp_path / "a.mp4", images=list(images), options={"crf": "1"})
    stored = list(small_frames.small_frames(probe(path)))
    given = list(small_frames.small_frames(FrameArray(images=images, frame_rate=25.0)))
    assert [time for time, _ in stored] == pytest.approx([i / 25 for i in range(10)])
    assert [time for time, _ in given] == pytest.approx([i / 25 for i in range(10)])
    for (_, one), (_, other) in zip(stored, given, strict=True):
        assert one.shape == other.shape == (54, 96)
        assert np.abs(one.astype(int) - other).mean() < 3


def test_an_array_is_brought_to_the_size_that_is_asked_for():
    images = np.stack([np.full((90, 160, 3), (200, 100, value), dtype=np.uint8) for value in (10, 60)])
    found = list(FrameArray(images=images, frame_rate=2.0).small((32, 18)))
    assert [time for time, _ in found] == [0.0, 0.5]
    assert all(image.shape == (18, 32, 3) for _, image in found)
    assert [image[9, 16].tolist() for _, image in found] == [[200, 100, 10], [200, 100, 60]]
    ((_, grey), _) = small_frames.small_frames(FrameArray(images=images, frame_rate=2.0))
    assert abs(int(grey[20, 20]) - (0.299 * 200 + 0.587 * 100 + 0.114 * 10)) <= 1


@pytest.mark.parametrize(("rate", "n"), [(60, 32), (120, 32), (50, 32), (30, 30), (24, 24)])
def test_of_a_fast_film_some_frames_are_left_out(rate, n):
    images = np.zeros((rate, 10, 16, 3), dtype=np.uint8)
    times = [time for time, _ in small_frames.small_frames(FrameArray(images=images, frame_rate=float(rate)))]
    assert len(times) == pytest.approx(n, abs=1)
    assert max(np.diff(times)) <= max(1 / rate, 1 / MOST_RATE + 1 / rate) + 1e-9


def test_frames_end_before_the_time_that_is_asked_for():
    film = FrameArray(images=np.zeros((20, 10, 16, 3), dtype=np.uint8), frame_rate=10.0)
    assert len(list(small_frames.small_frames(film, until_s=0.5))) == 5
    assert len(list(small_frames.small_frames(film, until_s=0.51))) == 6
    assert list(small_frames.small_frames(film, until_s=0.0)) == []


def test_frames_that_come_too_late_are_left_out(monkeypatch):
    image = np.zeros((16, 16, 3), dtype=np.uint8)
    given = [0.0, 0.04, 5.0, 5.0, 4.99, 5.04, 5.08]
    monkeypatch.setattr(small_frames, "_images", lambda clip, size: ((time, image) for time in given))
    film = FrameArray(images=np.stack([image, image]), frame_rate=25.0)
    assert [time for time, _ in small_frames.small_frames(film)] == [0.0, 0.04, 5.0, 5.04, 5.08]


def test_what_cannot_be_decoded_is_told(tmp_path):
    info = probe(write_video(tmp_path / "a.mp4"))
    (tmp_path / "a.mp4").write_bytes(b"no film")
    with pytest.raises(VideoError, match="a.mp4: "):
        watch.watch(info)


# contrast and peaks


def test_contrast_is_the_usual_spread_of_a_frame():
    frames = torch.stack([torch.full((4, 6), 0.5), *[torch.tensor([[0.2, 0.6]] * 2).repeat(2, 3)] * 2])
    assert contrast(frames) == pytest.approx(float(frames[1].std()) + LEAST_CONTRAST)
    assert contrast(frames[:1]) == LEAST_CONTRAST


@pytest.mark.parametrize("n", [1, 2, 30, 33, 80, 150])
def test_every_frame_has_the_contrast_of_those_around_it(n):
    random = np.random.default_rng(n)
    images = [random.integers(0, high, (6, 8), dtype=np.uint8) for high in random.integers(2, 255, n)]
    found = list(with_contrast((i / 25, image) for i, image in enumerate(images)))
    assert [time for time, _, _ in found] == [i / 25 for i in range(n)]
    for i, (_, image, value) in enumerate(found):
        assert image is images[i]
        near = images[max(i - onsets.AROUND, 0) : i + onsets.AROUND + 1]
        assert value == pytest.approx(contrast(luma(np.stack(near))), rel=1e-5)


def test_peaks_lie_between_frames_and_the_lower_of_two_near_ones_falls_away():
    times = np.arange(100) / 25
    values = np.exp(-(((times - 1.013) / 0.06) ** 2)) + 0.6 * np.exp(-(((times - 2.5) / 0.06) ** 2))
    assert peaks(values, times, threshold=0.1) == pytest.approx([1.013, 2.5], abs=0.002)
    assert peaks(values, times, threshold=0.7) == pytest.approx([1.013], abs=0.002)
    near = np.zeros(100)
    near[[10, 12, 15]] = 0.8, 0.9, 0.5  # 80 ms apart, then 120 ms
    assert peaks(near, times, threshold=0.1) == pytest.approx([12 / 25, 15 / 25])
    assert len(peaks(np.zeros(0), np.zeros(0), threshold=0.1)) == 0


def test_a_peak_at_the_edge_stands_at_its_frame_and_a_plateau_counts_once():
    times = np.array([0.0, 0.1, 0.3, 0.7])
    assert peaks(np.array([0.9, 0.5, 0.1, 0.4]), times, threshold=0.2).tolist() == [0.0, 0.7]
    assert peaks(np.array([0.1, 0.6, 0.6, 0.1]), times, threshold=0.2) == pytest.approx([0.2], abs=0.1)
    (between,) = peaks(np.array([0.1, 0.5, 0.9, 0.7]), times, threshold=0.2)
    assert 0.3 < between < 0.5  # towards the higher neighbour, by its own step


# the network


def test_the_network_is_small_and_reads_back_as_it_was_written(tmp_path):
    sizes = {"widths": [4, 4, 8], "local_dilations": [1], "hidden_dim": 12, "dilations": [1, 2]}
    net = OnsetNet(OnsetNetConfig(widths=(4, 4, 8), local_dilations=(1,), hidden_dim=12, dilations=(1, 2))).eval()
    write_weights(tmp_path / "model.safetensors", {name: w.half() for name, w in net.state_dict().items()})
    write_json(tmp_path / "config.json", sizes)
    state = torch.get_rng_state()
    loaded = load_onset_net(tmp_path)
    assert torch.equal(state, torch.get_rng_state())  # the global generator is the caller's own
    assert not loaded.training
    assert not any(weight.requires_grad for weight in loaded.parameters())
    assert all(torch.equal(w.half().float(), loaded.state_dict()[name]) for name, w in net.state_dict().items())
    assert sum(weight.numel() for weight in watch.onset_net().parameters()) < 1_000_000


def test_a_damaged_network_is_told(tmp_path):
    folder = Path(watch.__file__).parent / "net"
    (tmp_path / "config.json").write_bytes((folder / "config.json").read_bytes())
    (tmp_path / "model.safetensors").write_bytes(b"no weights")
    with pytest.raises(BundleError, match="model.safetensors: "):
        load_onset_net(tmp_path)


def test_the_network_looks_ahead_and_back_by_frames_alone():
    """What it tells of a frame does not depend on what lies further away than its convolutions reach."""
    torch.manual_seed(0)
    net, reach = OnsetNet(), sum(OnsetNetConfig().dilations)
    seen, numbers = torch.randn(1, 60, 97), torch.randn(1, 60, 6)
    with torch.no_grad():
        told = net.tell(seen, numbers)
        seen[:, 40] += 3
        changed = (net.tell(seen, numbers) - told).abs()[0] > 1e-6
    assert torch.nonzero(changed).flatten().tolist() == list(range(40 - reach, 40 + reach + 1))


def test_what_is_seen_in_a_place_depends_on_the_frames_within_reach_and_on_the_places_near():
    torch.manual_seed(0)
    net, frames = OnsetNet(), torch.rand(30, 54, 96)
    with torch.no_grad():
        seen, struck = net.look(frames, frames, frames)
        frames[15, 16:24, 16:24] += 3
        changed = (net.look(frames, frames, frames)[1] - struck).abs() > 1e-6
    assert struck.shape == (30, 7, 12)
    assert seen.shape == (30, 97)
    assert torch.equal(seen[:, -1], struck.amax(dim=(1, 2)))
    assert torch.nonzero(changed.any(dim=(1, 2))).flatten().tolist() == list(range(15 - net.reach, 16 + net.reach))
    assert changed[15, 2, 2]
    assert not changed[:, :, 9:].any()


def test_what_is_told_in_stretches_is_what_is_told_at_once(monkeypatch):
    torch.manual_seed(0)
    net, seen, numbers = OnsetNet(), torch.randn(100, 97).half(), torch.randn(100, 6)
    with torch.no_grad():
        whole = net.tell(seen[None].float(), numbers[None])[0]
    for length in (7, 33, 100, 500):
        monkeypatch.setattr(watch, "STRETCH", length)
        assert torch.allclose(watch._told(net, seen, numbers), whole, atol=1e-5)


def test_the_network_tells_something_of_the_shortest_films():
    for n in (1, 2, 5):
        frames = torch.rand(n, 54, 96)
        assert OnsetNet().look(frames, frames, frames)[0].shape == (n, 97)


def test_beside_the_pixels_stand_motion_time_and_brightness():
    frames = torch.stack([torch.full((4, 6), 0.2), torch.full((4, 6), 0.5)])
    residual = torch.zeros(2, 4, 6)
    residual[1] = -0.1
    motion = torch.tensor([[0.0, 0.0, 1.0], [10.0, -5.0, 1.1]])
    times = torch.tensor([0.0, 0.08])
    one, two = beside(frames, residual, motion, times).tolist()
    assert one == pytest.approx([0, 0, 0, 1, 0, math.log(1e-3) + 3], abs=1e-4)
    assert two == pytest.approx([3, -1.5, 3, 2, 1.5, math.log(0.101) + 3], abs=1e-4)
    scale = torch.tensor([2.0, 0.5])
    by_hand = beside(frames / 0.5, residual / 0.5, motion, times)[1]
    assert torch.allclose(beside(frames, residual, motion, times, scale)[1], by_hand)


def test_a_residual_is_what_the_camera_does_not_explain():
    frames = panned((4.0, 0.0), 6, size=SMALL)
    frames[3, 20:30, 40:50] = 255
    residual, motion = residuals(luma(frames))
    assert motion[0].tolist() == [0, 0, 1]
    assert not residual[0].any()
    moving = residual[:, 2:-2, 6:-6].abs().mean(dim=(1, 2))
    assert moving[3] > 5 * moving[2]
    for n in (0, 1):
        residual, motion = residuals(luma(frames[:n]))
        assert residual.shape == (n, 54, 96)
        assert motion.tolist() == [[0, 0, 1]] * n


# cues


def cues() -> Cues:
    found = [Onset(time_s=t, strength=1.0, confidence=c) for t, c in ((0.5, 0.2), (1.0, 0.6), (1.5, 0.9))]
    return Cues(onsets=tuple(found), times_s=np.arange(20) / 10, activity=np.arange(20.0))


def test_a_part_of_the_cues_has_times_from_its_own_start():
    part = cues().between(0.95, 1.5)
    assert [onset.time_s for onset in part.onsets] == pytest.approx([0.05])
    assert part.times_s == pytest.approx([0.05, 0.15, 0.25, 0.35, 0.45])
    assert part.activity.tolist() == [10, 11, 12, 13, 14]
    assert len(cues().between(5, 6).times_s) == 0


@pytest.mark.parametrize(("sync", "n"), [(0.0, 0), (0.05, 0), (0.1, 1), (0.4, 2), (0.8, 3), (1.0, 3)])
def test_a_sound_heeds_what_is_sure_enough(sync, n):
    assert len(cues().heeded(sync)) == n


# watching


@pytest.mark.parametrize("rate", [25.0, 30.0])
def test_a_block_that_bounces_is_struck_when_it_meets_the_floor(rate):
    found = watched(bouncing(HITS, length_s=3.2, rate=rate), rate).cues
    times = np.array([onset.time_s for onset in found.onsets])
    assert all(np.abs(times - hit).min() <= 0.08 for hit in HITS)
    surest = max(found.onsets, key=lambda onset: onset.confidence)
    assert min(abs(surest.time_s - hit) for hit in HITS) <= 0.05
    assert max(onset.strength for onset in found.onsets) == 1.0
    assert all(0.1 <= onset.confidence <= 1 for onset in found.onsets)
    assert len(found.times_s) == len(found.activity) == round(3.2 * rate)


def test_a_film_in_which_nothing_happens_has_no_onsets():
    found = watched(coloured(held(wall(), 50)))
    assert (found.cues.onsets, found.borders) == ((), ())
    assert found.cues.activity == pytest.approx(np.zeros(50), abs=1e-6)


def test_a_camera_that_pans_is_not_much_that_moves():
    panning = watched(coloured(panned((2.0, 0.0), 40))).cues.activity[1:]
    moving = panned((0.0, 0.0), 40)
    for i, frame in enumerate(moving):
        frame[20:60, 2 * i : 2 * i + 60] = wall(9)[20:60, :60]
    assert np.median(panning) < 0.3 * np.median(watched(coloured(moving)).cues.activity[1:])


@pytest.mark.parametrize("chunk", [1, 2, 7, 1000])
def test_what_is_seen_does_not_depend_on_how_many_frames_are_looked_at_together(chunk, monkeypatch, bounces):
    fading = (bounces * np.linspace(0.3, 1, len(bounces))[:, None, None, None]).astype(np.uint8)
    film = np.concatenate([fading, coloured(held(wall(), 30))])
    usual = watched(film)
    monkeypatch.setattr(watch, "CHUNK", chunk)
    monkeypatch.setattr(watch, "MOST_ROOM", 3)
    other = watched(film)
    assert other.cues.times_s.tolist() == usual.cues.times_s.tolist()
    assert other.cues.activity == pytest.approx(usual.cues.activity, rel=1e-4, abs=1e-6)
    assert [onset.time_s for onset in other.cues.onsets] == pytest.approx(
        [onset.time_s for onset in usual.cues.onsets], abs=1e-3
    )
    assert [onset.confidence for onset in other.cues.onsets] == pytest.approx(
        [onset.confidence for onset in usual.cues.onsets], abs=0.01
    )
    assert usual.borders == other.borders
    assert len(usual.borders) == 1


def test_no_more_frames_are_held_than_are_looked_at_together():
    taken = 0

    def frames():
        nonlocal taken
        for i in range(1000):
            taken += 1
            yield i / 25, np.full((54, 96), i % 200, dtype=np.uint8), 1.0

    parts = watch._look(frames(), watch.onset_net())
    margin = watch.onset_net().reach + 1
    assert len(next(parts).times_s) == watch.CHUNK + margin
    assert taken <= 2 * (watch.CHUNK + margin)


def test_uneven_frames_have_onsets_at_their_own_times(tmp_path, bounces):
    kept = [i for i in range(len(bounces)) if i % 7 not in (2, 5)]  # 40 or 80 ms long
    times = [Fraction(40 * i, 1000) for i in kept]
    path = write_video(tmp_path / "a.mkv", images=[bounces[i] for i in kept], times=times)
    found = watch.watch(probe(path)).cues
    assert found.times_s == pytest.approx([float(t) for t in times], abs=1e-3)
    near = [hit for hit in HITS if any(abs(onset.time_s - hit) <= 0.08 for onset in found.onsets)]
    assert len(near) >= 2


def test_a_file_is_watched_until_the_time_that_is_asked_for(tmp_path, bounces):
    info = probe(write_video(tmp_path / "a.mp4", images=list(bounces)))
    whole, part = watch.watch(info), watch.watch(info, until_s=2.0)
    assert len(whole.cues.times_s) == 80
    assert part.cues.times_s == pytest.approx(whole.cues.times_s[:50])
    assert all(onset.time_s < 2.0 for onset in part.cues.onsets)
    nothing = watch.watch(info, until_s=0.0)
    assert (nothing.cues.onsets, nothing.borders, len(nothing.cues.times_s)) == ((), (), 0)


def test_a_still_has_no_cues_and_a_film_of_one_frame_only_its_time(tmp_path):
    still = FrameArray(images=coloured(held(wall(), 1)))
    for found in (watch.watch(still), watch.watch(probe(Path(__file__).parent / "data" / "chelsea.jpg"))):
        assert (found.cues.onsets, found.borders, len(found.cues.times_s)) == ((), (), 0)
    one = watch.watch(probe(write_video(tmp_path / "one.mp4", n_frames=1)))
    assert one.cues.times_s.tolist() == [0.0]
    assert one.cues.activity.tolist() == [0.0]
    assert one.borders == ()


def test_a_cut_is_no_onset(bounces):
    film = np.concatenate([coloured(held(wall(1), 30)), coloured(held(wall(2), 30))])
    found = watched(film)
    assert [(border.kind, border.time_s) for border in found.borders] == [("cut", 1.2)]
    assert found.cues.onsets == ()
