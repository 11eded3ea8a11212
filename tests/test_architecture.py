"""Imports go down only, and what decides does no I/O: read off the source, file by file."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = ROOT / "miniraft"

# What each room may import of miniraft. Everybody may import itself and what is free for all.
ALLOWED = {
    "pb": set(),
    "raft": set(),
    "tls": set(),
    "wal": {"raft"},
    "mvcc": {"pb"},
    "auth": {"mvcc", "pb"},  # of mvcc the store interface
    "server": {"raft", "wal", "mvcc", "auth", "pb"},
    "api": {"server", "mvcc", "auth", "pb"},
    "peer": {"raft", "pb", "tls"},
    "sim": {"server", "raft", "wal", "mvcc", "auth", "pb"},
    "discovery": {"server", "peer", "pb"},
}
FREE_FOR_ALL = {"errors", "histogram", "version"}

# Clocks, randomness, sockets, threads, processes and files: the rooms that decide have none.
DECIDING = ("raft", "mvcc", "auth", "server")
OUTSIDE_WORLD = {
    "asyncio", "concurrent", "datetime", "fcntl", "glob", "io", "multiprocessing", "os", "pathlib", "queue",
    "random", "sched", "secrets", "select", "selectors", "shutil", "signal", "socket", "socketserver", "ssl",
    "subprocess", "tempfile", "threading", "time", "uuid",
    "aiohttp", "grpc", "h2corn", "lmdb", "uvloop",
}  # fmt: skip
BUILTINS_OUTSIDE = {"open", "input", "print"}


def sources(room):
    return sorted((PACKAGE / room).rglob("*.py"))


def imports(path):
    """Yields (module, line, only for types) of every import of a file."""
    tree = ast.parse(path.read_text())
    for_types = {
        id(inner)
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and ast.unparse(node.test) in ("TYPE_CHECKING", "typing.TYPE_CHECKING")
        for inner in ast.walk(node)
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield alias.name, node.lineno, id(node) in for_types
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}:{node.lineno}: a relative import"
            module = node.module
            if module == "miniraft":
                for alias in node.names:
                    yield f"miniraft.{alias.name}", node.lineno, id(node) in for_types
            else:
                yield module, node.lineno, id(node) in for_types


def wrong_imports(room):
    allowed = ALLOWED[room] | {room} | (FREE_FOR_ALL if room != "raft" else set())
    for path in sources(room):
        for module, line, _ in imports(path):
            parts = module.split(".")
            if parts[0] == "miniraft" and len(parts) > 1 and parts[1] not in allowed:
                yield f"{path.relative_to(ROOT)}:{line} imports {module}"
            if parts[0] in ("etcdctl_py", "certs", "tests"):
                yield f"{path.relative_to(ROOT)}:{line} imports {module}"


@pytest.mark.parametrize("room", ALLOWED)
def test_imports_go_down_only(room):
    assert sources(room), f"there is no room {room}"
    assert list(wrong_imports(room)) == []


def test_the_command_line_client_stands_alone():
    for path in sorted((ROOT / "etcdctl_py").rglob("*.py")):
        for module, line, _ in imports(path):
            assert not module.startswith("miniraft") or module.startswith("miniraft.pb"), (
                f"{path}:{line} {module}"
            )


@pytest.mark.parametrize("room", DECIDING)
def test_what_decides_reaches_for_nothing_outside(room):
    found = []
    for path in sources(room):
        for module, line, for_types in imports(path):
            if module.split(".")[0] in OUTSIDE_WORLD and not for_types:
                found.append(f"{path.relative_to(ROOT)}:{line} imports {module}")
        for node in ast.walk(ast.parse(path.read_text())):
            if (
                isinstance(node, ast.Call)
                and isinstance(node.func, ast.Name)
                and node.func.id in BUILTINS_OUTSIDE
            ):
                found.append(f"{path.relative_to(ROOT)}:{node.lineno} calls {node.func.id}")
    assert found == []


@pytest.mark.parametrize("room", DECIDING)
def test_checks_survive_optimisation(room):
    """`assert` is gone under `python -O`; invariants raise."""
    for path in sources(room):
        for node in ast.walk(ast.parse(path.read_text())):
            assert not isinstance(node, ast.Assert), f"{path.relative_to(ROOT)}:{node.lineno}"


def test_a_wrong_import_would_be_seen(tmp_path, monkeypatch):
    room = tmp_path / "miniraft" / "raft"
    room.mkdir(parents=True)
    (room / "wrong.py").write_text("from miniraft.server.member import Member\nfrom miniraft import errors\n")
    monkeypatch.setitem(globals(), "PACKAGE", tmp_path / "miniraft")
    monkeypatch.setitem(globals(), "ROOT", tmp_path)
    assert [found.split(" imports ")[1] for found in wrong_imports("raft")] == [
        "miniraft.server.member",
        "miniraft.errors",
    ]
