"""What a leader knows of one follower, and how much it may send (figure 2, nextIndex and matchIndex).

state      leaves when                             APPENDs
probe      an APPEND is accepted -> replicate      one, then silence until an answer
                                                   or a heartbeat's answer
replicate  one is rejected, or lost -> probe       a stream, up to a full window
snapshot   the follower has it -> replicate,       none
           or the transfer ended -> probe
"""

from __future__ import annotations

from collections import deque
from enum import StrEnum


class ProgressState(StrEnum):
    """How APPENDs are sent to a follower."""

    PROBE = "probe"
    REPLICATE = "replicate"
    SNAPSHOT = "snapshot"


# The window in bytes, in full APPENDs: so much of a log that a follower lacks is on its way
# at a time, however many small APPENDs the window may hold.
WINDOW_FULL_APPENDS = 8


class Progress:
    """Invariant: `match < next`; `match` never decreases (it is what the follower's disk holds)."""

    __slots__ = (
        "_inflight",
        "_match_at_heartbeat",
        "_max_appends",
        "_max_bytes",
        "_repeat_probe",
        "answer_wanted",
        "commit_sent",
        "inflight_bytes",
        "match",
        "next",
        "paused",
        "pending_snapshot",
        "read_round",
        "read_round_helped",
        "recently_active",
        "state",
    )

    def __init__(self, next_index: int, max_appends: int, max_append_bytes: int) -> None:
        self.match = 0
        self.next = next_index
        self.state = ProgressState.PROBE
        self.paused = False  # probe: an APPEND is out, or there is nothing that would help
        self.answer_wanted = False  # an APPEND is due even without entries, to learn where they are
        self.commit_sent = 0  # the commit index that the APPENDs sent so far let the follower reach
        self.pending_snapshot = 0  # snapshot: the index it brings the follower to
        self.recently_active = False  # answered since the last quorum check
        self.read_round = 0  # the newest read-index round it has confirmed
        self.read_round_helped = 0  # the newest one that still waited for its answer
        self.inflight_bytes = 0
        self._inflight: deque[tuple[int, int]] = deque()  # (last index, bytes) of APPENDs with entries
        self._max_appends = max_appends
        self._max_bytes = max_append_bytes * WINDOW_FULL_APPENDS
        self._match_at_heartbeat = 0
        self._repeat_probe = False  # a heartbeat interval has passed since the last probe

    @property
    def inflight(self) -> int:
        """How many APPENDs with entries are under way."""
        return len(self._inflight)

    @property
    def window_full(self) -> bool:
        """Whether the next entries have to wait for answers."""
        return len(self._inflight) >= self._max_appends or self.inflight_bytes >= self._max_bytes

    def wants_append(self, last_index: int, committed: int) -> bool:
        """Returns whether an APPEND (or a snapshot) is to be sent now."""
        if self.state is ProgressState.REPLICATE:
            return (
                (self.next <= last_index and not self.window_full)
                or self.answer_wanted
                or min(committed, self.next - 1) > self.commit_sent
            )
        if self.state is ProgressState.PROBE:
            return not self.paused and (self.next <= last_index or self.answer_wanted)
        return False

    # Sent ---------------------------------------------------------------------------------
    def sent_append(self, last_index: int, size_bytes: int, committed: int) -> None:
        """Notes an APPEND up to `last_index`; `size_bytes` is 0 if it holds no entries."""
        self.answer_wanted = False
        if self.state is ProgressState.PROBE:
            self.paused = True
            return
        self.commit_sent = max(self.commit_sent, min(committed, last_index))
        if size_bytes:
            self.next = last_index + 1  # optimistic: the next APPEND does not wait for the answer
            self._inflight.append((last_index, size_bytes))
            self.inflight_bytes += size_bytes

    def heartbeat_interval_passed(self) -> None:
        """Asks again where the follower is, if APPENDs are out and no answer came for so long."""
        if self._inflight and self.match == self._match_at_heartbeat:
            self.answer_wanted = True
        self._match_at_heartbeat = self.match
        self._repeat_probe = True

    # Answered -----------------------------------------------------------------------------
    def heartbeat_answered(self) -> None:
        """The follower can be reached: a probe that may be lost is repeated, once an interval."""
        self.recently_active = True
        if self.state is ProgressState.PROBE and self._repeat_probe:
            self._repeat_probe = False
            self.paused = False
            self.answer_wanted = True

    def accepted(self, index: int, first_index: int) -> bool:
        """Notes that the follower holds everything up to `index`; returns whether that is news.

        `first_index` is the first entry that the leader's log still has.
        """
        advanced = index > self.match
        if advanced:
            self.match = index
            self.next = max(self.next, index + 1)
        if self.state is ProgressState.REPLICATE:
            self._free_window(index)
        elif self.state is ProgressState.PROBE or self._has_caught_up(first_index):
            self.become_replicate()
        return advanced

    def rejected(self, previous: int, retry_after: int) -> bool:
        """Notes that the follower has no entry like the leader's at `previous`.

        The next APPEND will name `retry_after` instead, or `match` if that is later. Returns
        whether it is so: late answers to earlier APPENDs change nothing.
        """
        if self.state is ProgressState.REPLICATE:
            if previous <= self.match:
                return False
            self.become_probe()
            return True
        if self.state is not ProgressState.PROBE or previous != self.next - 1:
            return False
        self.next = max(min(previous, retry_after + 1), self.match + 1)
        self.paused = False
        return True

    # States -------------------------------------------------------------------------------
    def become_probe(self) -> None:
        """Goes back to what is known for sure."""
        self._enter(ProgressState.PROBE)
        self.next = max(self.match, self.pending_snapshot) + 1
        self.pending_snapshot = 0

    def become_replicate(self) -> None:
        """Starts to stream behind what the follower has."""
        self._enter(ProgressState.REPLICATE)
        self.next = self.match + 1
        self.pending_snapshot = 0

    def become_snapshot(self, index: int) -> None:
        """Waits for a snapshot at `index` to arrive."""
        self._enter(ProgressState.SNAPSHOT)
        self.pending_snapshot = index

    def _enter(self, state: ProgressState) -> None:
        self.state = state
        self.paused = False
        self.answer_wanted = False
        self.commit_sent = 0
        self._inflight.clear()
        self.inflight_bytes = 0

    def _has_caught_up(self, first_index: int) -> bool:
        """Returns whether the snapshot is there, or not needed any more."""
        return self.match >= self.pending_snapshot or self.match + 1 >= first_index

    def _free_window(self, index: int) -> None:
        inflight = self._inflight
        while inflight and inflight[0][0] <= index:
            self.inflight_bytes -= inflight.popleft()[1]
