"""Bars for those who wait at a terminal, and nothing for scripts."""

import sys

from tests.support.etcdctl import run_ours, run_process
from tests.support.terminal import Terminal


def test_saving_a_snapshot_shows_a_bar_on_a_terminal_only(server, tmp_path):
    run_ours("--endpoints", server, "put", "k", "v" * 100_000)
    command = ("--endpoints", server, "snapshot", "save")
    with Terminal(sys.executable, "-m", "etcdctl_py", *command, str(tmp_path / "seen")) as terminal:
        terminal.expect("Saving")
        terminal.expect("100%")
        terminal.expect("Snapshot saved at")
        assert terminal.finish() == 0
    unseen = run_process(*command, str(tmp_path / "unseen"))
    assert unseen.out.startswith(b"Snapshot saved at ")
    assert unseen.err == b""
