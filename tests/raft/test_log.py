"""The log against a plain list of entries, and what it refuses."""

from __future__ import annotations

import random

import pytest

from miniraft.raft.entry import Entry, entry_size_bytes
from miniraft.raft.invariant import InvariantViolation
from miniraft.raft.log import RaftLog
from tests.raft.harness import entries_of


def random_log(generator):
    """A log that was appended to, truncated and compacted, and the entries that it should hold."""
    log, model, compacted = RaftLog(0, 0), [], (0, 0)
    for _ in range(generator.randint(1, 12)):
        action = generator.choice(["append", "append", "truncate", "compact"])
        if action == "append":
            term = log.last_term + generator.choice([0, 0, 1, 3])
            first, count = log.last_index + 1, generator.randint(1, 5)
            new = [Entry(term, first + at, 0, bytes(generator.randint(0, 40))) for at in range(count)]
            log.append(new)
            model += new
        elif action == "truncate":
            last = generator.randint(log.committed, log.last_index)
            log.truncate(last)
            model = [entry for entry in model if entry.index <= last]
        else:
            index = generator.randint(log.committed, log.last_index)
            log.commit_to(index)
            log.delivered = index
            log.mark_applied(index)
            compacted = (index, log.term(index))
            log.compact(index)
            model = [entry for entry in model if entry.index > index]
    return log, model, compacted


@pytest.mark.parametrize("seed", range(200))
def test_it_behaves_like_a_list(seed):
    generator = random.Random(seed)
    log, model, (compacted_index, compacted_term) = random_log(generator)
    last = model[-1].index if model else compacted_index
    assert (log.first_index, log.last_index) == (compacted_index + 1, last)
    terms = {entry.index: entry.term for entry in model} | {compacted_index: compacted_term}
    for index in range(last + 3):
        assert log.term(index) == terms.get(index)
    for index in range(compacted_index, last + 1):
        for term in range(log.last_term + 2):
            at_most = [at for at, known in terms.items() if at <= index and known <= term]
            expected = max(
                at_most, default=compacted_index if index == compacted_index else compacted_index - 1
            )
            assert log.last_with_term_at_most(index, term) == expected
    for position, entry in enumerate(model):
        limit = generator.randint(1, 300)
        size, fits = 0, entry.index
        for other in model[position:]:
            size += entry_size_bytes(other)
            if size <= limit:
                fits = other.index
        assert log.last_within(entry.index, limit) == fits
        assert log.size_bytes(entry.index - 1, fits) == sum(
            entry_size_bytes(other) for other in model if entry.index <= other.index <= fits
        )
        assert log.slice(entry.index, fits) == model[position : position + fits - entry.index + 1]


def test_a_slice_is_made_once_but_not_kept_over_a_truncation():
    log = RaftLog(0, 0)
    log.append(entries_of(1, 1, 1))
    assert log.slice(1, 3) is log.slice(1, 3)
    log.slice(2, 3)
    log.truncate(1)
    log.append(entries_of(2, 2, first=2))
    assert [entry.term for entry in log.slice(2, 3)] == [2, 2]


def test_committed_entries_are_not_removed():
    log = RaftLog(0, 0)
    log.append(entries_of(1, 1, 1))
    log.commit_to(2)
    with pytest.raises(InvariantViolation, match="entry 2 is to be removed, committed is 2"):
        log.truncate(1)


@pytest.mark.parametrize("entries", [entries_of(1, first=3), entries_of(1, first=1), entries_of(0, first=2)])
def test_entries_that_do_not_follow_are_refused(entries):
    log = RaftLog(0, 0)
    log.append(entries_of(1))
    with pytest.raises(InvariantViolation, match="appended behind 1 of term 1"):
        log.append(entries)


def test_what_is_not_there_is_not_handed_out_and_not_committed():
    log = RaftLog(5, 1)
    log.append(entries_of(1, 1, first=6))
    for first, last in ((5, 6), (6, 8)):
        with pytest.raises(InvariantViolation, match=r"the log holds 6\.\.7"):
            log.slice(first, last)
    with pytest.raises(InvariantViolation, match="beyond the log's end 7"):
        log.commit_to(8)
