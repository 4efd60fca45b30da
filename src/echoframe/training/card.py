"""What stands beside trained mappers, for whoever finds them: data, encoders, figures, licences, limits."""

import json
from typing import Any

from echoframe.bundles.manifest import strictest_licence

CARD = "README.md"

_TEXT = """# {kind} mapper, {visual} to {audio}

Turns a clip's visual embeddings into one audio embedding. Trained by EchoFrame {version} on {train:,} clips ({val:,} for
validation) of {data}.

| part | encoder | source | licence |
|---|---|---|---|
{encoders}

## Figures

On {n:,} validation clips, after {step:,} of {steps:,} steps ({seconds:.0f} s of training on {device}, {processes} process):

| figure | value |
|---|---|
{figures}

Retrieval is of the clip's own audio embedding among those of all {n:,}; guessing is R@1 {guess:.5f}.

## How it was trained

```json
{config}
```

Data sha256 {sha}. {versions}.

## Licence

The strictest of its encoders' is {licence}. What the clips it learned from permit is for whoever took them to say; the
licence of the mapper itself is stated where it is published.

## Limits

It knows what its clips show and sound like, and nothing else. One embedding stands for the whole clip: it carries no time.
"""


def mapper_card(about: dict[str, Any], result: dict[str, Any]) -> str:
    """The card of a run. about: its run.json. result: its result.json."""

    parts = about["encoders"]
    encoders = [
        f"| {name} | {part['space']}, {part['dim']} | {part['source']} | {part['licence']} |"
        for name, part in parts.items()
    ]
    figures = result["figures"]
    return _TEXT.format(
        kind=about["mapper"]["kind"],
        visual=parts["visual_encoder"]["space"],
        audio=parts["audio_encoder"]["space"],
        version=about["versions"]["echoframe"],
        train=about["clips"]["train"],
        val=about["clips"]["val"],
        data=", ".join(about["config"]["data"]),
        encoders="\n".join(encoders),
        n=figures["n"],
        step=result["step"],
        steps=result["steps"],
        seconds=result["seconds"],
        device=about["device"],
        processes=about["processes"],
        figures="\n".join(f"| {name} | {value:.4g} |" for name, value in figures.items() if name != "n"),
        guess=1 / figures["n"],
        config=json.dumps(about["config"], indent=1),
        sha=about["data_sha256"],
        versions=", ".join(f"{name} {number}" for name, number in about["versions"].items()),
        licence=strictest_licence([part["licence"] for part in parts.values()]),
    )
