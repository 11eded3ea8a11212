"""Flags, variables, help and the manners of the command line."""

import signal
import subprocess
import sys
import time

import pytest

from etcdctl_py.cli import ROOT
from etcdctl_py.command import Command, Group
from etcdctl_py.options import GLOBAL_FLAGS
from tests.support.etcdctl import ROOT as REPOSITORY
from tests.support.etcdctl import run_ours, run_process, run_real, without_program_name


def commands(group=ROOT, path=()):
    """Every command with the words that lead to it."""
    for name in group.list_commands():
        child = group.get_command(None, name)
        if isinstance(child, Group):
            yield from commands(child, (*path, name))
        else:
            yield (*path, name), child


@pytest.mark.parametrize(
    "words",
    [
        ("get", "k", "-wjson"),
        ("get", "k", "-w=json"),
        ("-w", "json", "get", "k"),
        ("get", "--write-out=json", "k"),
        ("ge", "k"),
        ("g", "k"),
        ("--rev", "1", "get", "k"),
        ("get", "--rev=0x1", "k"),
        ("get", "--limit", "1", "--", "k"),
        ("get", "--", "--prefix"),
        ("endp", "hashkv"),
        ("member", "l"),
        ("get", "k", "--prefix=T"),
        ("get", "k", "--prefix=false"),
        ("get", "k", "--endpoints", "127.0.0.1:1"),
        ("get", "k", "--keepalive-time=1s", "--keepalive-timeout", "1m0.5s", "--insecure-transport"),
    ],
    ids=" ".join,
)
def test_flags_are_read_alike(server, words):
    run_real("--endpoints", server, "put", "k", "v")
    real = run_real("--endpoints", server, *words)
    ours = run_ours("--endpoints", server, *words)
    assert (ours.out, ours.code) == (real.out, real.code)
    assert ours.code == 0


@pytest.mark.parametrize(
    "words",
    [
        ("foo",),
        ("put", "--nope", "a"),
        ("put", "--nope=1", "a"),
        ("get", "-z"),
        ("get", "-wz", "-hz"),
        ("get", "-w"),
        ("get", "--limit"),
        ("get", "--limit=x", "a"),
        ("get", "--limit=99999999999999999999", "a"),
        ("get", "--rev", "1_0_", "a"),
        ("get", "--prefix=x", "a"),
        ("get", "--=x"),
        ("get", "---x"),
        ("get", "a", "--dial-timeout=5"),
        ("get", "a", "--dial-timeout=5s2"),
        ("get", "a", "--dial-timeout=x"),
        ("get", "a", "--dial-timeout=5x"),
        ("get", "a", "--dial-timeout="),
        ("get", "a", "--endpoints"),
        ("get", "a", "--endpoints="),
        ("get", "a", "--cert="),
        ("get", "a", "--cert=x"),
        ("get", "a", "--key=x"),
        ("get", "a", "--cacert="),
        ("get", "a", "--cacert=/nowhere/ca.pem"),
        ("--version",),
        ("--help=x",),
    ],
    ids=" ".join,
)
def test_bad_command_lines_end_in_the_same_line(words):
    real = run_real(*words)
    ours = run_ours(*words)
    assert ours.code == real.code
    assert without_program_name(ours.last_error) == real.last_error


def test_an_ambiguous_beginning_is_no_command():
    ours = run_ours("c")
    assert ours.code == 1
    assert "completion" in ours.error_text
    assert ours.last_error == 'Error: unknown command "c" for "etcdctl-py"'


def test_an_unknown_sub_command_is_an_error():
    ours = run_ours("member", "lst")
    assert ours.code == 1
    assert "Did you mean list?" in ours.error_text


def test_a_misspelt_flag_is_guessed():
    assert "Did you mean --prefix?" in run_ours("get", "--prefx", "a").error_text


