"""The words of the command: help, defaults, examples, mistakes, completion, JSON lines."""

import json
import shlex
import shutil
import subprocess
import sys
from fractions import Fraction
from pathlib import Path

import pytest

from echoframe.apps import cli
from echoframe.apps.cli import build_parser
from echoframe.apps.completion import SCRIPTS, walk
from echoframe.apps.examples import EXAMPLES, EXIT_CODES
from planted_video import write_video
from tiny_bundles import write_tiny_mini

PARSERS = {parser.prog: parser for parser in walk(build_parser())}
EXAMPLE_LINES = [line for lines in EXAMPLES.values() for line in lines]


@pytest.fixture(scope="session")
def bundle(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("bundle") / "tiny"
    write_tiny_mini(path)
    return path


@pytest.fixture
def film(tmp_path) -> Path:
    write_video(tmp_path / "one.mp4", n_frames=10, rate=Fraction(10))
    return tmp_path / "one.mp4"


def run(*args: object) -> int:
    return cli.main([str(arg) for arg in args])


def complaint(capsys: pytest.CaptureFixture[str], *args: str) -> str:
    with pytest.raises(SystemExit) as stop:
        build_parser().parse_args(args)
    assert stop.value.code == 2
    (line,) = capsys.readouterr().err.splitlines()
    return line


@pytest.mark.parametrize("prog", PARSERS)
def test_help_says_defaults_examples_and_exit_codes(prog):
    parser = PARSERS[prog]
    text = parser.format_help()
    assert EXIT_CODES in text
    assert all(f"  echoframe {example}\n" in text for example in EXAMPLES[prog])
    assert not parser.allow_abbrev
    flat = " ".join(text.split())
    for action in parser._actions:
        assert action.help or parser.commands, action
        assert not (action.help or "").endswith("]"), action.help
        if action.option_strings and type(action.default) in (int, float):
            assert f"(default: {action.default})" in flat


def test_every_command_has_examples():
    assert EXAMPLES.keys() == PARSERS.keys()


@pytest.mark.parametrize("line", EXAMPLE_LINES)
def test_examples_are_understood(line):
    words = shlex.split(line.partition(" > ")[0])
    if words[-1] == "--help":
        words.pop()
    args = build_parser().parse_args(words)
    assert args.command == words[0]


def test_a_wrong_word_brings_the_right_one(capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "clip.mp4").touch()
    (tmp_path / "-o.mp4").touch()
    for args, words in (
        (["genrate"], 'echoframe: no such command "genrate" (did you mean generate or rate?); see echoframe --help'),
        (["frobnicate"], 'no such command "frobnicate" (commands: generate, web, look, cues, models, data, '),
        (
            ["clip.mp4"],
            '"clip.mp4" is a file or a folder, expected a command (did you mean echoframe generate clip.mp4?)',
        ),
        (["data", "verfy"], 'data: no such command "verfy" (did you mean verify?); see echoframe data --help'),
        (["data", "verify", "x", "--worker", "3"], "(did you mean --workers?); see echoframe data verify --help"),
        (["data", "--quiet", "verify", "x"], "echoframe data: no such option --quiet; see echoframe data --help"),
        (["generate", "clip.mp4", "--dur=3"], "no such option --dur (did you mean --duration?)"),
        (["generate", "clip.mp4", "-x"], "no such option -x; see"),
        (["generate", "-o.mp4"], "-o.mp4: a name that begins with a dash reads as an option; write ./-o.mp4"),
        (["--verbose", "generate"], "echoframe: no such option --verbose; see echoframe --help"),
        (["data"], "echoframe data: the following arguments are required: COMMAND; see echoframe data --help"),
        (["completion", "tcsh"], "invalid choice: 'tcsh'"),
    ):
        assert words in complaint(capsys, *args)


def test_what_looks_like_an_option_and_is_none_passes():
    args = build_parser().parse_args(["generate", "-ofolder", "--loudness", "-40", "--", "-1pRmoJIGQc.mp4"])
    assert (args.out, args.loudness_lufs, args.inputs) == ("folder", -40.0, ["-1pRmoJIGQc.mp4"])
    assert build_parser().parse_args(["generate", "-my film.mp4", "-"]).inputs == ["-my film.mp4", "-"]


def test_a_new_folder_is_made_and_json_lines_tell_all(bundle, film, capsys):
    out = film.parent / "new" / "v0.5"
    command = ["generate", film, "--model", bundle, "--duration", 0.3, "--no-mux", "--json", "--quiet"]
    assert run(*command, "-o", f"{out}/") == 0
    (line,) = capsys.readouterr().out.splitlines()
    made = json.loads(line)
    assert made["clip"] == str(film)
    assert made["files"] == [str(out / "one.wav"), str(out / "one.wav.json")]
    assert (made["status"], made["duration_s"], made["model"], made["seed"]) == ("made", 0.3, "tiny-mini 0.1", 0)
    assert made["seconds"] > 0
    assert isinstance(made["nearest"], dict)
    assert run(*command, "-o", out) == 0  # it is there now, whatever its suffix
    assert json.loads(capsys.readouterr().out)["status"] == "kept"
    assert run("generate", "--from", out / "one.wav.json", "-o", out / "deep" / "a.flac", "--json") == 0
    assert json.loads(capsys.readouterr().out)["status"] == "remade"


def test_json_lines_tell_of_failures_and_quiet_is_quiet(bundle, film, tmp_path, capsys):
    (tmp_path / "bad.mp4").write_text("no film")
    command = ["generate", film, tmp_path / "bad.mp4", "-o", tmp_path / "out", "--model", bundle, "--duration", 0.3]
    assert run(*command, "--json") == 1
    good, bad = map(json.loads, capsys.readouterr().out.splitlines())
    assert (good["status"], bad["status"]) == ("made", "failed")
    assert "bad.mp4: " in bad["error"]
    assert run(*command, "--quiet") == 1
    out, err = capsys.readouterr()
    assert out == ""
    assert "1 of 2 clips done, 1 failed" in err
    assert run(*command[:2], *command[3:], "--quiet") == 0
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize("shell", SCRIPTS)
def test_a_shell_completes_commands_options_and_values(shell, capsys, tmp_path):
    assert run("completion", shell) == 0
    script = tmp_path / "script"
    script.write_text(capsys.readouterr().out)
    if shutil.which(shell) is None:
        pytest.skip(f"no {shell} on this machine")
    subprocess.run([shell, "-n", script], check=True)
    if shell == "zsh":
        return  # its completion runs in a terminal only
    for line, wanted in (
        ("echoframe gen", ["generate"]),
        ("echoframe data ver", ["verify"]),
        ("echoframe generate --see", ["--seed", "--seeds"]),
        ("echoframe compare --split ", ["test", "val"]),
        ("echoframe completion z", ["zsh"]),
        ("echoframe data verify --wor", ["--workers"]),
    ):
        assert _completed(shell, script, line) == wanted, line


def _completed(shell: str, script: Path, line: str) -> list[str]:
    if shell == "fish":
        code = f"source {script}; complete -C {shlex.quote(line)}"
    else:
        words = line.split(" ")
        code = (
            f"source {script}; COMP_WORDS=({' '.join(map(shlex.quote, words))}); COMP_CWORD={len(words) - 1}; "
            "_echoframe; printf '%s\\n' \"${COMPREPLY[@]}\""
        )
    done = subprocess.run([shell, "-c", code], check=True, capture_output=True, text=True)
    return sorted(found.split("\t")[0] for found in done.stdout.splitlines())


def test_help_imports_argparse_alone():
    code = (
        "import sys\nfrom echoframe.apps.cli import main\n"
        "try:\n    main(['--help'])\nexcept SystemExit:\n    pass\n"
        "heavy = {'dataclasses', 'inspect', 'pathlib', 'typing', 'torch', 'numpy'} & set(sys.modules)\n"
        "sys.exit(f'imported {heavy}' if heavy else 0)"
    )
    subprocess.run([sys.executable, "-S", "-c", code], check=True, stdout=subprocess.DEVNULL, env=_env())


def _env() -> dict[str, str]:
    return {"PYTHONPATH": str(Path(cli.__file__).parents[2])}
