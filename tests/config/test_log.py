"""The log's two layouts, its outputs, and what it never does: raise."""

import io
import json
import logging
import re
from datetime import UTC, datetime

import pytest

from miniraft.runtime import log

RECORD = log.Record(
    datetime(2026, 1, 2, 3, 4, 5, 678901, tzinfo=UTC),
    "info",
    "raft",
    "raft/raft.py:10",
    "became leader",
    {"term": 4, "member_id": "8e9e", "peers": ("a", "b"), "note": "two words", "raw": b"\xff", "none": None},
)


@pytest.fixture(autouse=True)
def _restored():
    root = logging.getLogger()
    handlers = list(root.handlers)
    yield
    log.configure()
    root.handlers = handlers


class Terminal(io.StringIO):
    def isatty(self):
        return True


def test_json_is_laid_out_as_etcds():
    line = log.format_json(RECORD)
    assert line.endswith("\n")
    found = json.loads(line)
    assert list(found)[:5] == ["level", "ts", "logger", "caller", "msg"]
    assert found["ts"] == "2026-01-02T03:04:05.678901Z"
    assert found["member-id"] == "8e9e"
    assert found["peers"] == ["a", "b"]
    assert found["raw"] == "\ufffd"


def test_the_readable_form_is_one_line_of_key_value():
    line = log.format_console(RECORD)
    assert re.match(r"\d\d:\d\d:\d\d\.678 INFO  became leader term=4 member-id=8e9e ", line)
    assert 'note="two words"' in line
    assert "\x1b" not in line


def test_control_characters_never_reach_a_terminal():
    record = log.Record(RECORD.time, "warn", "", "x:1", "a\nb\x1b[2J", {"key": "\x1b]0;x\x07"})
    line = log.format_console(record)
    assert line.count("\n") == 1
    assert "\x1b" not in line
    assert "\x07" not in line


def test_colours_only_on_a_terminal(monkeypatch):
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("TERM", "xterm")
    for stream, coloured, as_json in ((Terminal(), True, False), (io.StringIO(), False, True)):
        monkeypatch.setattr("sys.stderr", stream)
        log.configure()
        log.event("info", "hello", logger="raft", term=1)
        written = stream.getvalue()
        assert ("\x1b[" in written) is coloured
        assert written.startswith("{") is as_json
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.setattr("sys.stderr", Terminal())
    log.configure()
    log.event("info", "hello")


def test_outputs_levels_and_the_caller(tmp_path, monkeypatch):
    stdout = io.StringIO()
    monkeypatch.setattr("sys.stdout", stdout)
    file = tmp_path / "x.log"
    log.configure("json", "warn", ["stdout", str(file), str(file)])
    log.event("info", "not written")
    log.event("warn", "written", data_dir="d")
    lines = file.read_text().splitlines()
    assert stdout.getvalue().splitlines() == lines
    assert len(lines) == 1
    found = json.loads(lines[0])
    assert found["data-dir"] == "d"
    assert re.fullmatch(r"config/test_log\.py:\d+", found["caller"])
    assert not log.enabled("info")
    assert log.enabled("fatal")


def test_what_pythons_logging_says_comes_out_too(tmp_path):
    file = tmp_path / "x.log"
    log.configure("json", "info", [str(file)])
    logging.getLogger("miniraft.listener").info("serving %s", "x")
    logging.getLogger("some.library").info("chatter")
    try:
        int("oops")
    except ValueError:
        logging.getLogger("some.library").exception("failed")
    first, second = map(json.loads, file.read_text().splitlines())
    assert first["msg"] == "serving x"
    assert (second["level"], second["error"]) == (
        "error",
        "ValueError: invalid literal for int() with base 10: 'oops'",
    )
    assert "Traceback" in second["stacktrace"]


def test_a_closed_or_broken_output_is_no_failure(tmp_path):
    file = tmp_path / "x.log"
    log.configure("json", "info", [str(file)])
    log._outputs[0].stream.close()
    log.event("info", "into the void")
    log.configure("json", "info", [str(file)])
    log.event("info", "lone surrogate \ud800", odd={1: {2, 3}})
    assert json.loads(file.read_text())["odd"] == {"1": [2, 3]}


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        (("xml",), ValueError),
        (("json", "loud"), ValueError),
        (("json", "info", ["/nonexistent/folder/x.log"]), OSError),
    ],
)
def test_what_cannot_be_configured_changes_nothing(tmp_path, arguments, error):
    file = tmp_path / "x.log"
    log.configure("json", "info", [str(file)])
    with pytest.raises(error):
        log.configure(*arguments)
    log.event("info", "still here")
    assert "still here" in file.read_text()


def test_the_level_changes_while_running(tmp_path):
    path = tmp_path / "level.log"
    log.configure("json", "info", [str(path)])
    logging.getLogger("miniraft.api").debug("not yet")
    log.set_level("debug")
    log.event("debug", "now")
    logging.getLogger("miniraft.api").debug("now too")
    log.set_level("fatal")
    log.event("error", "no more")
    logging.getLogger("miniraft.api").error("no more")
    with pytest.raises(KeyError):
        log.set_level("loud")
    written = [json.loads(line)["msg"] for line in path.read_text().splitlines()]
    assert written == ["changed the log level", "now", "now too", "changed the log level"]
