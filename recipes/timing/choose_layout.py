"""What remembered recordings lose and win where they are laid on given times: the table that `events.AGAIN` was chosen by.

    python choose_layout.py --judge YAMNET.tflite [--rounds 2] [--variation 0]

Every label of struck things that mini remembers, from its own recordings' embeddings, on random times 0.4 to 1.5 s apart. F1:
of onsets within 100 ms of those times. Label hit: by YAMNet.
"""

import argparse
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

sys.path.append(str(Path(__file__).parents[1] / "mini"))

import echoframe.generators.events as events
from ears import class_scores, heard_labels, right_classes
from echoframe import load
from echoframe.evaluation.judges.yamnet import YamnetJudge
from echoframe.media.onsets import onset_f1, onsets
from echoframe.timing.cues import Cues, Onset

STRUCK = (
    *(
        "arrow shooting",
        "basketball bounce",
        "cap gun shooting",
        "chiseling stone",
        "chopping wood",
        "church bell ringing",
    ),
    *("dog barking", "door slamming", "explosion", "fireworks banging", "footsteps on gravel", "footsteps on snow"),
    *("frog croaking", "hammering metal", "hammering nails", "horse clip-clop", "lighting firecrackers"),
    *(
        "machine gun shooting",
        "people coughing",
        "people sneezing",
        "playing bass drum",
        "playing bongo",
        "playing castanets",
    ),
    *(
        "playing congas",
        "playing cowbell",
        "playing djembe",
        "playing glockenspiel",
        "playing gong",
        "playing snare drum",
    ),
    *("playing snooker", "playing tabla", "playing table tennis", "playing tambourine", "playing timpani"),
    *("playing vibraphone", "sliding door", "splashing water", "sword clashing", "thunder", "typing on typewriter"),
    "woodpecker pecking tree",
)
LENGTH_S = 8.0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--judge", type=Path, required=True)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--variation", type=float, default=0.0)
    args = parser.parse_args()
    torch.set_num_threads(1)
    model, judge = load("mini"), YamnetJudge(args.judge)
    memory = model.generator.memory  # type: ignore[attr-defined]
    usual = events.AGAIN
    print("| | n | F1 100 ms | label hit |\n|---|---|---|---|")
    for name, sync, again in (
        ("not laid", 0.0, usual),
        *((f"laid, an onset too many costs {again:g}", 1.0, again) for again in (0.3, usual, 3.0)),
    ):
        events.AGAIN = again
        random, found, scores, right = np.random.default_rng(0), [], [], []
        for turn in range(args.rounds):
            for n, label in enumerate(STRUCK):
                own = [k for k, each in enumerate(memory.entries) if each.label == label and not memory.steady[k]]
                times = np.cumsum(random.uniform(0.4, 1.5, 12))
                times = times[times < LENGTH_S - 0.5]
                if not own:
                    continue
                struck = tuple(Onset(time_s=float(time), strength=1.0, confidence=1.0) for time in times)
                sound = model.generator.generate(
                    memory.embeddings[own[(n + turn) % len(own)]][None],
                    duration_s=LENGTH_S,
                    seeds=[n + 1000 * turn],
                    options=replace(model.defaults, sync=sync, variation=args.variation),
                    cues=[Cues(onsets=struck)],
                )
                score = onset_f1(times, onsets(sound[0].numpy(), model.generator.sample_rate), tolerance_s=0.1)
                found.append(score.f1 if score else 0.0)
                scores.append(class_scores(judge, sound).numpy())
                right.append(right_classes(judge, [label])[0])
        hits = heard_labels(np.stack(scores), np.stack(right))
        print(f"| {name} | {len(found)} | {np.mean(found):.3f} | {hits.mean:.3f} |", flush=True)
    events.AGAIN = usual


if __name__ == "__main__":
    main()
