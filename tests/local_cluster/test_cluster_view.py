"""What a person sees and types: drawing, keys, the merged story."""

import json

import pytest

from miniraft.local_cluster.narrative import LogTail, Story, happening
from miniraft.local_cluster.plain import agrees, status_line
from miniraft.local_cluster.poll import answer_from_json
from miniraft.local_cluster.render import render
from miniraft.local_cluster.screen import Typed
from miniraft.local_cluster.view import Answer, ClusterView, Happening, MemberView, quorum_words


def member(number, state="running", leader=1, term=4, answer=True):
    said = Answer(number, leader, term, 17, 42, 4096) if answer and state == "running" else None
    name = f"n{leader}" if said and leader else ""
    return MemberView(
        number, f"n{number}", f"https://127.0.0.1:{number}2379", 100 + number, state, said, name
    )


VIEW = ClusterView(
    "/data",
    (member(1), member(2), member(3, state="paused")),
    tuple(Happening(f"2026-01-02T03:04:{n:02}.000000Z", "n1", f"thing {n}") for n in range(40)),
    typed="k",
    message="kill which member? type its number",
)


def test_the_drawing_fills_the_terminal_exactly():
    for width, height in ((120, 40), (80, 24), (40, 12), (10, 3), (1, 1)):
        lines = render(VIEW, width, height, colour=False)
        assert len(lines) == height
        assert max(map(len, lines)) <= width


def test_the_drawing_tells_who_leads_and_what_may_be_lost():
    text = "\n".join(render(VIEW, 140, 30, colour=False))
    assert "n1 leads in term 4; alive 2/3, quorum 2, can lose 0; revision 17" in text
    assert "/data" in text
    rows = {row.split()[1]: row.split() for row in text.splitlines() if row[:1].isdigit() and " n" in row[:4]}
    assert rows["n1"][2:8] == ["running", "leader", "4", "n1", "17", "42"]
    assert rows["n2"][3] == "follower"
    assert rows["n3"][2:8] == ["paused", "-", "-", "-", "-", "-"]
    assert "thing 39" in text
    assert "thing 0 " not in text, "the newest happenings are kept"
    assert "> k  kill which member? type its number" in text


def test_the_page_is_named():
    assert "http:" not in render(VIEW, 140, 30, colour=False)[0]
    named = VIEW._replace(page_url="http://127.0.0.1:2378/")
    assert "3 members; http://127.0.0.1:2378/ shows it" in render(named, 80, 24, colour=False)[0]


def test_the_help_is_visible_even_on_a_small_terminal():
    text = "\n".join(render(VIEW, 100, 14, colour=False))
    assert "k kill -9" in text
    assert "q quit" in text


def test_colours_do_not_change_the_text():
    import re

    coloured = render(VIEW, 120, 30)
    assert any("\x1b[" in line for line in coloured)
    assert [re.sub(r"\x1b\[[0-9;]*m", "", line) for line in coloured] == render(VIEW, 120, 30, colour=False)


def test_a_log_cannot_steer_the_terminal():
    view = VIEW._replace(happenings=(Happening("2026-01-02T03:04:05Z", "n1", "\x1b[2J\nhaha"),))
    assert not any("\x1b" in line or "\n" in line for line in render(view, 100, 30, colour=False))


def test_quorum_arithmetic():
    assert quorum_words(VIEW) == "alive 2/3, quorum 2, can lose 0"
    five = ClusterView("/d", tuple(member(n) for n in range(1, 6)))
    assert quorum_words(five) == "alive 5/5, quorum 3, can lose 2"
    lost = ClusterView("/d", (member(1), member(2, "killed"), member(3, "stopped")))
    assert quorum_words(lost) == "alive 1/3, quorum 2, quorum lost: no writes"


def test_of_two_that_say_they_lead_the_higher_term_counts():
    view = ClusterView(
        "/d", (member(1, leader=1, term=4), member(2, leader=2, term=5), member(3, leader=2, term=5))
    )
    assert view.leader.name == "n2"
    assert view.term == 5
    assert not agrees(view)


def test_a_member_without_an_answer_or_leader_says_so():
    view = ClusterView("/d", (member(1, answer=False), member(2, leader=0)))
    assert [one.role for one in view.members] == ["no answer", "no leader"]
    assert status_line(view) == (
        "status alive=1/2 quorum=2 can-lose=0 leader=- term=4 members=n1:no-answer,n2:no-leader"
    )


