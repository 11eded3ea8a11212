"""None of the correctness regressions of etcd that are to be kept out is without a test."""

from pathlib import Path

import pytest

TESTS = Path(__file__).resolve().parent.parent
REGRESSIONS = {
    13766: "data inconsistency after a crash under load",
    14370: "a single member loses an acknowledged write",
    14571: "data differs between members after authentication was enabled",
    14685: "inconsistency after a crash while defragmenting",
    15220: "a watch's progress is told ahead of its events",
    15271: "a watch goes back in time after a partition",
    17247: "a watch delivers an event twice",
    17529: "a watch starves",
    17780: "the revision drops after a crash while compacting",
    18089: "a watch misses a delete at the compact revision",
    18667: "a compacted read in a transaction applies a part of it",
    19179: "a delete is lost at compaction",
    20221: "a watch from a revision to come delivers older events",
}


@pytest.fixture(scope="module")
def sources():
    files = (file for file in TESTS.rglob("test_*.py") if file != Path(__file__).resolve())
    return "\n".join(file.read_text() for file in files)


@pytest.mark.parametrize("number", REGRESSIONS)
def test_a_test_names(sources, number):
    assert str(number) in sources, f"no test names etcd#{number}: {REGRESSIONS[number]}"
