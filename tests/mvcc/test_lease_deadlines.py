"""The leader's view of leases' time, in virtual time."""

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from miniraft.mvcc.due_queue import DueQueue
from miniraft.mvcc.lease_deadlines import MOST_ENDS_PER_SECOND, LeaseDeadlines
from miniraft.mvcc.lessor import Lease

EVERYTHING = 10**6


def ended(deadlines, now_ms):
    return [timed.lease.id for timed in deadlines.take_ended(now_ms, EVERYTHING)]


def noted(deadlines, now_ms, limit=EVERYTHING):
    return {timed.lease.id: seconds for timed, seconds in deadlines.take_checkpoints(now_ms, limit)}


def test_a_lease_ends_at_its_time_and_is_handed_out_once():
    deadlines = LeaseDeadlines((), 0, 1000)
    deadlines.granted(Lease(1, 10), 500)
    assert ended(deadlines, 10_499) == []
    assert ended(deadlines, 10_500) == [1]
    assert ended(deadlines, 20_000) == []


def test_a_renewal_gives_the_whole_time_again():
    deadlines = LeaseDeadlines((), 0, 1000)
    deadlines.granted(Lease(1, 10), 0)
    deadlines.find(1).renew(9_000)
    assert deadlines.find(1).remaining_ms(9_000) == 10_000
    assert ended(deadlines, 18_999) == []
    assert ended(deadlines, 19_000) == [1]


def test_a_revoked_lease_does_not_end_and_its_id_starts_anew():
    deadlines = LeaseDeadlines((), 0, 1000)
    first = Lease(1, 10)
    deadlines.granted(first, 0)
    deadlines.revoked(first)
    assert deadlines.find(1) is None
    deadlines.granted(Lease(1, 60), 5_000)
    assert ended(deadlines, 64_999) == []
    assert ended(deadlines, 65_000) == [1]


def test_a_new_leader_goes_on_from_the_checkpoint_and_adds_an_election_timeout():
    leases = [Lease(1, 60), Lease(2, 60, 20)]
    deadlines = LeaseDeadlines(leases, 5_000, 1000)
    assert deadlines.find(1).remaining_ms(5_000) == 61_000
    assert deadlines.find(2).remaining_ms(5_000) == 21_000
    assert [lease.id for lease in deadlines.in_order()] == [2, 1]


def test_leases_taken_over_together_do_not_end_together():
    count = 3 * MOST_ENDS_PER_SECOND
    deadlines = LeaseDeadlines([Lease(number, 10) for number in range(1, count + 1)], 0, 1000)
    ends = [len(deadlines.take_ended(now_ms, EVERYTHING)) for now_ms in range(0, 20_000, 1000)]
    assert sum(ends) == count
    assert max(ends) <= MOST_ENDS_PER_SECOND
    assert not any(ends[:11])  # none early


def test_a_limit_leaves_the_rest_for_the_next_time():
    deadlines = LeaseDeadlines((), 0, 0)
    for number in range(1, 11):
        deadlines.granted(Lease(number, 1), 0)
    assert len(deadlines.take_ended(1_000, 4)) == 4
    assert len(deadlines.take_ended(1_000, 40)) == 6


# Checkpoints -----------------------------------------------------------------------------------
def test_a_lease_nobody_renews_is_noted_every_twentieth_of_its_time_rounded_up():
    deadlines = LeaseDeadlines((), 0, 1000)
    deadlines.granted(Lease(1, 60), 0)
    assert noted(deadlines, 2_999) == {}
    assert noted(deadlines, 3_400) == {1: 57}
    assert noted(deadlines, 6_399) == {}
    assert noted(deadlines, 6_400) == {1: 54}


def test_short_leases_are_noted_each_second_and_long_ones_every_five_minutes():
    deadlines = LeaseDeadlines((), 0, 1000)
    deadlines.granted(Lease(1, 5), 0)
    deadlines.granted(Lease(2, 10**9), 0)
    assert noted(deadlines, 999) == {}
    assert noted(deadlines, 1_000) == {1: 4}
    assert noted(deadlines, 300_000) == {2: 10**9 - 300}


def test_a_lease_that_is_kept_alive_stays_out_of_the_log():
    deadlines = LeaseDeadlines((), 0, 1000)
    timed = deadlines.granted(Lease(1, 60), 0)
    for now_ms in range(500, 600_000, 500):
        if now_ms % 20_000 == 0:
            timed.renew(now_ms)
        if now_ms > 20_000:
            assert noted(deadlines, now_ms) == {}
        else:
            noted(deadlines, now_ms)


def test_it_is_noted_again_once_a_renewal_is_overdue():
    deadlines = LeaseDeadlines((), 0, 1000)
    timed = deadlines.granted(Lease(1, 60), 0)
    timed.renew(4_000)
    timed.renew(8_000)  # every 4 s: overdue after 6 s
    assert noted(deadlines, 13_999) == {}
    assert noted(deadlines, 14_000) == {1: 54}


