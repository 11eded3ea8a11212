"""The page's server over HTTP, with stub members: what it serves, tells, does and refuses."""

import asyncio
import contextlib
import functools
import json
import socket
import sys
from pathlib import Path

import aiohttp
import pytest

from miniraft.local_cluster.problem import ClusterError
from miniraft.local_cluster.run import Options, page_place, prepare
from miniraft.local_cluster.supervisor import Supervisor
from miniraft.local_cluster.web import server as web_server
from miniraft.local_cluster.web.history import History
from miniraft.local_cluster.web.server import WebPort, served_page
from tests.support.free_ports import free_base_port

STUB = (sys.executable, str(Path(__file__).with_name("stub_member.py")))


async def until(condition, what, timeout_seconds=15.0):
    deadline = asyncio.get_running_loop().time() + timeout_seconds
    while not condition():
        assert asyncio.get_running_loop().time() < deadline, what
        await asyncio.sleep(0.02)


def is_up(supervisor):
    view = supervisor.view()
    return view.alive == len(view.members) and view.leader and view.happenings


class Page:
    """What a browser would do, by hand."""

    def __init__(self, supervisor, url, session):
        self.supervisor, self.url, self.session = supervisor, url, session
        self.token = ""

    @contextlib.asynccontextmanager
    async def stream(self, **headers):
        async with self.session.ws_connect(self.url + "stream", headers=headers) as stream:
            yield stream

    async def hello(self):
        async with self.stream() as stream:
            message = await stream.receive_json()
        assert message["type"] == "hello"
        self.token = message["token"]
        return message

    async def get(self, path="", **headers):
        async with self.session.get(self.url + path, headers=headers) as response:
            return response.status, await response.text(), response.headers

    async def post(self, path, body, **headers):
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        own = {"X-Miniraft-Token": self.token, "Content-Type": "application/json"}
        async with self.session.post(self.url + path, data=content, headers=own | headers) as response:
            text = await response.text()
            return response.status, json.loads(text) if text.startswith("{") else text


@contextlib.asynccontextmanager
async def page(folder, nodes=3, tls=False):
    layout = prepare(Options(folder / "cluster", nodes, free_base_port(2 * nodes + 1) + 1, tls))
    supervisor = Supervisor(layout, STUB)
    async with served_page(supervisor, WebPort(layout.page_port, chosen=True)) as served:
        supervisor.changed = served.changed
        await supervisor.start()
        async with aiohttp.ClientSession() as session:
            try:
                await until(lambda: is_up(supervisor), "all up")
                yield Page(supervisor, served.url, session)
            finally:
                await supervisor.shut_down()


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "cluster").mkdir()
    return tmp_path


async def scenario_files(folder):
    async with page(folder, 1) as browser:
        status, text, headers = await browser.get()
        assert (status, headers["Content-Type"]) == (200, "text/html; charset=utf-8")
        assert "<title>miniraft cluster</title>" in text
        assert "default-src 'none'" in headers["Content-Security-Policy"]
        for name in ("app.js", "style.css", "icon.svg"):
            status, _, headers = await browser.get(name)
            assert status == 200
            assert headers["X-Content-Type-Options"] == "nosniff"
        for name in ("nope", "server.py", "..%2fserver.py", "../server.py", "page/app.js"):
            status, _, headers = await browser.get(name)
            assert status == 404, name
            assert "Content-Security-Policy" in headers


def test_the_files_of_the_page_and_no_others(folder):
    asyncio.run(scenario_files(folder))


