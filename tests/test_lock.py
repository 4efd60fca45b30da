"""The lock of a folder, and the package, on a system without POSIX's fcntl."""

import errno
import os
import subprocess
import sys
from fractions import Fraction
from pathlib import Path
from types import SimpleNamespace

import pytest
import soundfile

from echoframe import lock
from echoframe.errors import InputError
from echoframe.lock import exclusive_lock
from planted_video import write_video
from tiny_bundles import write_tiny_mini

POSIX_ONLY = ("fcntl", "resource", "pwd", "grp", "termios", "tty", "pty")
WITHOUT = f"import sys\nfor name in {POSIX_ONLY}:\n    sys.modules[name] = None\n"


def test_a_lock_is_for_one_and_free_afterwards(tmp_path):
    for _ in range(2):
        with exclusive_lock(tmp_path / "new", "echoframe train"):
            words = rf"new: in use by echoframe train \(process {os.getpid()} on .*\); wait for it, or stop it"
            with pytest.raises(InputError, match=words), exclusive_lock(tmp_path / "new", "another"):
                pass


def test_a_lock_goes_with_its_process(tmp_path):
    code = (
        "import os\nfrom pathlib import Path\nfrom echoframe.lock import exclusive_lock\n"
        f"exclusive_lock(Path({str(tmp_path)!r}), 'x').__enter__()\nos._exit(9)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 9
    with exclusive_lock(tmp_path, "y"):
        assert '"what": "y"' in (tmp_path / ".lock").read_text()


def test_the_lock_of_windows_is_asked_for_a_byte_that_holds_no_words(tmp_path, monkeypatch):
    """A stand-in for msvcrt that knows who holds which byte: Windows itself is not here."""
    held: set[tuple[int, int]] = set()

    def locking(number: int, mode: int, n_bytes: int) -> None:
        assert (mode, n_bytes) == (2, 1)
        place = (os.fstat(number).st_ino, os.lseek(number, 0, os.SEEK_CUR))
        if place in held:
            raise PermissionError(errno.EACCES, "Permission denied")
        held.add(place)

    modules = {"msvcrt": SimpleNamespace(locking=locking, LK_NBLCK=2)}
    monkeypatch.setattr(lock, "_module", modules.get)
    with exclusive_lock(tmp_path, "first"):
        assert {byte for _, byte in held} == {1 << 30}
        assert (tmp_path / ".lock").stat().st_size < 300
        with pytest.raises(InputError, match="in use by first"), exclusive_lock(tmp_path, "second"):
            pass
    monkeypatch.setattr(lock, "_module", {}.get)
    with pytest.raises(InputError, match="cannot be locked on this system"), exclusive_lock(tmp_path, "third"):
        pass


def test_everything_can_be_imported_and_a_video_gets_its_sound_without_posix_modules(tmp_path):
    write_tiny_mini(tmp_path / "tiny")
    write_video(tmp_path / "one.mp4", n_frames=10, rate=Fraction(10))
    code = (
        "from types import SimpleNamespace\n"
        "from echoframe import lock, output\nfrom echoframe.apps import data, generate, models\n"
        "from echoframe.apps.cli import main\n"
        "sys.modules['msvcrt'] = SimpleNamespace(locking=lambda *_: None, LK_NBLCK=2)\n"
        f"sys.exit(main(['generate', {str(tmp_path / 'one.mp4')!r}, '-o', {str(tmp_path / 'out')!r}, "
        f"'--model', {str(tmp_path / 'tiny')!r}, '--duration', '0.3']))"
    )
    subprocess.run([sys.executable, "-c", WITHOUT + code], check=True)
    assert soundfile.info(tmp_path / "out" / "one.wav").frames == 4800


def test_only_the_lock_knows_posix():
    source = Path(lock.__file__).parent
    named = {path.name for path in source.rglob("*.py") if "fcntl" in path.read_text(encoding="utf-8")}
    assert named == {"lock.py"}