def test_checkpoints_have_a_limit_and_the_rest_comes_later():
    deadlines = LeaseDeadlines((), 0, 1000)
    for number in range(1, 11):
        deadlines.granted(Lease(number, 20), 0)
    first, second = noted(deadlines, 1_000, 6), noted(deadlines, 1_000, 6)
    assert len(first) == 6
    assert set(first) | set(second) == set(range(1, 11))


def test_a_lease_that_has_ended_is_not_noted():
    deadlines = LeaseDeadlines((), 0, 1000)
    deadlines.granted(Lease(1, 2), 0)
    assert noted(deadlines, 2_000) == {}


def test_checkpoints_can_be_switched_off():
    deadlines = LeaseDeadlines([Lease(1, 60)], 0, 1000, checkpoints=False)
    deadlines.granted(Lease(2, 60), 0)
    assert noted(deadlines, 59_000) == {}


# The queue -------------------------------------------------------------------------------------
class Thing:
    def __init__(self, due_ms):
        self.due_ms = due_ms


def test_renewing_and_revoking_for_ever_takes_no_memory():
    deadlines = LeaseDeadlines((), 0, 1000)
    kept = deadlines.granted(Lease(1, 10**6), 0)
    for number in range(2, 5_000):
        kept.renew(number)
        lease = Lease(number, 10**6)
        deadlines.granted(lease, number)
        deadlines.revoked(lease)
    assert len(deadlines._ends) < 100
    assert len(deadlines._checkpoints) < 100


def test_one_look_at_the_queue_does_not_move_everything():
    things = [Thing(0) for _ in range(1000)]
    queue = DueQueue(things, lambda thing: thing.due_ms)
    for thing in things:
        thing.due_ms = 100
    things[-1].due_ms = 0
    assert queue.take(0, 10) == []  # the one that is due is behind a hundred that were put off
    taken = [thing for _ in range(12) for thing in queue.take(0, 10)]
    assert taken == [things[-1]]
    assert len(queue) == 999


STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("grant"), st.integers(1, 8), st.integers(1, 30)),
        st.tuples(st.just("revoke"), st.integers(1, 8), st.just(0)),
        st.tuples(st.just("renew"), st.integers(1, 8), st.just(0)),
        st.tuples(st.just("wait"), st.just(0), st.integers(0, 9_000)),
    ),
    max_size=60,
)


@given(STEPS, st.integers(1, 3))
def test_against_a_plain_list_of_deadlines(steps, limit):
    """The heap hands out exactly what a look at every lease would find."""
    deadlines, leases, model, now_ms = LeaseDeadlines((), 0, 1000), {}, {}, 0
    out = set()  # handed out, not revoked yet
    for kind, lease_id, amount in steps:
        if kind == "grant" and lease_id not in leases:
            leases[lease_id] = Lease(lease_id, amount)
            deadlines.granted(leases[lease_id], now_ms)
            model[lease_id] = now_ms + amount * 1000
        elif kind == "revoke" and lease_id in leases:
            deadlines.revoked(leases.pop(lease_id))
            model.pop(lease_id)
            out.discard(lease_id)
        elif kind == "renew" and lease_id in leases:
            timed = deadlines.find(lease_id)
            assert timed.has_ended(now_ms) == (model[lease_id] <= now_ms)
            if not timed.has_ended(now_ms):
                timed.renew(now_ms)
                model[lease_id] = now_ms + leases[lease_id].ttl_seconds * 1000
        else:
            now_ms += amount
        taken = [timed.lease.id for timed in deadlines.take_ended(now_ms, limit)]
        assert len(taken) <= limit
        due = {lease_id for lease_id, deadline_ms in model.items() if deadline_ms <= now_ms} - out
        assert set(taken) <= due
        assert len(taken) == min(len(due), limit)
        out.update(taken)
        assert [lease.id for lease in deadlines.in_order()] == sorted(
            model, key=lambda lease_id: (model[lease_id], lease_id)
        )


@given(st.lists(st.integers(1, 4), min_size=1, max_size=4000))
def test_spreading_only_puts_off_and_never_more_than_need_be(seconds):
    leases = [Lease(number, ttl) for number, ttl in enumerate(seconds, 1)]
    deadlines = LeaseDeadlines(leases, 0, 1000)
    ends = sorted(deadlines.find(lease.id).deadline_ms for lease in leases)
    for lease in leases:
        assert deadlines.find(lease.id).deadline_ms >= 1000 + lease.ttl_seconds * 1000
    assert all(
        later - sooner >= 1000 for sooner, later in zip(ends, ends[MOST_ENDS_PER_SECOND:], strict=False)
    )
    assert ends[0] == 1000 + min(seconds) * 1000
    assert all(sooner <= later for sooner, later in pairwise(ends))