async def scenario_refusals(folder):
    async with page(folder, 1) as browser:
        await browser.hello()
        kill = {"command": "kill", "member": "n1"}
        port = browser.url.rsplit(":", 1)[1].strip("/")
        assert (await browser.get(Host=f"evil.example:{port}"))[0] == 421
        assert (await browser.get("app.js", Host="evil.example"))[0] == 421
        assert (await browser.get(Host=f"localhost:{port}"))[0] == 200
        assert (await browser.post("member", kill, Origin="http://evil.example"))[0] == 403
        assert (await browser.post("member", kill, Host="evil.example"))[0] == 421
        assert (await browser.post("member", kill, **{"Content-Type": "text/plain"}))[0] == 415
        status, answer = await browser.post("member", kill, **{"X-Miniraft-Token": "guess"})
        assert status == 403
        assert "reload the page" in answer["message"]
        for headers in ({"Origin": "http://evil.example"}, {"Origin": "null"}, {"Host": "evil.example"}):
            with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
                async with browser.stream(**headers):
                    pass
            assert refused.value.status in (403, 421), headers
        assert browser.supervisor.view().members[0].state == "running", "nobody killed it"
        assert (await browser.post("member", b"x" * 200_000))[0] == 413
        assert (await browser.post("member", b"nonsense"))[0] == 400
        assert (await browser.post("member", {"command": "dance", "member": "n1"}))[0] == 409
        assert (await browser.post("nowhere", kill))[0] == 404
        assert (await browser.get("member"))[0] == 405


def test_other_sites_and_bad_input_are_refused(folder):
    asyncio.run(scenario_refusals(folder))


async def scenario_stream(folder):
    async with page(folder) as browser:
        hello = await browser.hello()
        assert [member["name"] for member in hello["members"]] == ["n1", "n2", "n3"]
        assert hello["arguments"] == f" --data-dir {folder / 'cluster'}"
        assert hello["members"][0]["start"].startswith("miniraft --name=n1 --data-dir=")
        kinds = {record["kind"] for record in hello["records"]}
        assert {"process", "answer", "happening"} <= kinds
        async with browser.stream(Origin=browser.url.rstrip("/")) as stream:
            await stream.receive_json()
            status, answer = await browser.post("member", {"command": "kill", "member": "n2"})
            assert (status, answer["ok"]) == (200, True)
            assert answer["message"].startswith("n2 killed: kill -9 ")
            told = []
            while not any(record["kind"] == "process" and record["state"] == "killed" for record in told):
                message = await asyncio.wait_for(stream.receive_json(), 10)
                assert message["type"] == "news"
                told += message["records"]
            assert any(record.get("action") == "killed" for record in told)
        status, answer = await browser.post("member", {"command": "kill", "member": "n2"})
        assert (status, answer["ok"]) == (409, False)
        assert "restart n2" in answer["message"]


def test_a_page_is_told_everything_and_then_what_is_new(folder):
    asyncio.run(scenario_stream(folder))


async def scenario_keys(folder):
    async with page(folder, tls=True) as browser:
        await browser.hello()
        put = {"operation": "put", "key": "k", "value": "v", "member": "n1"}
        status, answer = await browser.post("key", put)
        assert (status, answer["ok"], answer["text"], answer["member"]) == (200, True, "OK", "n1")
        await browser.post("member", {"command": "kill", "member": "n1"})
        _, answer = await browser.post("key", put)
        assert (answer["ok"], answer["member"]) == (False, "n1")
        assert "n1 refuses connections: its process is killed" in answer["text"]
        _, answer = await browser.post("key", put | {"member": "any"})
        assert (answer["ok"], answer["member"]) == (True, "n2"), "the next one is asked"
        status, answer = await browser.post("key", put | {"member": "n9"})
        assert status == 409
        assert "no member 'n9'" in answer["message"]
        records = (await browser.hello())["records"]
        asked = [
            (record["member"], record["ok"], record["writer"])
            for record in records
            if record["kind"] == "request"
        ]
        assert asked == [("n1", True, False), ("n1", False, False), ("n2", True, False)]


def test_puts_over_tls_go_to_whom_one_asks(folder):
    asyncio.run(scenario_keys(folder))