def test_an_answer_is_read_from_json_with_zeros_left_out():
    body = {"header": {"member_id": "9", "revision": "3"}, "leader": "9", "raftTerm": "2"}
    assert answer_from_json(json.dumps(body).encode()) == Answer(9, 9, 2, 3, 0, 0)
    for broken in (b"", b"[]", b"{}", b'{"header": {"member_id": "x"}}', b'{"header": null}'):
        with pytest.raises(ValueError):  # noqa: PT011
            answer_from_json(broken)


def typed(keys):
    line = Typed()
    found = [line.feed(key) for key in keys]
    return [action for action in found if action], line


def test_two_keys_are_a_command():
    assert typed("k2")[0] == [("kill", "2")]
    assert typed("s1p3c3r1")[0] == [("stop", "1"), ("pause", "3"), ("resume", "3"), ("restart", "1")]
    assert typed("q")[0] == [("quit", "")]
    assert typed("\x03")[0] == [("quit", "")]
    _, line = typed("k")
    assert line.hint == "kill which member? type its number"


def test_a_line_is_a_command_too():
    assert typed("kill n2\n")[0] == [("kill", "n2")]
    assert typed("resume n1\r")[0] == [("resume", "n1")]
    assert typed("pausx\x7fe n1\n")[0] == [("pause", "n1")]
    assert typed("\n")[0] == []
    assert typed("nonsense\n")[0] == [("nonsense", "")]


def test_escape_and_backspace_take_back():
    assert typed("k\x1bs1")[0] == [("stop", "1")]
    assert typed("k\x7fs1")[0] == [("stop", "1")]
    assert typed("x" * 500)[1].text == "x" * 40


def line(message, level="info", ts="2026-01-02T03:04:05.000000Z", **fields):
    return json.dumps({"level": level, "ts": ts, "caller": "x:1", "msg": message, **fields}).encode()


def test_what_belongs_into_the_story():
    assert happening("n1", line("elected: leads in term 2", logger="raft", term=2)).kind == "election"
    assert happening("n1", line("elected: leads in term 2", logger="raft")).text == "elected: leads in term 2"
    assert happening("n1", line("slow disk", "warn", took="2s")).text == "slow disk took=2s"
    assert happening("n1", line("ready to serve client requests")).kind == "event"
    assert happening("n1", line("cannot", "fatal", error="x")).kind == "problem"
    assert happening("n1", line("chatter")) is None
    assert happening("n1", line("vote", "debug", logger="raft")) is None
    assert happening("n1", b"   ") is None


def test_what_is_no_event_is_told_as_a_problem():
    assert happening("n1", b"ValueError: oops").text == "ValueError: oops"
    assert happening("n1", b'  File "x.py", line 1') is None
    for odd in (b"[]", b"7", b'"x"', b"{}", b'{"level": 1, "ts": 2, "msg": 3}', b"\xff\xfe"):
        assert happening("n1", odd).kind == "problem"
    assert len(happening("n1", b"x" * 10000).text) == 400


def test_logs_are_merged_by_time(tmp_path):
    story = Story()
    tails = [LogTail(name, tmp_path / f"{name}.log") for name in ("n1", "n2")]
    assert [tail.read() for tail in tails] == [[], []]
    (tmp_path / "n1.log").write_bytes(
        line("one", logger="raft", ts="2026-01-01T00:00:01.000000Z")
        + b"\n"
        + line("three", logger="raft", ts="2026-01-01T00:00:03.000000Z")
        + b'\n{"level": "info", "ts'
    )
    (tmp_path / "n2.log").write_bytes(line("two", logger="raft", ts="2026-01-01T00:00:02.000000Z") + b"\n")
    fresh = story.add([item for tail in tails for item in tail.read()])
    assert [(item.member, item.text) for item in fresh] == [("n1", "one"), ("n2", "two"), ("n1", "three")]
    with (tmp_path / "n2.log").open("ab") as file:
        file.write(line("late", logger="raft", ts="2026-01-01T00:00:02.500000Z") + b"\n")
    story.add(tails[1].read())
    assert [item.text for item in story.newest_last()] == ["one", "two", "late", "three"]
    assert tails[0].read() == [], "half a line waits for its end"


def test_a_log_that_was_there_before_is_not_told_again_and_a_cut_one_is_read_anew(tmp_path):
    file = tmp_path / "n1.log"
    file.write_bytes(line("old", logger="raft") + b"\n")
    tail = LogTail("n1", file)
    assert tail.read() == []
    file.write_bytes(line("new", logger="raft")[:-1] + b"}\n")
    file.write_bytes(line("n", logger="raft") + b"\n")
    assert [item.text for item in tail.read()] == ["n"]
