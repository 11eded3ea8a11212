"""The gateway over WebSocket, spoken by aiohttp's client."""

import asyncio
import base64
import json
import time

import aiohttp
import pytest

from miniraft.api.options import ApiOptions
from tests.support.client_api import served
from tests.support.http_client import post
from tests.support.memory_service import MemoryService

KEY = base64.b64encode(b"key").decode()
VALUE = base64.b64encode(b"value").decode()


@pytest.fixture
def api():
    with served(MemoryService()) as api:
        yield api


def talk(api, path, conversation, **options):
    """Runs `conversation(socket)` over a connection to a path."""

    async def run():
        async with (
            asyncio.timeout(10),
            aiohttp.ClientSession() as session,
            session.ws_connect(f"http://{api.address}{path}", **options) as socket,
        ):
            return await conversation(socket)

    return asyncio.run(run())


async def answer(socket):
    return json.loads(await socket.receive_str())


def test_watches_are_made_and_ended_while_events_come(api):
    async def conversation(socket):
        await socket.send_json({"create_request": {"key": KEY, "watch_id": "7"}})
        assert (await answer(socket))["result"]["created"] is True
        await asyncio.to_thread(post, api.address, "/v3/kv/put", {"key": KEY, "value": VALUE})
        event = (await answer(socket))["result"]
        assert (event["watch_id"], event["events"][0]["kv"]["value"]) == ("7", VALUE)
        await socket.send_json({"progress_request": {}})
        assert set((await answer(socket))["result"]) == {"header", "watch_id"}
        await socket.send_json({"cancel_request": {"watch_id": "7"}})
        assert (await answer(socket))["result"]["canceled"] is True

    talk(api, "/v3/watch", conversation)
    wait_for_no_requests(api)


def wait_for_no_requests(api):
    for _ in range(500):
        if not api.request_count():
            return
        time.sleep(0.01)
    raise AssertionError("a request is still served")


def test_a_unary_call_is_answered_and_the_connection_ends(api):
    async def conversation(socket):
        await socket.send_bytes(json.dumps({"key": KEY, "value": VALUE}).encode())
        assert (await answer(socket))["header"]["revision"] == "2"
        assert (await socket.receive()).type == aiohttp.WSMsgType.CLOSE
        assert socket.close_code == 1000

    talk(api, "/v3/kv/put", conversation)


def test_errors_come_as_frames(api):
    async def conversation(socket):
        await socket.send_str('{"create_request": nonsense}')
        error = (await answer(socket))["error"]
        assert (error["grpc_code"], error["http_code"]) == (3, 400)
        assert (await socket.receive()).type == aiohttp.WSMsgType.CLOSE

    talk(api, "/v3/watch", conversation)


def test_the_token_may_come_as_a_subprotocol(api):
    async def conversation(socket):
        assert socket.protocol == "Bearer"
        await socket.send_json({"key": KEY, "value": VALUE})
        return await answer(socket)

    for name in ("root", "reader"):
        post(api.address, "/v3/auth/user/add", {"name": name, "password": "secret"})
    post(api.address, "/v3/auth/role/add", {"name": "root"})
    post(api.address, "/v3/auth/user/grant", {"user": "root", "role": "root"})
    post(api.address, "/v3/auth/enable")
    tokens = []
    for name in ("root", "reader"):
        login = post(api.address, "/v3/auth/authenticate", {"name": name, "password": "secret"})
        tokens.append(login.json["token"])
    root, reader = (talk(api, "/v3/kv/put", conversation, protocols=("Bearer", token)) for token in tokens)
    assert "header" in root
    assert reader["message"] == "etcdserver: permission denied"


@pytest.mark.parametrize(
    "path", ["/version", "/nothing", "/v4/watch", "/etcdserverpb.KV/Put", "/config/local/log"]
)
def test_there_are_no_others(api, path):
    assert refusal(api, path) == 403


def test_unknown_gateway_paths_are_refused(api):
    assert refusal(api, "/v3/nothing") == 403


def test_a_page_of_a_foreign_origin_is_refused():
    options = ApiOptions(cors=frozenset(["https://ours.example"]))
    with served(MemoryService(), api=options) as api:
        assert refusal(api, "/v3/watch", origin="https://other.example") == 403
        talk(api, "/v3/watch", lambda socket: socket.close(), origin="https://ours.example")
        talk(api, "/v3/watch", lambda socket: socket.close())


def test_a_foreign_host_is_refused():
    with served(MemoryService(), api=ApiOptions(host_whitelist=frozenset(["127.0.0.1"]))) as api:
        assert refusal(api, "/v3/watch", headers={"Host": "rebound.example"}) == 403
        talk(api, "/v3/watch", lambda socket: socket.close())


def refusal(api, path, **options):
    with pytest.raises(aiohttp.WSServerHandshakeError) as caught:
        talk(api, path, lambda socket: socket.close(), **options)
    return caught.value.status


def test_a_client_that_leaves_frees_its_watch(api):
    async def conversation(socket):
        await socket.send_json({"create_request": {"key": KEY}})
        await answer(socket)

    talk(api, "/v3/watch", conversation)
    wait_for_no_requests(api)
    assert api.thread.problems == []
