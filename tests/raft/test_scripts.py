"""Every story in scripts/ comes out as written.

MINIRAFT_REWRITE_SCRIPTS=1 writes down what happens instead: read the difference before you
keep it.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.raft.story import Story

SCRIPTS = sorted((Path(__file__).parent / "scripts").glob("*.txt"))


def test_there_are_scripts():
    assert len(SCRIPTS) >= 12


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.stem)
def test_script(script):
    written = script.read_text(encoding="utf-8")
    happened = Story().run(written)
    if os.environ.get("MINIRAFT_REWRITE_SCRIPTS") == "1":
        script.write_text(happened, encoding="utf-8")
        return
    assert happened == written
