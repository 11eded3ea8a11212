"""What only tells the commit index waits for company, unless somebody waits for it."""

from miniraft.raft.entry import Entry
from miniraft.raft.message import Message, MessageKind
from miniraft.raft.replication import NO_ANSWER_NEEDED
from miniraft.runtime.commit_notices import CommitNotices


class FakeLoop:
    def __init__(self):
        self.now, self.timer = 100.0, None

    def time(self):
        return self.now

    def call_later(self, _seconds, callback):
        self.timer = callback
        return self

    def cancel(self):
        self.timer = None

    def fire(self):
        timer, self.timer = self.timer, None
        timer()


def notices():
    loop, sent = FakeLoop(), []
    return loop, CommitNotices(loop, sent.extend), sent


def notice(receiver, commit):
    return Message(MessageKind.APPEND, 1, receiver, 1, commit=commit, context=NO_ANSWER_NEEDED)


def append(receiver, commit):
    return Message(MessageKind.APPEND, 1, receiver, 1, commit=commit, entries=[Entry(1, 9, 0, b"x")])


def test_a_notice_waits_and_then_goes():
    loop, sender, sent = notices()
    sender.send([notice(2, 5), notice(3, 5)])
    assert sent == []
    loop.fire()
    assert sent == [notice(2, 5), notice(3, 5)]


def test_entries_that_follow_make_it_needless():
    loop, sender, sent = notices()
    sender.send([notice(2, 5), notice(3, 5)])
    sender.send([append(2, 5)])
    assert sent == [append(2, 5)]
    loop.fire()
    assert sent == [append(2, 5), notice(3, 5)]


def test_only_the_newest_goes():
    loop, sender, sent = notices()
    sender.send([notice(2, 5)])
    sender.send([notice(2, 6)])
    loop.fire()
    assert sent == [notice(2, 6)]


def test_a_follower_that_passes_requests_on_is_told_at_once():
    loop, sender, sent = notices()
    sender.received([Message(MessageKind.PROPOSE, 2, 1)])
    sender.send([notice(2, 5)])
    assert sent == [notice(2, 5)]
    loop.now += 2
    sender.send([notice(2, 6)])
    assert sent == [notice(2, 5)]


def test_everything_else_goes_at_once():
    _, sender, sent = notices()
    vote = Message(MessageKind.VOTE, 1, 2, context=NO_ANSWER_NEEDED)
    probe = Message(MessageKind.APPEND, 1, 3, 1)
    sender.send([vote, notice(2, 5), probe])
    assert sent == [vote, probe]


def test_nothing_goes_after_the_stop():
    loop, sender, sent = notices()
    sender.send([notice(2, 5)])
    sender.stop()
    assert loop.timer is None
    assert sent == []
