"""Every option is written once, and everything that uses options takes them from there."""

import argparse
import inspect
from dataclasses import MISSING, fields

import pytest

from echoframe.apps.cli import build_parser
from echoframe.apps.options import add_request, taken
from echoframe.errors import InputError
from echoframe.options import (
    REQUEST_FIELDS,
    WRITE_FIELDS,
    Request,
    RunOptions,
    SampleOptions,
    Settings,
    WriteOptions,
)
from echoframe.options.option import flag_of
from echoframe.pipeline import EchoFrame


def test_generate_takes_what_a_request_holds():
    parameters = inspect.signature(EchoFrame.generate).parameters
    asked = {each.name: None if each.default is MISSING else each.default for each in fields(Request)}
    # a library is an open one there, and its path in a request
    assert {name: parameters[name].default for name in asked} == asked | {"library": None}
    assert set(parameters) - set(asked) == {"self", "source", "frame_rate", "force", "progress"}


def test_a_record_holds_what_a_request_asks_for():
    assert {each.name for each in fields(Settings)} == {each.name for each in fields(Request)}
    assert {each.name for each in fields(SampleOptions)} < {each.name for each in fields(Settings)}


def test_the_command_has_a_flag_for_each_with_its_help_and_default(capsys):
    with pytest.raises(SystemExit):
        build_parser().parse_args(["generate", "--help"])
    shown = " ".join(capsys.readouterr().out.split())
    for option in [*REQUEST_FIELDS, *fields(RunOptions), *WRITE_FIELDS]:
        assert f"{flag_of(option)} {option.metadata['metavar']}" in shown
        assert f"{option.metadata['help']} (default: {option.metadata['default_text']})" in shown


def test_flags_become_a_request():
    parser = argparse.ArgumentParser()
    add_request(parser)
    assert taken(Request, parser.parse_args([])) == Request()
    args = parser.parse_args("--seed 3 --duration 2.5 --loudness off --guidance 4 --scheduler ddim".split())
    asked = taken(Request, args)
    assert asked == Request(seed=3, duration_s=2.5, loudness_lufs=None, guidance=4.0, scheduler="ddim")


def test_what_is_not_asked_for_is_the_models_own():
    own = SampleOptions(steps=7, guidance=3.0, scheduler="ddim")
    settled = Request(guidance=1.0, loudness_lufs=None).settle(own, duration_s=2.0)
    assert settled == Settings(
        seed=0, duration_s=2.0, candidates=1, steps=7, guidance=1.0, scheduler="ddim", whole=False, loudness_lufs=None
    )
    assert settled.sampling == SampleOptions(steps=7, guidance=1.0, scheduler="ddim")


@pytest.mark.parametrize(
    ("kind", "values", "words"),
    [
        (Request, {"seed": 2**63}, "seed 9223372036854775808: expected a whole number from 0 to 2"),
        (Request, {"loudness_lufs": 1.0}, "loudness 1.0 LUFS: expected -70 to 0; -23 is usual"),
        (Request, {"scheduler": "magic"}, 'scheduler "magic" is not known; choose one of ddim, '),
        (WriteOptions, {"sample_rate": 100}, "sample rate 100 Hz: expected 8000 to 192000; 48000 is usual"),
        (WriteOptions, {"channels": 6}, "channels 6: expected 1 or 2"),
        (RunOptions, {"batch_size": 9}, "batch size 9: expected 1 to 8"),
        (RunOptions, {"shard": "3/2"}, "shard 3/2: expected I/N with I from 1 to N, such as 1/4"),
        (WriteOptions, {"original_level_db": float("inf")}, "original level inf dB: expected decibels, such as -12"),
    ],
)
def test_what_is_out_of_range_is_told_at_once(kind, values, words):
    with pytest.raises(InputError, match=words):
        kind(**values)
