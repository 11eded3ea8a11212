"""The `miniraft` program itself: exit codes, outputs, speed of --help."""

import json
import os
import pty
import signal
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import pytest

from tests.support.free_ports import free_base_port


def run(*words, **environment):
    return subprocess.run(
        [sys.executable, "-m", "miniraft", *words],
        capture_output=True,
        text=True,
        timeout=30,
        env={key: value for key, value in os.environ.items() if not key.startswith("ETCD_")} | environment,
    )


def last_event(result):
    return json.loads(result.stderr.splitlines()[-1])


def test_version_is_etcds_four_lines():
    for words in (["--version"], ["-version"], ["--version=true", "stray"]):
        result = run(*words)
        assert result.returncode == 0
        lines = result.stdout.splitlines()
        assert [line.partition(":")[0] for line in lines] == [
            "etcd Version",
            "Git SHA",
            "Go Version",
            "Go OS/Arch",
        ]
        assert [int(part) for part in lines[0].removeprefix("etcd Version: ").split(".")]


def test_help_names_every_section_and_flag():
    result = run("--help")
    assert result.returncode == 0
    for words in ("Member:", "Security:", "--listen-client-urls 'http://localhost:2379'", "'${name}.etcd'"):
        assert words in result.stdout
    assert run("-h").stdout == result.stdout


def test_help_and_version_do_not_load_the_server():
    script = (
        "import sys\n"
        "from miniraft.__main__ import main\n"
        "main(['--help'])\n"
        "heavy = {'grpc', 'lmdb', 'cryptography', 'uvloop', 'google.protobuf', 'yaml', 'click'}\n"
        "sys.exit(len(heavy & set(sys.modules)))\n"
    )
    assert subprocess.run([sys.executable, "-c", script], capture_output=True, timeout=30).returncode == 0


def test_wrong_usage_exits_with_2_and_shows_the_usage():
    result = run("--nosuch")
    assert result.returncode == 2
    assert result.stderr.startswith("flag provided but not defined: -nosuch")
    assert "Usage:" in result.stderr
    assert run("--snapshot-count=x").returncode == 2


@pytest.mark.parametrize(
    ("words", "error"),
    [
        (["--client-cert-auth", "true"], '"true" is not a valid flag'),
        (["--election-timeout=200"], "should be at least as 5 times"),
        (["--config-file=/nonexistent"], "open /nonexistent: no such file or directory"),
        (["--log-outputs=/nonexistent/x.log"], "cannot open the log file /nonexistent/x.log"),
    ],
)
def test_a_refused_configuration_exits_with_1_and_etcds_log_line(words, error):
    result = run(*words)
    assert result.returncode == 1
    found = last_event(result)
    assert found["msg"] == "failed to verify flags"
    assert error in found["error"]
    assert found["fix"]


def test_a_flag_and_its_variable_exit_with_1():
    result = run("--name=a", ETCD_NAME="b")
    assert result.returncode == 1
    assert "shadowed by corresponding command-line flag" in last_event(result)["error"]


def test_etcds_other_programs_are_answered():
    result = run("grpc-proxy", "start")
    assert result.returncode == 1
    assert "miniraft gateway" in result.stderr


def test_on_a_terminal_the_reason_comes_as_sentences():
    main, side = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "miniraft", "--client-cert-auth", "true"], stderr=side, stdin=side
    )
    os.close(side)
    assert process.wait(30) == 1
    written = os.read(main, 4096).decode()
    os.close(main)
    assert written.splitlines() == [
        'miniraft: "true" is not a valid flag',
        "  write a truth value after an equals sign, as in --client-cert-auth=true",
    ]


def test_one_member_serves_and_ends_when_told(tmp_path):
    base = free_base_port(2)
    file = tmp_path / "etcd.yaml"
    file.write_text(
        f"name: solo\n"
        f"listen-client-urls: http://127.0.0.1:{base}\n"
        f"advertise-client-urls: http://127.0.0.1:{base}\n"
        f"listen-peer-urls: http://127.0.0.1:{base + 1}\n"
        f"initial-advertise-peer-urls: http://127.0.0.1:{base + 1}\n"
        f"enable-pprof: true\n"
    )
    log = tmp_path / "log"
    with log.open("wb") as stderr:
        process = subprocess.Popen(
            [sys.executable, "-m", "miniraft", f"--config-file={file}"],
            stderr=stderr,
            cwd=tmp_path,
            env=os.environ | {"PYTHONPATH": str(Path(__file__).parents[2])},
        )
    try:
        deadline = time.monotonic() + 30
        while "listening for client requests on" not in log.read_text():
            assert process.poll() is None, log.read_text()
            assert time.monotonic() < deadline
            time.sleep(0.05)
        request = urllib.request.Request(
            f"http://127.0.0.1:{base}/v3/kv/put", data=b'{"key": "YQ==", "value": "Yg=="}'
        )
        with urllib.request.urlopen(request, timeout=5) as response:
            assert json.load(response)["header"]["revision"] == "2"
        process.send_signal(signal.SIGTERM)
        assert process.wait(20) == 0
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()
    events = [json.loads(line) for line in log.read_text().splitlines()]
    assert (tmp_path / "solo.etcd" / "member").is_dir()
    assert events[0]["msg"] == "Running: "
    assert any(event.get("flag") == "--enable-pprof" and event["level"] == "warn" for event in events)
    assert any(event["msg"] == "ready to serve client requests" for event in events)
