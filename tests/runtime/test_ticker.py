"""Ticks come at their interval; those missed are left out, not made up for."""

import asyncio

from miniraft.runtime.ticker import Ticker
from tests.support.peer_ends import eventually


class FakeLoop:
    """A loop whose clock the test turns."""

    def __init__(self):
        self.now = 100.0
        self.timers = []

    def time(self):
        return self.now

    def call_at(self, due, callback):
        timer = _Timer(due, callback)
        self.timers.append(timer)
        return timer

    def run_until(self, now):
        """Every timer fires when it is due, or late by as much as the clock has jumped."""
        self.now = max(now, self.now)
        while due := [timer for timer in self.timers if timer.due <= self.now and not timer.cancelled]:
            self.timers.remove(due[0])
            due[0].callback()


class _Timer:
    def __init__(self, due, callback):
        self.due, self.callback, self.cancelled = due, callback, False

    def cancel(self):
        self.cancelled = True


def ticking():
    loop, ticks, stalls = FakeLoop(), [], []
    ticker = Ticker(loop, 100, lambda: ticks.append(loop.now), stalls.append, 500)
    return loop, ticker, ticks, stalls


def test_ticks_do_not_drift_though_each_is_a_little_late():
    loop, ticker, ticks, stalls = ticking()
    for number in range(1, 101):
        loop.run_until(100.0 + 0.1 * number + 0.004)
    assert len(ticks) == 100
    assert stalls == []
    assert ticker.missed == 0


def test_a_stall_gives_one_tick_and_one_word():
    loop, ticker, ticks, stalls = ticking()
    loop.run_until(103.05)
    assert len(ticks) == 1
    assert stalls == [2950]
    assert ticker.missed == 29
    loop.run_until(103.1)
    assert len(ticks) == 2  # back in step
    assert ticker.missed == 0


def test_a_short_delay_is_not_worth_a_word():
    loop, _, ticks, stalls = ticking()
    loop.run_until(100.45)
    assert (len(ticks), stalls) == (1, [])


def test_no_tick_comes_after_the_stop():
    loop, ticker, ticks, _ = ticking()
    ticker.stop()
    loop.run_until(101.0)
    assert ticks == []


def test_on_a_real_loop():
    async def scenario():
        ticks = []
        loop = asyncio.get_running_loop()
        ticker = Ticker(loop, 5, lambda: ticks.append(loop.time()), ticks.append, 10_000)
        await eventually(lambda: len(ticks) >= 5)
        ticker.stop()

    asyncio.run(scenario())
