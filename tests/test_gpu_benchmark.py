"""benchmarks/gpu.py at tiny size on the CPU: each result is a line, what is missing or too slow is one too, and it ends."""

import os
import re
import subprocess
import sys
import time
from dataclasses import replace
from importlib import import_module
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
FOLDERS = (ROOT / "benchmarks", ROOT / "recipes" / "mini")


@pytest.fixture
def gpu(monkeypatch):
    """The program, with time enough for each part on a busy machine."""
    before = set(sys.modules)
    for folder in FOLDERS:
        monkeypatch.syspath_prepend(str(folder))
    gpu = import_module("gpu")
    monkeypatch.setattr(gpu, "PARTS", {name: replace(part, most_s=600) for name, part in gpu.PARTS.items()})
    yield gpu
    for name in set(sys.modules) - before:
        if str(getattr(sys.modules[name], "__file__", "")).startswith(tuple(map(str, FOLDERS))):
            del sys.modules[name]


def measured(gpu, capsys, *names: str) -> list[str]:
    """The results of some parts, measured in this process."""
    gpu.measure(names, "cpu", 600, small=True)
    lines = capsys.readouterr().out.splitlines()
    assert [line for line in lines if line.startswith(gpu.BEGINS)] == [f"{gpu.BEGINS}{name}" for name in names]
    return [line for line in lines if not line.startswith("\x01")]


def test_encoders_and_training_say_how_fast_they_are(gpu, capsys):
    lines = measured(gpu, capsys, "clip", "clap", "films", "mapper", "flow")
    rates = [re.fullmatch(r"(.*): (?:.* s, )?([\d.]+) (?:clips|tokens) a second", line) for line in lines]
    assert all(found and float(found[2]) > 0 for found in rates), lines
    whats = [found[1] for found in rates if found]
    assert len(whats) == len(set(whats)) == 7
    assert "mapper transformer, an epoch over 512 x 8 x 32" in whats


def test_both_peers_make_clips_one_by_one_and_in_batches(gpu, capsys, monkeypatch):
    monkeypatch.setattr(import_module("gpu_parts.audioldm"), "DTYPES", ("float32",))  # a CPU's own
    lines = measured(gpu, capsys, "audioldm-s")
    wanted = [
        rf"AudioLDM-S, {name}, float32, batch {n}: \d+\.\d+ s a clip of 0.32 s in 2 steps"
        for name in ("EchoFrame", "diffusers' AudioLDMPipeline")
        for n in (1, 2)
    ]
    assert all(re.fullmatch(*pair) for pair in zip(wanted, lines, strict=True)), lines


@pytest.mark.slow
def test_networks_go_through_torch_compile(gpu, capsys, monkeypatch):
    monkeypatch.setattr(import_module("gpu_parts.audioldm"), "DTYPES", ("float32",))
    lines = measured(gpu, capsys, "audioldm-s-compiled", "flow-compiled")
    assert len(lines) == 3
    assert all(re.search(r"torch.compile.*, the first .* \d+ s$", line) for line in lines), lines


def test_a_case_that_fails_or_would_take_too_long_is_a_line(gpu, capsys):
    bench = import_module("gpu_parts.bench")
    torch = import_module("torch")

    def broken() -> None:
        raise RuntimeError("no kernel image\nand much more")

    here = bench.Bench(device=torch.device("cpu"), small=False, ends=time.monotonic() + 60)
    here.case("one", broken, broken, str, times=1)
    here.case("two", lambda: time.sleep(0.01), pytest.fail, str, times=1e6)
    here.case("three", lambda: None, lambda: time.sleep(0.02), lambda taken: f"{taken.seconds:.2f}", times=1)
    one, two, three = capsys.readouterr().out.splitlines()
    assert one == "one: failed (RuntimeError: no kernel image)"
    assert re.fullmatch(r"two: left out, as it would take \d{5,} s, and \d+ s are left", two)
    assert re.fullmatch(r"three: 0\.\d\d", three)


def test_parts_that_hang_or_die_are_ended_and_the_others_are_left(gpu, capsys, monkeypatch):
    monkeypatch.setattr(gpu, "GRACE_S", 0.1)
    monkeypatch.setitem(gpu.PARTS, "clip", replace(gpu.PARTS["clip"], most_s=0.1))
    hangs = f"import time; print('{gpu.WHERE}here\\n{gpu.BEGINS}clip', flush=True); time.sleep(60)"
    dies = f"import os; print('{gpu.BEGINS}clap\\na result', flush=True); os._exit(3)"
    whole = f"print('{gpu.BEGINS}films\\n{gpu.ENDS}films')"
    left = ["clip", "clap", "films", "flow"]
    for program in (hangs, dies, whole):
        with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True) as process:
            left = gpu.follow(process, left, time.monotonic() + 60, where=True)
            process.kill()
    assert capsys.readouterr().out.splitlines() == [
        "here",
        "clip: ended, as it took longer than its time; ask for it with --only clip",
        "a result",
        "clap: ended with exit code 3",
        "flow: ended with exit code 0",
    ]
    assert left == []


def test_what_is_not_installed_is_a_line_and_the_rest_is_measured(tmp_path):
    """As on a machine that has torch and transformers, and neither PyAV nor soundfile nor diffusers."""
    (tmp_path / "sitecustomize.py").write_text(
        "import sys\nsys.modules.update(dict.fromkeys(['av', 'diffusers', 'soundfile', 'soxr']))\n"
    )
    command = [sys.executable, ROOT / "benchmarks" / "gpu.py", "--small", "--device", "cpu", "--only"]
    parts = ["audioldm-s", "clap", "films", "clip", "flow"]
    done = subprocess.run(
        [*command, *parts], env=os.environ | {"PYTHONPATH": str(tmp_path)}, stdout=subprocess.PIPE, text=True
    )
    assert done.returncode == 0
    where, *lines = done.stdout.splitlines()
    assert where.startswith("cpu: ")
    assert lines[:3] == [
        "audioldm-s: left out, as diffusers and soundfile and soxr cannot be imported",
        "clap: left out, as soundfile and soxr cannot be imported",
        "films: left out, as av and soundfile and soxr cannot be imported",
    ]
    too_slow = "left out, as it would take .*"  # on a busy machine, which then has come as far as measuring
    assert re.fullmatch(rf"CLIP ViT-L/14, .*: ([\d.]+ clips a second|{too_slow})", lines[3])
    assert re.fullmatch(rf"mini's flow, training: (\d+ tokens a second|{too_slow})", lines[4])
