"""The page in a real browser, on a real cluster of three: what it shows is what happens."""

import contextlib
import importlib.util
import re
import shutil

import pytest

from tests.support.free_ports import free_base_port
from tests.support.local_cluster import running
from tests.support.requirements import require

BROWSER = shutil.which("chromium")
PATIENCE_MS = 30_000
LEADS = re.compile(r"^(n\d) leads in term (\d+)$")


@pytest.fixture(scope="module")
def cluster(tmp_path_factory):
    require(BROWSER is not None, "Chromium", "install it with: apt-get install chromium")
    require(
        importlib.util.find_spec("playwright") is not None,
        "playwright",
        "install it with: pip install playwright",
    )
    base = str(free_base_port(7) + 1)
    with running(tmp_path_factory.mktemp("web"), "--nodes", "3", "--base-port", base) as cluster:
        cluster.url = cluster.wait_for("^web url=").partition("=")[2]
        cluster.wait_for("^ready ")
        yield cluster
        assert cluster.stop() == 0


@pytest.fixture(scope="module")
def browser(cluster):
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=BROWSER)
        with contextlib.closing(browser):
            yield browser


@pytest.fixture
def page(cluster, browser):
    """The page, all members up. Fails at its end for anything on the console or a request elsewhere."""
    page = browser.new_page(viewport={"width": 1440, "height": 900})
    page.set_default_timeout(PATIENCE_MS)
    said, asked = [], []
    page.on("console", lambda message: said.append(message.text))
    page.on("pageerror", lambda error: said.append(str(error)))
    page.on("request", lambda request: asked.append(request.url))
    page.goto(cluster.url)
    wait_for_text(page, "#quorum-words", "alive 3/3, quorum 2, can lose 1")
    wait_for_text(page, "#leads", LEADS)
    yield page
    page.close()
    assert said == []
    assert [url for url in asked if not url.startswith(cluster.url)] == []


def wait_for_text(page, selector, words):
    """Waits until an element that is shown has the words and returns its text."""
    place = page.locator(selector).filter(has_text=words).first
    place.wait_for()
    return place.inner_text()


def leader(page):
    """The leader's name and term, once there is one."""
    found = LEADS.match(wait_for_text(page, "#leads", LEADS))
    return found[1], int(found[2])


def drawn(page):
    """Waits until what was pressed is drawn."""
    page.evaluate("() => new Promise(requestAnimationFrame)")


def press(page, name, command):
    page.locator(f"[data-member={name}] [data-command={command}]").click()


def ask(page, operation, whom="any", consistency="l"):
    """Presses put or get and returns the answer with its class, once it has come."""
    page.locator("#target").select_option(whom)
    page.locator("#consistency").select_option(consistency)
    page.locator(f"#{operation}").click()
    answer = page.locator("#answers li").first
    answer.locator("b").wait_for()
    return answer.get_attribute("class"), answer.locator("b").inner_text()


def test_a_leader_is_killed_the_quorum_is_lost_and_both_can_be_looked_at_again(page):
    first, term = leader(page)
    others = [name for name in ("n1", "n2", "n3") if name != first]
    assert page.locator("#picture .node.leader .name").text_content() == first
    assert page.locator("#picture path.follows").count() == 2
    assert ask(page, "put") == ("ok", "✓ OK")

    pid = page.locator(f"[data-member={first}] .pid").inner_text().removeprefix("pid ")
    page.locator(f"[data-member={first}] [data-command=kill]").hover()
    lines = page.locator("#lines code").all_inner_texts()
    assert lines[0] == f"kill -9 {pid}"
    assert lines[1].startswith(f"miniraft cluster kill {first} --data-dir ") or lines[1].endswith(first)
    press(page, first, "kill")
    wait_for_text(page, "#said", f"{first} killed: kill -9 {pid}")
    wait_for_text(page, "#leads", re.compile(rf"^({'|'.join(others)}) leads in term "))
    second, later = leader(page)
    assert later > term
    wait_for_text(page, "#quorum-words", "alive 2/3, quorum 2, can lose 0")
    for words in (
        f"killed: kill -9 {pid}",
        "asking the others for pre-votes",
        f"standing for election in term {later}",
        f"gave its vote to {second} for term {later}",
        f"elected: leads in term {later}",
    ):
        wait_for_text(page, "#story li", words)
    assert page.locator("#picture .node.down .role").text_content() == "✕ killed"

    press(page, second, "kill")
    wait_for_text(page, "#quorum-words", "alive 1/3, quorum 2, quorum lost: no writes")
    (last,) = set(others) - {second}
    how, words = ask(page, "put", last)
    assert how == "refused"
    assert f"{last} knows no leader: 1 of 3 members answer, 2 decide" in words
    assert ask(page, "get", last, "s") == ("ok", "✓ hello"), "a serializable read asks nobody else"
    assert ask(page, "put", first)[1].startswith(f"✗ {first} refuses connections: its process is killed")

    press(page, first, "restart")
    press(page, second, "restart")
    wait_for_text(page, "#quorum-words", "alive 3/3, quorum 2, can lose 1")
    leader(page)
    assert ask(page, "put") == ("ok", "✓ OK")

    # Back to the first election after the kill, and step by step through it.
    page.locator("#story button", has_text=f"elected: leads in term {later}").click()
    wait_for_text(page, "#mode", "the past")
    assert leader(page) == (second, later)
    assert page.locator(f"[data-member={first}] .badge").inner_text() == "killed"
    assert page.locator("#picture rect.tag.granted").count() == 1, "the vote that was given"
    assert page.locator(f"[data-member={first}] [data-command=restart]").is_disabled(), "the past is over"
    page.locator("#scrub").focus()
    roles = []
    for _ in range(40):
        page.keyboard.press("ArrowLeft")
        drawn(page)
        roles.append(page.locator(f"[data-member={second}] .badge").inner_text())
        if page.locator("#leads").inner_text() == f"{first} leads in term {term}":
            break
    assert list(dict.fromkeys(roles)) == ["candidate", "pre-candidate", "follower"]
    assert leader(page) == (first, term), "as it was before the kill"
    page.keyboard.press("End")
    wait_for_text(page, "#mode", "● live")
    page.locator("#back").click()
    wait_for_text(page, "#mode", "the past")
    page.locator("#live").click()
    wait_for_text(page, "#mode", "● live")


