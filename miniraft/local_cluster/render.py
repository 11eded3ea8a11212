"""Draws a cluster's view as text for a terminal. Pure: the same view gives the same text."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING

from miniraft.local_cluster.view import quorum_words

if TYPE_CHECKING:
    from collections.abc import Sequence

    from miniraft.local_cluster.view import ClusterView, Happening, MemberView

HELP = (
    "keys, then a member's number:  k kill -9   s stop   p pause   c continue   r restart   (k2 kills n2)",
    "q quit (the data stays)   from another terminal: miniraft cluster status|kill|stop|...|env|logs",
)
_COLUMNS = (
    ("#", 2),
    ("member", 8),
    ("process", 10),
    ("role", 10),
    ("term", 6),
    ("leader", 8),
    ("revision", 10),
    ("applied", 9),
    ("pid", 8),
    ("client URL", 0),
)
_RESET = "\x1b[0m"
_BOLD = "\x1b[1m"
_DIM = "\x1b[2m"
_RED = "\x1b[31m"
_GREEN = "\x1b[32m"
_YELLOW = "\x1b[33m"
_CYAN = "\x1b[36m"
_KIND_COLOURS = {"election": _CYAN, "action": _YELLOW, "problem": _RED}


def render(view: ClusterView, width: int, height: int, *, colour: bool = True) -> list[str]:
    """Draws the view into `height` lines of at most `width` visible characters."""
    paint = _paint if colour else _plain
    head = [
        paint(_fit(_title(view), width), _BOLD),
        paint(_fit(_headline(view), width), _GREEN if view.can_lose >= 0 and view.leader else _RED),
        "",
        paint(_fit(_row([name for name, _ in _COLUMNS]), width), _DIM),
        *(_member_line(member, width, paint) for member in view.members),
        "",
    ]
    foot = [
        "",
        *(paint(_fit(line, width), _DIM) for line in HELP),
        _fit(f"> {view.typed}{'  ' + view.message if view.message else ''}", width),
    ]
    room = max(0, height - len(head) - len(foot))
    shown = list(view.happenings[-room:]) if room else []
    story = [_story_line(happening, width, paint) for happening in shown]
    story.extend([""] * (room - len(story)))
    lines = [*head, *story, *foot]
    return lines if len(lines) <= height else [*lines[: max(0, height - 1)], foot[-1]][:height]


def _title(view: ClusterView) -> str:
    page = f"; {view.page_url} shows it in the browser" if view.page_url else ""
    return f"miniraft cluster: {len(view.members)} members{page}; data in {view.folder}"


def _headline(view: ClusterView) -> str:
    leader = view.leader
    leads = f"{leader.name} leads in term {view.term}" if leader else "no leader"
    return f"{leads}; {quorum_words(view)}; revision {view.revision}"


def member_cells(member: MemberView) -> list[str]:
    """A member's row: what it says, or dashes."""
    answer = member.answer if member.state == "running" else None
    return [
        str(member.number),
        member.name,
        member.state,
        member.role,
        str(answer.term) if answer else "-",
        (member.leader or "-") if answer else "-",
        str(answer.revision) if answer else "-",
        str(answer.applied_index) if answer else "-",
        str(member.pid) if member.pid else "-",
        member.client_url,
    ]


def table(members: Sequence[MemberView]) -> list[str]:
    """The members as rows under a heading, without colours."""
    return [_row([name for name, _ in _COLUMNS]), *(_row(member_cells(member)) for member in members)]


def _member_line(member: MemberView, width: int, paint: _Paint) -> str:
    line = _fit(_row(member_cells(member)), width)
    if member.state not in ("running", "stopped"):
        return paint(line, _YELLOW if member.state == "paused" else _RED)
    if member.role == "leader":
        return paint(line, _BOLD + _GREEN)
    if member.role == "follower":
        return line
    return paint(line, _DIM if member.state == "stopped" else _YELLOW)


def _row(cells: Sequence[str]) -> str:
    return " ".join(cell.ljust(size) for cell, (_, size) in zip(cells, _COLUMNS, strict=True)).rstrip()


def _story_line(happening: Happening, width: int, paint: _Paint) -> str:
    line = _fit(story_text(happening), width)
    colour = _KIND_COLOURS.get(happening.kind)
    return paint(line, colour) if colour else line


def story_text(happening: Happening) -> str:
    """One happening as a line: local time, member, what."""
    return f"{local_time(happening.time)} {happening.member:4} {happening.text}"


def local_time(time: str) -> str:
    """The clock time of an ISO 8601 moment, to the millisecond."""
    return datetime.fromisoformat(time).astimezone().strftime("%H:%M:%S.%f")[:-3]


def _fit(text: str, width: int) -> str:
    """Text cut to a width, without anything that would steer the terminal."""
    text = "".join(letter if letter.isprintable() else "?" for letter in text)
    return text if len(text) <= width else text[: max(0, width - 1)] + "…"


if TYPE_CHECKING:
    from collections.abc import Callable

    _Paint = Callable[[str, str], str]


def _paint(text: str, colour: str) -> str:
    return f"{colour}{text}{_RESET}"


def _plain(text: str, _colour: str) -> str:
    return text
