"""PUT /config/local/log, as etcd 3.4 answers it."""

import pytest

from miniraft.api.options import ApiOptions
from tests.support.client_api import served
from tests.support.http_client import fetch, post
from tests.support.memory_service import MemoryService

PATH = "/config/local/log"


@pytest.fixture
def levels():
    return []


@pytest.fixture
def api(levels):
    with served(MemoryService(), api=ApiOptions(set_log_level=levels.append)) as api:
        yield api


def put(api, body, **headers):
    return fetch(api.address, "PUT", PATH, body=body, headers=headers)


@pytest.mark.parametrize(
    ("name", "level"),
    [
        ("DEBUG", "debug"),
        ("info", "info"),
        ("WARNING", "warn"),
        ("warn", "warn"),
        ("Notice", "info"),
        ("E", "error"),
    ],
)
def test_the_level_is_set(api, levels, name, level):
    answer = put(api, f'{{"Level":"{name}"}}')
    assert (answer.status, answer.text) == (204, "")
    assert "content-length" not in answer.headers
    assert levels == [level]


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ('{"Level":"X"}', "Invalid log level X"),
        ("{}", "Invalid log level "),
        ("", "Invalid json body"),
        ("[1]", "Invalid json body"),
        ('{"Level":1}', "Invalid json body"),
        ('{"Level":"' + "D" * 5000 + '"}', "Invalid json body"),
    ],
)
def test_what_is_no_level_is_refused(api, levels, body, message):
    answer = put(api, body)
    assert (answer.status, answer.json) == (400, {"message": message})
    assert levels == []


def test_only_put(api, levels):
    for method in ("GET", "POST"):
        answer = fetch(api.address, method, PATH)
        assert (answer.status, answer.text) == (405, "Method Not Allowed\n")
        assert answer.headers["allow"] == "PUT"
    assert levels == []


def test_with_authentication_only_root_may(api, levels):
    for path, body in (
        ("user/add", {"name": "root", "password": "secret"}),
        ("user/add", {"name": "guest", "password": "secret"}),
        ("role/add", {"name": "root"}),
        ("user/grant", {"user": "root", "role": "root"}),
        ("enable", {}),
    ):
        assert post(api.address, f"/v3/auth/{path}", body).status == 200
    assert put(api, '{"Level":"debug"}').status == 400  # user name is empty
    assert put(api, '{"Level":"debug"}', authorization="nonsense").status == 401
    assert put(api, '{"Level":"debug"}', authorization=token(api, "guest")).status == 403
    assert levels == []
    assert put(api, '{"Level":"debug"}', authorization=token(api, "root")).status == 204
    assert levels == ["debug"]


def token(api, name):
    return post(api.address, "/v3/auth/authenticate", {"name": name, "password": "secret"}).json["token"]


def test_without_a_log_to_change_there_is_no_such_path():
    with served(MemoryService()) as api:
        assert put(api, '{"Level":"debug"}').status == 404
