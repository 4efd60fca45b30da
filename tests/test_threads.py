"""The command has torch's threads wait briefly, unless a user says how they shall."""

import os
import subprocess
import sys

import pytest

from echoframe.apps.threads import SPINS, wait_briefly


@pytest.mark.parametrize(
    ("given", "spins"),
    [({}, SPINS), ({"GOMP_SPINCOUNT": "7"}, "7"), ({"OMP_WAIT_POLICY": "ACTIVE"}, None)],
    ids=["nothing", "spins", "policy"],
)
def test_what_a_user_has_set_stays(given: dict[str, str], spins: str | None, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("GOMP_SPINCOUNT", "OMP_WAIT_POLICY"):
        monkeypatch.setenv(name, "")  # restored after the test
        del os.environ[name]
    os.environ.update(given)
    wait_briefly()
    assert os.environ.get("GOMP_SPINCOUNT") == spins


def test_the_command_says_it_before_torch_is_loaded() -> None:
    program = (
        "import os, sys; from echoframe.apps import cli; cli.main(['--version']); "
        "print(os.environ['GOMP_SPINCOUNT'], 'torch' in sys.modules)"
    )
    unset = {name: value for name, value in os.environ.items() if name not in ("GOMP_SPINCOUNT", "OMP_WAIT_POLICY")}
    done = subprocess.run([sys.executable, "-c", program], env=unset, check=True, capture_output=True, text=True)
    assert done.stdout.split()[-2:] == [SPINS, "False"]