def test_what_members_and_people_write_is_shown_as_text(page):
    markup = "<img src=x onerror=alert(1)>"
    page.locator("#key").fill("it's & <b>")
    page.locator("#value").fill(markup)
    assert page.locator("#ask-put").inner_text() == f"etcdctl-py put 'it'\\''s & <b>' '{markup}'"
    assert ask(page, "put") == ("ok", "✓ OK")
    assert ask(page, "get") == ("ok", f"✓ {markup}")
    wait_for_text(page, "#story li.request", f"asked to get it's & <b>: {markup}")
    assert page.locator("img").count() == 0


def test_the_story_can_be_narrowed(page):
    page.locator("#story li.election").first.wait_for()
    page.get_by_role("checkbox", name="elections").uncheck()
    page.locator("#story li.election").first.wait_for(state="detached")
    members = set(page.locator("#story .who").all_inner_texts())
    assert members == {"n1", "n2", "n3"}
    page.get_by_role("checkbox", name="n2").uncheck()
    drawn(page)
    assert set(page.locator("#story .who").all_inner_texts()) == {"n1", "n3"}


def test_a_scenario_leads_through_a_restart_of_everything(page):
    page.locator("#scenario").select_option(label="Restart everything")
    assert page.locator(".steps li").count() == 4
    for step in range(4):
        page.locator(".steps li").nth(step).get_by_role("button", name="do it").click()
        wait_for_text(page, f".steps li:nth-child({step + 1}) p.seen", "✓")
    seen = page.locator(".steps p.seen").all_inner_texts()
    assert seen[1] == "✓ none alive"
    assert re.fullmatch(r"✓ all follow n\d", seen[2])
    assert seen[3] == "✓ the answer is yes"


def test_everything_can_be_reached_with_the_keyboard(page):
    page.locator("body").focus()
    reached = set()
    for _ in range(120):
        page.keyboard.press("Tab")
        reached.add(page.evaluate("() => document.activeElement.id || document.activeElement.ariaLabel"))
        if "scenario" in reached:
            break
    assert {
        "kill -9 n1",
        "pause n2",
        "restart n3",
        "back",
        "play",
        "scrub",
        "put",
        "writer",
        "story",
    } <= reached


MOMENTS = """async () => {
    const { History } = await import("/history.js");
    const history = new History(["a", "b", "c"], 0);
    const up = (member, time, state = "running") =>
        ({ kind: "process", member, time, state, pid: 1, started: time });
    const said = (member, time, asked, term, leader) => ({ kind: "answer", member, time, asked,
        answer: { term, leader, leads: leader === member, revision: 1, applied: 1, committed: 1 } });
    const raft = (member, time, role, term, leader) => ({ kind: "raft", member, time, role, term, leader });
    history.add([up("a", 1), up("b", 1), up("c", 1)]);
    history.add([said("a", 10, 9, 1, "a"), said("b", 10, 9, 1, "a"), said("c", 10, 9, 1, "a")]);
    history.add([{ ...up("a", 20, "killed"), started: 1 }]);
    history.add([said("b", 33, 25, 1, "a")]);  // asked before what the log tells, came after it
    history.add([raft("b", 30, "pre-candidate", 1, ""), raft("b", 31, "candidate", 2, "")]);
    history.add([raft("b", 32, "leader", 2, "b"), said("c", 40, 39, 2, "b")]);
    history.add([up("a", 50), { ...up("c", 60, "paused"), started: 1 }]);
    const words = (time) => {
        const { members, alive, canLose, leader } = history.at(time);
        return [members.map(({ status, role, term }) => `${status} ${role} ${term}`).join(", "),
            alive, canLose, leader?.name ?? ""].join("; ");
    };
    return { words: [5, 15, 25, 30, 31, 35, 45, 55, 65].map(words),
        bands: history.bands("b").map(({ from, until, role, term }) => [from, until, role, term].join(" ")) };
}"""


def test_a_moment_is_put_together_from_what_is_newest(page):
    found = page.evaluate(MOMENTS)
    assert found["words"] == [
        "running  0, running  0, running  0; 0; -2; ",
        "running leader 1, running follower 1, running follower 1; 3; 1; a",
        "down leader 1, running follower 1, running follower 1; 2; 0; ",
        "down leader 1, running pre-candidate 1, running follower 1; 2; 0; ",
        "down leader 1, running candidate 2, running follower 1; 2; 0; ",
        "down leader 1, running leader 2, running follower 1; 2; 0; b",
        "down leader 1, running leader 2, running follower 2; 2; 0; b",
        "running  0, running leader 2, running follower 2; 2; 0; b",
        "running  0, running leader 2, paused follower 2; 1; -1; b",
    ]
    assert found["bands"] == [
        "1 10  0",
        "10 30 follower 1",
        "30 31 pre-candidate 1",
        "31 32 candidate 2",
        "32 Infinity leader 2",
    ]
