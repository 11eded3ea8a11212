"""What the page is told: only what changed, when it changed, and never more than there is room for."""

from miniraft.local_cluster.elections import Step
from miniraft.local_cluster.view import Answer, ClusterView, Happening, MemberView
from miniraft.local_cluster.web.history import History
from miniraft.local_cluster.web.observer import Observer
from miniraft.local_cluster.web.records import MAX_SHOWN, milliseconds, request_record
from miniraft.local_cluster.web.requests import KeyAnswer, KeyRequest

START = 1_767_323_040.0  # 2026-01-02T03:04:00Z


def at(seconds):
    return f"2026-01-02T03:04:{seconds:09.6f}Z"


def member(state="running", answer=None, *, pid=100, started=0.0, asked=0.0, leader=""):
    said = answer and Answer(1, 1, answer, 17, 41, 4096, (), 42)
    started_at, asked_at = START + started, START + asked
    return MemberView(1, "n1", "http://x", pid, state, said, leader, started_at, asked_at)


def observe(observer, view_member, *happenings, seconds=0.0):
    records = observer.observe(ClusterView("/d", (view_member,)), happenings, (START + seconds) * 1000)
    return [
        {key: value for key, value in record.items() if key not in ("cast", "received")} for record in records
    ]


def test_a_moment_of_the_log_is_exact_to_the_microsecond():
    assert milliseconds(at(5.000006)) == START * 1000 + 5000.006


def test_nothing_new_is_nothing():
    observer = Observer()
    up = member(answer=2, asked=1.0, leader="n1")
    assert [record["kind"] for record in observe(observer, up, seconds=1.1)] == ["process", "answer"]
    assert observe(observer, up, seconds=1.3) == []
    assert observe(observer, up._replace(asked_at=START + 1.25), seconds=1.3) == [], "asked again, the same"


def test_an_answer_says_when_it_was_asked_and_when_it_came():
    observer = Observer()
    observe(observer, member(), seconds=0.1)
    (record,) = observe(observer, member(answer=2, asked=0.5, leader="n1"), seconds=1.5)
    assert (record["asked"], record["time"]) == (START * 1000 + 500, START * 1000 + 1500)
    assert record["answer"] == {
        "term": 2,
        "leader": "n1",
        "leads": True,
        "revision": 17,
        "applied": 41,
        "committed": 42,
        "bytes": 4096,
        "learner": False,
        "errors": [],
    }
    (silent,) = observe(observer, member(asked=2.0), seconds=3.0)
    assert (silent["kind"], silent["answer"]) == ("answer", None)


def test_what_was_done_by_hand_counts_from_then():
    observer = Observer()
    observe(observer, member(), seconds=0.1)
    killed = Happening(at(4.0), "n1", "killed: kill -9 100", "action")
    records = observe(observer, member("killed", pid=None), killed, seconds=4.2)
    assert [(record["kind"], record["time"]) for record in records] == [
        ("process", START * 1000 + 4000),
        ("happening", START * 1000 + 4000),
    ]
    assert records[0]["state"] == "killed"
    assert records[1]["action"] == "killed"
    again = Happening(at(3.0), "n1", "started: pid 101", "action")
    (process, _) = observe(observer, member(pid=101, started=5.0), again, seconds=5.1)
    assert process["time"] == START * 1000 + 4000, "never before what is known already"


def test_a_member_that_ended_by_itself_is_noticed():
    observer = Observer()
    observe(observer, member(answer=2, asked=1.0), seconds=1.1)
    records = observe(observer, member("exited 1", pid=None, asked=1.0), seconds=2.0)
    assert [(record["kind"], record["state"]) for record in records] == [("process", "exited 1")]


def election(seconds, what, term, **fields):
    return Happening(at(seconds), "n1", what, "election", Step(what, term, **fields))


def test_the_log_of_a_process_that_is_no_more_changes_nothing():
    observer = Observer()
    leads = observe(observer, member(), election(1.0, "elected", 2), seconds=1.1)
    assert [record["role"] for record in leads if record["kind"] == "raft"] == ["leader"]
    late = observe(
        observer,
        member(pid=101, started=5.0),
        election(4.9, "steps-down", 2),
        election(6.0, "cast", 3, other="n2", granted=True),
        seconds=6.1,
    )
    assert [record["kind"] for record in late] == ["process", "raft", "happening", "happening"]
    raft = late[1]
    assert (raft["time"], raft["role"], raft["term"], raft["leader"]) == (
        START * 1000 + 6000,
        "follower",
        3,
        "",
    )


def test_the_same_answer_of_another_process_is_told_again():
    observer = Observer()
    observe(observer, member(answer=2, asked=1.0), seconds=1.1)
    observe(observer, member("killed", pid=None, asked=1.0), seconds=2.0)
    stale = observe(observer, member(answer=2, pid=101, started=5.0, asked=1.0), seconds=5.1)
    assert [record["kind"] for record in stale] == ["process"], "asked before the start: of the other process"
    fresh = observe(observer, member(answer=2, pid=101, started=5.0, asked=5.5), seconds=5.6)
    assert [record["kind"] for record in fresh] == ["answer"]


def test_the_votes_come_with_their_reasons():
    observer = Observer()
    view = ClusterView("/d", (member(),))
    refused = election(1.0, "cast", 3, other="n2", reason="it has heard from a leader lately")
    records = observer.observe(view, [refused], START * 1000 + 1100)
    (raft,) = [record for record in records if record["kind"] == "raft"]
    assert raft["cast"] == {
        "term": 3,
        "preVote": False,
        "needed": 0,
        "votes": [{"member": "n2", "granted": False, "reason": "it has heard from a leader lately"}],
    }


def test_long_values_are_cut():
    request = KeyRequest("put", "k", "v" * 5000, "any", False)
    record = request_record(request, KeyAnswer(True, "OK", "n2", 3), 1.0, writer=False)
    assert record["value"] == "v" * MAX_SHOWN + "… (5000 characters)"
    assert record["member"] == "n2"


def record(kind, number, name="n1"):
    return {"kind": kind, "member": name, "time": float(number)}


def test_the_oldest_give_way_and_what_they_said_of_a_member_stays():
    history = History(capacity=3)
    history.add(record("process", 1))
    history.add(record("answer", 2))
    history.add(record("happening", 3))
    assert (history.since_ms, history.end) == (0.0, 3)
    for number in range(4, 8):
        history.add(record("happening", number))
    history.add(record("process", 8))
    assert [(each["kind"], each["time"]) for each in history.all()] == [
        ("process", 1),
        ("answer", 2),
        ("happening", 6),
        ("happening", 7),
        ("process", 8),
    ]
    assert history.since_ms == 5.0
    for number in range(9, 12):
        history.add(record("process", number, "n2"))
    assert [each["time"] for each in history.all()] == [8, 2, 9, 10, 11], "the later one of n1 replaced it"


def test_news_are_what_came_after():
    history = History(capacity=3)
    for number in range(5):
        history.add(record("happening", number))
    assert [each["time"] for each in history.after(3)] == [3, 4]
    assert history.after(5) == []
    assert history.after(1) is None, "too slow: some are gone"
