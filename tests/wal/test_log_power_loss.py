"""Power loss, kills and disk errors at any moment, in any mix: what was synced comes back.

The model is the list of states that recovery may return: what the last sync confirmed, and
each state that a record written since led to. Nothing else may come back.
"""

import contextlib
from typing import ClassVar

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    precondition,
    rule,
    run_state_machine_as_test,
)

from miniraft.raft.entry import Entry, EntryKind
from miniraft.raft.state import HardState, SnapshotMetadata
from miniraft.wal.interface import WalError
from miniraft.wal.payload import split_entries
from miniraft.wal.recovery import LogRefused
from miniraft.wal.wal import create_log, log_exists, open_log
from tests.support.lossy_disk import LossyDisk, PowerLost
from tests.wal.log_building import BOOTSTRAP, CONFIG, METADATA, LogState, entries, state_of

SEGMENT_BYTES = 3000
DATA = st.sampled_from(
    [b"", b"v", b"x" * 300, bytes(700), b"y" * 1400, bytes(1100) + b"z" + bytes(1100), b"w" * 5000]
)
FIRST_STATE = LogState(HardState(0, 0, 0), BOOTSTRAP, ())


class LogMachine(RuleBasedStateMachine):
    """A log on a LossyDisk beside the states it may be found in."""

    plant: ClassVar = {}

    @initialize(reserve=st.booleans())
    def begin(self, reserve):
        self.disk = LossyDisk(reserve=reserve, **self.plant)
        self.log = create_log(self.disk, METADATA, BOOTSTRAP, segment_bytes=SEGMENT_BYTES)
        self.states = [FIRST_STATE]
        self.term = 1

    # Writing ------------------------------------------------------------------------------
    def append(self, hard_state, new, snapshot):
        states = [self.states[-1]]
        if snapshot is not None:
            states.append(states[-1].with_snapshot(snapshot))
        if hard_state is not None:
            states.append(states[-1].with_hard_state(hard_state))
        if new:
            states += [states[-1].with_entries(run) for run in split_entries(new)]
        self.states += states[1:]
        self.log.append(hard_state, new, snapshot)

    def draw_append(self, data):
        state = self.states[-1]
        hard_state = snapshot = None
        if data.draw(st.integers(0, 4)) == 0:
            index = data.draw(st.integers(max(1, state.snapshot.index), state.last_index + 3))
            there = {entry.index: entry.term for entry in state.entries}
            term = there.get(index, self.term) + (data.draw(st.integers(0, 9)) == 0)
            self.term = max(self.term, term)
            snapshot = SnapshotMetadata(index, term, CONFIG)
            state = state.with_snapshot(snapshot)
        new = []
        count = data.draw(st.integers(0, 3))
        if count:
            first = state.last_index + 1
            if state.entries and data.draw(st.integers(0, 3)) == 0:
                first = data.draw(st.integers(state.snapshot.index + 1, state.last_index + 1))
                self.term += 1
            new = [Entry(self.term, first + n, EntryKind.NORMAL, data.draw(DATA)) for n in range(count)]
            state = state.with_entries(new)
        if data.draw(st.booleans()):
            hard_state = HardState(self.term, data.draw(st.integers(0, 3)), state.last_index)
        return hard_state, new, snapshot

    @rule(data=st.data())
    def write(self, data):
        self.append(*self.draw_append(data))

    @rule(data=st.data())
    def write_and_sync(self, data):
        self.append(*self.draw_append(data))
        self.sync()

    @rule()
    def sync(self):
        self.log.sync()
        del self.states[:-1]

    @rule(keep=st.integers(1, 2))
    def purge(self, keep):
        self.log.purge(self.states[-1].snapshot.index, keep)
        del self.states[:-1]

    # Failing ------------------------------------------------------------------------------
    def recover(self):
        self.log, recovered = open_log(self.disk, METADATA, segment_bytes=SEGMENT_BYTES)
        found = state_of(recovered)
        possible = [state.as_recovered() for state in self.states]
        assert found in possible
        self.states = [found]

    @rule(data=st.data())
    def power_loss(self, data):
        keep = data.draw(st.randoms(use_true_random=False))
        odds = data.draw(st.sampled_from([0.0, 0.2, 0.5, 0.9, 1.0]))
        self.disk = self.disk.after_power_loss(lambda: keep.random() < odds)
        self.recover()

    @rule()
    def kill(self):
        self.disk = self.disk.after_kill()
        self.recover()

    @rule(data=st.data(), calls=st.integers(0, 8), act=st.sampled_from(["write", "purge", "recover"]))
    def power_loss_in_a_call(self, data, calls, act):
        if act == "recover":  # first one crash, then another while what it left is mended
            keep = data.draw(st.randoms(use_true_random=False))
            self.disk = self.disk.after_power_loss(lambda: keep.random() < 0.5)
        self.disk.power_lost_in = calls
        with contextlib.suppress(PowerLost):
            self.act(act, data)
        self.power_loss(data)

    @rule(data=st.data(), calls=st.integers(0, 8), act=st.sampled_from(["write", "purge"]))
    def disk_error_in_a_call(self, data, calls, act):
        self.disk.fails_in = calls
        try:
            self.act(act, data)
        except OSError:
            with pytest.raises(WalError):
                self.log.sync()
        self.disk.fails_in = None
        self.kill()

    def act(self, act, data):
        if act == "write":
            self.write_and_sync(data)
        elif act == "purge":
            self.purge(1)
        else:
            self.recover()

    @precondition(lambda self: self.states[-1].last_index > 40)
    @rule()
    def start_over(self):
        self.begin(reserve=True)


