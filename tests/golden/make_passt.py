"""Makes passt.npz, the bands of torchaudio's Kaldi that PaSST hears through: python tests/golden/make_passt.py

Made with torchaudio 2.11.0, of which only compliance/kaldi.py is used.
"""

from pathlib import Path

import numpy as np

FILE = Path(__file__).with_name("passt.npz")


def main() -> None:
    from torchaudio.compliance.kaldi import get_mel_banks  # type: ignore

    bands, _ = get_mel_banks(128, 1024, 32_000.0, 0.0, 15_000.0, 100.0, -500.0, 1.0)
    np.savez_compressed(FILE, bands=bands.numpy())  # (128, 512)


if __name__ == "__main__":
    main()