@pytest.mark.parametrize(
    ("path", "command"),
    list(commands()),
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
def test_every_command_has_help_that_names_its_flags(path, command):
    ours = run_ours(*path, "--help")
    assert ours.code == 0
    assert ours.out == run_ours("help", *path).out
    shown = ours.out.decode()
    assert isinstance(command, Command)
    for flag in command.flags:
        assert f"--{flag.long}" in shown
        assert flag.help
    assert command.summary in run_ours("--help").out.decode()


def test_options_lists_the_global_flags():
    shown = run_ours("options").out.decode()
    assert all(f"--{flag.long}" in shown for flag in GLOBAL_FLAGS)


def test_the_program_alone_shows_help():
    assert run_ours().out == run_ours("--help").out == run_ours("help").out
    assert run_ours("member").out == run_ours("member", "-h").out


def test_the_version_is_the_interfaces():
    from miniraft.version import API_VERSION, SERVER_VERSION

    assert (
        run_ours("version").out.decode() == f"etcdctl version: {SERVER_VERSION}\nAPI version: {API_VERSION}\n"
    )


# --- variables ---


def test_variables_stand_for_flags(server):
    environment = {"ETCDCTL_ENDPOINTS": f"http://{server}", "ETCDCTL_WRITE_OUT": "json", "ETCDCTL_API": "3"}
    real = run_real("get", "k", environment=environment)
    ours = run_ours("get", "k", environment=environment)
    assert (ours.out, ours.err) == (real.out, b"")


def test_a_flag_and_its_variable_together_are_refused(server):
    environment = {"ETCDCTL_ENDPOINTS": server}
    assert run_real("get", "k", "--endpoints", server, environment=environment).code == 1
    ours = run_ours("get", "k", "--endpoints", server, environment=environment)
    assert ours.code == 1
    assert "ETCDCTL_ENDPOINTS" in ours.last_error
    assert "--endpoints" in ours.last_error


def test_an_unknown_variable_is_named_and_passed_over(server):
    ours = run_ours("get", "k", "--endpoints", server, environment={"ETCDCTL_ENDPOINT": "x"})
    assert ours.code == 0
    assert "ETCDCTL_ENDPOINT " in ours.error_text


def test_a_bad_value_in_a_variable_is_named_and_passed_over(server):
    ours = run_ours("get", "k", "--endpoints", server, environment={"ETCDCTL_HEX": "yes"})
    assert ours.code == 0
    assert "ETCDCTL_HEX" in ours.error_text


def test_version_two_of_the_api_is_explained():
    ours = run_ours("ls", environment={"ETCDCTL_API": "2"})
    assert ours.code == 1
    ours = run_ours("get", "k", environment={"ETCDCTL_API": "2"})
    assert ours.code == 1
    assert "--prefix --keys-only" in ours.error_text


def test_debug_shows_settings_but_no_secret(server):
    ours = run_ours("--endpoints", server, "get", "k", "--debug", "--user", "root:geheim")
    assert "ETCDCTL_DIAL_TIMEOUT=2s" in ours.error_text
    assert f"ETCDCTL_ENDPOINTS=[{server}]" in ours.error_text
    assert "geheim" not in ours.error_text


def test_discovery_is_explained():
    ours = run_ours("get", "k", "--discovery-srv", "example.org")
    assert ours.code == 1
    assert "SRV" in ours.error_text


# --- completion ---


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish", "powershell"])
def test_completion_scripts(shell):
    assert b"__complete" in run_ours("completion", shell).out


@pytest.mark.parametrize(
    ("words", "offered"),
    [
        (("ge",), ["get"]),
        (("endpoint", ""), ["hashkv", "health", "status"]),
        (("get", "--pri"), ["--print-value-only"]),
        (("--endpoints", "x", "member", "l"), ["list"]),
        (("endpoint", "health", "--clu"), ["--cluster"]),
        (("get", ""), []),
    ],
)
def test_what_completion_offers(words, offered):
    lines = run_ours("__complete", *words).out.decode().splitlines()
    assert [line.split("\t")[0] for line in lines] == offered


@pytest.mark.skipif(not __import__("shutil").which("bash"), reason="bash is not installed")
def test_bash_accepts_its_script():
    done = subprocess.run(["bash", "-n"], input=run_ours("completion", "bash").out, capture_output=True)
    assert done.stderr == b""


# --- as a process ---


def test_a_reader_that_leaves_is_no_error(server):
    for index in range(3):
        run_ours("--endpoints", server, "put", f"pipe/{index}", stdin=b"x" * 200_000)
    process = subprocess.Popen(
        [sys.executable, "-m", "etcdctl_py", "--endpoints", server, "get", "pipe/", "--prefix"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        cwd=REPOSITORY,
    )
    process.stdout.read(10)
    process.stdout.close()
    assert process.stderr.read() == b""
    process.stderr.close()
    process.wait(10)


def test_bytes_pass_through_the_process(server):
    key = b"bytes/\xff\xfe"
    assert run_process("--endpoints", server, "put", key, stdin=b"\x00\xff\n").code == 0
    assert run_process("--endpoints", server, "get", key).out == key + b"\n\x00\xff\n\n"


def test_an_interrupt_ends_quietly_with_130(tmp_path):
    import socket

    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        address = f"127.0.0.1:{listener.getsockname()[1]}"
        process = subprocess.Popen(
            [sys.executable, "-m", "etcdctl_py", "--endpoints", address, "get", "k"],
            stderr=subprocess.PIPE,
            cwd=REPOSITORY,
        )
        listener.settimeout(10)
        connection, _ = listener.accept()
        connection.settimeout(10)
        connection.recv(100)
        time.sleep(0.05)
        process.send_signal(signal.SIGINT)
        assert process.wait(10) == 130
        assert process.stderr.read() == b""
        process.stderr.close()
        connection.close()


def test_help_needs_no_http_client():
    script = "import sys; from etcdctl_py.cli import run; from etcdctl_py.console import Console; import io;"
    script += "run(['get', '--help'], Console(io.BytesIO(), io.BytesIO(), io.BytesIO(), {}));"
    script += "sys.exit('aiohttp' in sys.modules or 'asyncio' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", script], cwd=REPOSITORY).returncode == 0


def test_nothing_but_the_messages_is_used_of_the_server():
    import ast

    for path in (REPOSITORY / "etcdctl_py").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            assert not any(
                name.startswith("miniraft") and not name.startswith("miniraft.pb") for name in names
            ), path


def test_a_full_disk_is_named(server):
    with open("/dev/full", "wb") as full:  # noqa: PTH123 (a device)
        process = subprocess.run(
            [sys.executable, "-m", "etcdctl_py", "version"],
            stdout=full,
            stderr=subprocess.PIPE,
            cwd=REPOSITORY,
        )
    assert process.returncode == 1
    assert process.stderr == b"Error: No space left on device\n"


def test_closed_standard_streams_do_no_harm():
    script = f"{sys.executable} -m etcdctl_py version >&- 2>&- <&-"
    assert subprocess.run(["sh", "-c", script], cwd=REPOSITORY).returncode == 0
