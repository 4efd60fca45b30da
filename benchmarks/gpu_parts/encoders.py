"""CLIP and CLAP, from memory and from films."""

import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch

from gpu_parts.bench import Bench

CLIPS = 8
SMALL_CLIP: dict[str, Any] = {
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
}
SMALL_CLAP: dict[str, Any] = {
    "patch_embeds_hidden_size": 16,
    "hidden_size": 32,
    "depths": [1, 1],
    "num_hidden_layers": 2,
}
CLIP_NAME, CLAP_NAME = "CLIP ViT-L/14, 64 frames a clip", "CLAP HTSAT-tiny, 10 s a clip"


def clip(bench: Bench) -> None:
    """Frames that lie in memory as `read_frames` gives them, a clip at a time, as `echoframe extract` does it."""
    encoder, height = _clip_encoder(bench), 32 if bench.small else 224
    n_frames = 4 if bench.small else 64
    frames = np.random.default_rng(0).integers(0, 256, (n_frames, height, height * 16 // 9, 3), np.uint8)
    _clips_a_second(bench, f"{CLIP_NAME}, from memory", lambda: encoder(frames))


def clap(bench: Bench) -> None:
    """Sounds that lie in memory at CLAP's own rate, one at a time."""
    encoder = _clap_encoder(bench)
    sound = torch.from_numpy(np.random.default_rng(0).uniform(-0.5, 0.5, (1, 480_000)).astype(np.float32))
    _clips_a_second(bench, f"{CLAP_NAME}, from memory", lambda: encoder(sound, 48_000))


def _clips_a_second(bench: Bench, what: str, encode: Callable[[], object]) -> None:
    def many() -> None:
        for _ in range(CLIPS):
            encode()

    bench.case(what, encode, many, lambda taken: f"{CLIPS / taken.seconds:.1f} clips a second", times=CLIPS)


def films(bench: Bench) -> None:
    """Both encoders on films, decoded in threads beside them: 640 x 360, 30 pictures a second, with sound, 10 s."""
    from concurrent.futures import ThreadPoolExecutor

    from echoframe.data.decode import Clip, read_clip
    from echoframe.spec import ClipSpec

    seconds, n_threads = (1 if bench.small else 10), os.cpu_count() or 1
    n_films = 2 if bench.small else max(CLIPS, 2 * n_threads)
    spec = ClipSpec(duration_s=1.0, n_frames=4, frame_rate=4.0) if bench.small else ClipSpec()
    visual, audio = _clip_encoder(bench), _clap_encoder(bench)
    with tempfile.TemporaryDirectory() as folder:
        film = _write_film(Path(folder) / "film.mp4", seconds)

        def decode(_: int) -> Clip:
            return read_clip(film, spec, short_side=visual.short_side, threads=1)

        def through(n: int, *, encoded: bool) -> None:
            with ThreadPoolExecutor(n_threads) as pool:
                for each in pool.map(decode, range(n)):
                    if encoded:
                        visual(each.images)
                        audio(torch.from_numpy(each.sound)[None], each.sample_rate)

        for what, encoded in (("films, decoded only", False), ("films, through CLIP ViT-L/14 and CLAP", True)):
            bench.case(
                f"{what}, {n_threads} threads",
                lambda encoded=encoded: through(1, encoded=encoded),
                lambda encoded=encoded: through(n_films, encoded=encoded),
                lambda taken: f"{n_films / taken.seconds:.1f} clips a second",
                times=n_films,
            )


def _clip_encoder(bench: Bench) -> Any:
    from transformers import CLIPVisionConfig, CLIPVisionModelWithProjection

    from echoframe.device import resolve_dtype
    from echoframe.encoders.clip import ClipPixels, ClipVisualEncoder
    from full_size_encoders import CLIP_LARGE

    sizes = {**SMALL_CLIP, "image_size": 32, "patch_size": 8} if bench.small else CLIP_LARGE["vision_config"]
    pixels = ClipPixels(short_side=32, crop=32) if bench.small else ClipPixels()
    with torch.device(bench.device):
        model = CLIPVisionModelWithProjection(CLIPVisionConfig(**sizes))
    return ClipVisualEncoder(model.to(bench.device, resolve_dtype("auto", bench.device)), pixels, name="random")


def _clap_encoder(bench: Bench) -> Any:
    from transformers import ClapAudioConfig, ClapAudioModelWithProjection, ClapFeatureExtractor

    from echoframe.device import resolve_dtype
    from echoframe.encoders.clap import ClapAudioEncoder, ClapMel

    sizes = {**SMALL_CLAP, "num_attention_heads": [2, 2]} if bench.small else {}
    model = ClapAudioModelWithProjection(ClapAudioConfig(enable_fusion=False, projection_dim=512, **sizes))
    with tempfile.TemporaryDirectory() as folder:
        ClapFeatureExtractor(truncation="rand_trunc").save_pretrained(folder)
        mel = ClapMel.from_directory(Path(folder))
    return ClapAudioEncoder(model.to(bench.device, resolve_dtype("auto", bench.device)), mel, name="random")


def _write_film(path: Path, seconds: int, *, rate: int = 30) -> Path:
    """H.264 and AAC: grain that moves, and noise."""
    from fractions import Fraction

    import av

    random = np.random.default_rng(0)
    grain = random.integers(0, 256, (45, 80, 3), np.uint8).repeat(8, axis=0).repeat(8, axis=1)
    with av.open(str(path), "w") as file:
        picture = file.add_stream("libx264", rate, options={"preset": "ultrafast", "crf": "23"})
        picture.width, picture.height, picture.pix_fmt = 640, 360, "yuv420p"
        sound = file.add_stream("aac", 48_000, layout="stereo")
        for i in range(seconds * rate):
            file.mux(picture.encode(av.VideoFrame.from_ndarray(np.roll(grain, 2 * i, axis=1), format="rgb24")))
            noise = random.uniform(-0.3, 0.3, (2, 48_000 // rate)).astype(np.float32)
            heard = av.AudioFrame.from_ndarray(noise, format="fltp", layout="stereo")
            heard.sample_rate, heard.pts, heard.time_base = 48_000, i * (48_000 // rate), Fraction(1, 48_000)
            file.mux(sound.encode(heard))
        file.mux([*picture.encode(None), *sound.encode(None)])
    return path