def run_machine(machine, examples, steps=30, phases=tuple(Phase)):
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=examples,
            phases=phases,
            stateful_step_count=steps,
            deadline=None,
            suppress_health_check=list(HealthCheck),
            database=None,
            derandomize=True,
            print_blob=False,
            report_multiple_bugs=False,
        ),
    )


def test_nothing_synced_is_lost_and_nothing_is_invented():
    run_machine(LogMachine, 300)


@pytest.mark.parametrize("bug", ["ignore_sync", "ignore_folder_sync"])
def test_a_disk_that_does_not_sync_is_found_out(bug):
    """The tests above can fail: without these syncs they do."""

    class Planted(LogMachine):
        plant: ClassVar = {bug: True}

    with pytest.raises((AssertionError, WalError, FileNotFoundError)):
        run_machine(Planted, 60, phases=(Phase.generate,))


# Every subset of the sectors --------------------------------------------------------------
@given(
    synced=st.lists(DATA, max_size=3),
    unsynced=st.lists(DATA, min_size=1, max_size=3),
    mask=st.randoms(use_true_random=False),
    odds=st.sampled_from([0.1, 0.5, 0.9]),
    reserve=st.booleans(),
)
@settings(max_examples=300, deadline=None)
def test_any_subset_of_unsynced_sectors_gives_back_what_was_synced(synced, unsynced, mask, odds, reserve):
    disk = LossyDisk(reserve=reserve)
    log = create_log(disk, METADATA, BOOTSTRAP, segment_bytes=16000)
    written = [Entry(1, index, 0, value) for index, value in enumerate(synced + unsynced, 1)]
    for entry in written[: len(synced)]:
        log.append(HardState(1, 0, entry.index), [entry])
    log.sync()
    for entry in written[len(synced) :]:
        log.append(HardState(1, 0, entry.index), [entry])
    disk = disk.after_power_loss(lambda: mask.random() < odds)
    log, recovered = open_log(disk)
    found = len(recovered.entries)
    assert found >= len(synced)
    assert recovered.entries == written[:found]
    # What was cut is gone for good, and the log goes on behind it.
    log.append(None, [Entry(2, found + 1, 0, b"next")])
    log.sync()
    again = open_log(disk.after_power_loss(lambda: mask.random() < odds))[1]
    assert again.entries == [*written[:found], Entry(2, found + 1, 0, b"next")]
    assert again.repairs == []


@given(data=st.data(), groups=st.lists(st.lists(DATA, min_size=1, max_size=2), min_size=1, max_size=5))
@settings(max_examples=200, deadline=None)
def test_a_flipped_bit_is_refused_with_file_and_offset_or_the_log_is_whole(data, groups):
    disk = LossyDisk(reserve=False)
    log = create_log(disk, METADATA, BOOTSTRAP, segment_bytes=SEGMENT_BYTES)
    index = 0
    for group in groups:
        for value in group:
            index += 1
            log.append(HardState(1, 0, index), [Entry(1, index, 0, value)])
        log.sync()
    name = data.draw(st.sampled_from(disk.list()))
    file = disk.names[name]
    position = data.draw(st.integers(0, len(file.current) - 1))
    file.current[position] ^= 1 << data.draw(st.integers(0, 7))
    with pytest.raises(LogRefused) as raised:
        open_log(disk)
    assert raised.value.name == name
    assert raised.value.offset <= position
    assert f"in {name} at offset {raised.value.offset}" in str(raised.value)


# Making a log -----------------------------------------------------------------------------
@pytest.mark.parametrize("odds", [0.0, 0.5, 1.0])
def test_a_crash_while_a_log_is_made_leaves_it_whole_or_none(odds):
    import random

    random = random.Random(1)
    counted = LossyDisk()
    create_log(counted, METADATA, BOOTSTRAP, segment_bytes=SEGMENT_BYTES)
    outcomes = set()
    for calls in range(counted.calls):
        for _ in range(10):
            disk = LossyDisk()
            disk.power_lost_in = calls
            with pytest.raises(PowerLost):
                create_log(disk, METADATA, BOOTSTRAP, segment_bytes=SEGMENT_BYTES)
            disk = disk.after_power_loss(lambda: random.random() < odds)
            outcomes.add(log_exists(disk))
            if not log_exists(disk):
                create_log(disk, METADATA, BOOTSTRAP, segment_bytes=SEGMENT_BYTES)
            assert state_of(open_log(disk, METADATA)[1]) == FIRST_STATE
    assert False in outcomes


def test_what_a_killed_process_had_not_synced_is_durable_once_recovered():
    disk = LossyDisk()
    log = create_log(disk, METADATA, BOOTSTRAP, segment_bytes=SEGMENT_BYTES)
    log.append(None, entries(1, 3))
    disk = disk.after_kill()
    assert open_log(disk)[1].entries == entries(1, 3)
    assert open_log(disk.after_power_loss(lambda: False))[1].entries == entries(1, 3)