async def scenario_writer(folder):
    async with page(folder) as browser:
        await browser.hello()
        assert (await browser.post("writer", {"on": True, "member": "n9"}))[0] == 409
        status, _ = await browser.post("writer", {"on": True, "member": "n1"})
        assert status == 200
        async with browser.stream() as stream:
            writer = (await stream.receive_json())["writer"]
            assert (writer["on"], writer["member"]) == (True, "n1")
            while writer["acknowledged"] < 2:
                writer = (await asyncio.wait_for(stream.receive_json(), 10))["writer"]
            await browser.post("member", {"command": "kill", "member": "n1"})
            while writer["refused"] < 2:
                writer = (await asyncio.wait_for(stream.receive_json(), 10))["writer"]
            await browser.post("writer", {"on": False, "member": "n1"})
            while writer["on"]:
                writer = (await asyncio.wait_for(stream.receive_json(), 10))["writer"]
        await browser.post("writer", {"on": True, "member": "any"})
        assert (await browser.hello())["writer"]["refused"] == 0, "counted anew"


def test_the_writer_counts_until_it_is_stopped(folder, monkeypatch):
    monkeypatch.setattr("miniraft.local_cluster.web.writer.PERIOD_SECONDS", 0.05)
    asyncio.run(scenario_writer(folder))


async def scenario_too_many(folder):
    async with page(folder, 1) as browser, contextlib.AsyncExitStack() as open_pages:
        for _ in range(2):
            stream = await open_pages.enter_async_context(browser.stream())
            browser.token = (await stream.receive_json())["token"]
        with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
            await open_pages.enter_async_context(browser.stream())
        assert refused.value.status == 503
        await browser.post("member", {"command": "pause", "member": "n1"})
        get = {"operation": "get", "key": "k", "serializable": True, "member": "n1"}
        answers = await asyncio.gather(*(browser.post("key", get) for _ in range(3)))
        assert sorted(status for status, _ in answers) == [200, 200, 429]
        assert all("n1 is paused: resume n1" in answer["text"] for status, answer in answers if status == 200)


def test_pages_and_waiting_requests_are_bounded_and_a_paused_member_is_named(folder, monkeypatch):
    monkeypatch.setattr(web_server, "MAX_PAGES", 2)
    monkeypatch.setattr(web_server, "MAX_WAITING_REQUESTS", 2)
    monkeypatch.setattr("miniraft.local_cluster.web.members.ANSWER_TIMEOUT_SECONDS", 0.5)
    asyncio.run(scenario_too_many(folder))


async def scenario_slow_page(folder):
    async with page(folder, 1) as browser, browser.stream() as stream:
        browser.token = (await stream.receive_json())["token"]
        status, _ = await browser.post("member", {"command": "kill", "member": "n1"})
        assert status == 200
        message = await asyncio.wait_for(stream.receive_json(), 10)
        while message["type"] != "hello":
            message = await asyncio.wait_for(stream.receive_json(), 10)


def test_a_page_that_missed_something_is_told_everything_again(folder, monkeypatch):
    monkeypatch.setattr(web_server, "History", functools.partial(History, 1))
    asyncio.run(scenario_slow_page(folder))


async def served_url(supervisor, place):
    async with served_page(supervisor, place) as served:
        return served.url, served.problem


def test_a_taken_port_is_done_without_unless_somebody_named_it(folder):
    layout = prepare(Options(folder / "cluster", 1, free_base_port(3) + 1, False))
    supervisor = Supervisor(layout, STUB)
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", layout.page_port))
        taken.listen()
        url, problem = asyncio.run(served_url(supervisor, page_place(layout, None)))
        assert url == ""
        assert f"port {layout.page_port} for the page cannot be used" in problem
        assert "--web-port" in problem
        with pytest.raises(ClusterError, match=r"cannot be used: .*; choose another --web-port, or --no-web"):
            asyncio.run(served_url(supervisor, page_place(layout, layout.page_port)))
    assert asyncio.run(served_url(supervisor, page_place(layout, 0))) == ("", "")


def test_where_the_page_goes(folder):
    layout = prepare(Options(folder / "cluster", 3, None, False))
    assert page_place(layout, None) == WebPort(2378)
    assert page_place(layout, 8000) == WebPort(8000, chosen=True)
    for port, words in ((22380, "a member has it"), (65536, "no port"), (-1, "no port")):
        with pytest.raises(ClusterError, match=words):
            page_place(layout, port)
