"""From tokens to a waveform: what each link loses, as a Markdown table, heard by YAMNet.

    python waveforms.py --shared ../../../shared --codec WORK/codec/final --decoder WORK/texture/final [--split val]

Rows: the real recording; its log-mel and phases; the codec between; what the codec drops drawn again, at several
strengths; another real recording (chance). Choose on val, report on test. Label hit, agreement hit and KL are those of
`echoframe evaluate`'s protocol yamnet; a recording is heard up to 10.24 s. Seconds are of one thread, for 10 s of sound.
"""

import argparse
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from acceptance_lists import Listed, held_out, read_recordings
from corpus import SCENE, normalise
from ears import class_scores
from echoframe.evaluation.agreement import agreement_divergences, agreement_hits, label_hits
from echoframe.evaluation.judges.yamnet import YamnetJudge
from echoframe.generators.mel_codec import MelCodec, load_codec
from echoframe.generators.texture import Texture, load_texture
from echoframe.media.audio import log_mel, read_audio
from echoframe.media.phase import Start, griffin_lim
from echoframe.spec import MINI_MEL

COLUMNS = ("what is heard", "n", "label hit", "of the real one's", "agreement hit", "KL", "median KL", "s for 10 s")
Way = Callable[[Tensor, int], Tensor]  # a waveform (1, S) and a seed -> a waveform


@dataclass(frozen=True, kw_only=True)
class Links:
    """The links between a recording and its tokens' sound."""

    codec: MelCodec
    texture: Texture
    iterations: int
    start: Start

    def phases(self, mel: Tensor) -> Tensor:
        return griffin_lim(mel, MINI_MEL, iterations=self.iterations, start=self.start)

    def true_mel(self, waveform: Tensor, seed: int) -> Tensor:
        return self.phases(log_mel(waveform, MINI_MEL))

    def coded(self, waveform: Tensor, seed: int) -> Tensor:
        return self.phases(self.codec.decode(self.codec.encode(log_mel(waveform, MINI_MEL))))

    def drawn(self, texture: Texture) -> Way:
        """As MelFlowGenerator decodes."""

        def way(waveform: Tensor, seed: int) -> Tensor:
            tokens = self.codec.encode(log_mel(waveform, MINI_MEL))
            return self.phases(texture.fill(self.codec, tokens, [torch.Generator().manual_seed(seed)]))

        return way

    def ways(self, strengths: list[float]) -> dict[str, Way]:
        found: dict[str, Way] = {"log-mel, phases": self.true_mel, "codec, phases": self.coded}
        for strength in strengths:
            found[f"codec, detail drawn at {strength:g}, phases"] = self.drawn(with_strength(self.texture, strength))
        return found


def with_strength(texture: Texture, strength: float) -> Texture:
    other = Texture(replace(texture.config, strength=strength))
    other.load_state_dict(texture.state_dict())
    return other.requires_grad_(False).eval()


def read(one: Listed, multiple: int) -> Tensor:
    """(1, S) at 16 kHz, peak 0.5, at most a scene, filled with silence to whole tokens."""
    waveform, _ = read_audio(one.file, sample_rate=MINI_MEL.sample_rate)
    samples = normalise(waveform[0].numpy()[:SCENE])
    return torch.from_numpy(np.pad(samples, (0, -len(samples) % multiple)))[None]


@torch.no_grad()
def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shared", type=Path, required=True, help="the folder with corpus/ and judges/")
    parser.add_argument("--codec", type=Path, required=True)
    parser.add_argument("--decoder", type=Path, required=True)
    parser.add_argument("--split", default="val", choices=("val", "test"))
    parser.add_argument("--limit", type=int, default=160)
    parser.add_argument("--strength", type=float, nargs="+", default=[0.0, 0.5, 1.0], help="of what is drawn")
    parser.add_argument("--iterations", type=int, default=1, help="of Griffin-Lim")
    parser.add_argument("--start", choices=("noise", "gradient"), default="gradient", help="where Griffin-Lim begins")
    args = parser.parse_args()
    torch.set_num_threads(1)
    judge = YamnetJudge(args.shared / "judges" / "yamnet.tflite")
    chosen = held_out(read_recordings(args.shared), args.limit, args.split)
    links = Links(
        codec=load_codec(args.codec), texture=load_texture(args.decoder), iterations=args.iterations, start=args.start
    )
    waveforms = [read(one, MINI_MEL.hop_length * links.codec.config.frames) for one in chosen]
    labels = [one.label for one in chosen]
    right = judge.read(labels).numpy()
    about = f"{len(chosen)} {args.split} recordings of {len(set(labels))} labels"
    print(f"{about}, Griffin-Lim {args.iterations} from {args.start}, YAMNet\n")
    print(f"| {' | '.join(COLUMNS)} |\n|{'---|' * len(COLUMNS)}")
    real = hear(judge, waveforms)
    ceiling = report("the real recording", real, real, right, None, 0.0)
    for name, way in links.ways(args.strength).items():
        began = time.process_time()
        made = [way(waveform, seed) for seed, waveform in enumerate(waveforms)]
        seconds = time.process_time() - began
        spent = 10 * seconds * MINI_MEL.sample_rate / sum(waveform.shape[1] for waveform in waveforms)
        report(name, hear(judge, made), real, right, ceiling, spent)
    chance = np.roll(real, 1, axis=0)
    report("the real recording of another one", chance, real, right, ceiling, 0.0)


def hear(judge: YamnetJudge, waveforms: list[Tensor]) -> np.ndarray:
    """(n, 521) mean class scores."""
    return np.stack([class_scores(judge, waveform.clamp(-1, 1)).numpy() for waveform in waveforms])


def report(
    name: str, made: np.ndarray, real: np.ndarray, right: np.ndarray, ceiling: float | None, seconds: float
) -> float:
    """One row of the table; its label hit."""
    hit, alike, apart = label_hits(made, right), agreement_hits(real, made), agreement_divergences(real, made)
    share = hit.mean() / (ceiling or hit.mean() or 1)
    cells = (hit.mean(), share, alike.mean(), apart.mean(), np.median(apart), seconds)
    print(f"| {name} | {len(made)} | {' | '.join(f'{cell:.3f}' for cell in cells)} |", flush=True)
    return float(hit.mean())


if __name__ == "__main__":
    main()
