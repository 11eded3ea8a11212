"""Tokens of the future, passwords in threads, and what --auth-token may say."""

import asyncio
import time

import bcrypt
import pytest

from miniraft.auth.caller import Caller
from miniraft.errors import EtcdError
from miniraft.runtime import credentials as module
from miniraft.runtime.credentials import CredentialSettings, RuntimeCredentials, read_token_options
from miniraft.server.authorization import Authorization
from tests.support.dict_store import DictStore

NONE = CredentialSettings(read_token_options(""), bcrypt_cost=4)


class Setting:
    """Credentials over an authorization that has applied up to `index`."""

    def __init__(self, settings=None):
        self.index = 10
        self.authorization = Authorization(DictStore(), 60_000)
        settings = settings or CredentialSettings(bcrypt_cost=4, index_patience_seconds=0.2)
        self.credentials = RuntimeCredentials(settings, self.authorization, lambda: self.index)


@pytest.fixture
def setting():
    setting = Setting()
    yield setting
    setting.credentials.close()


def refused(coroutine):
    with pytest.raises(EtcdError) as caught:
        asyncio.run(coroutine)
    return caught.value.message


def test_a_token_that_is_known_names_its_user_as_of_now(setting):
    token = setting.authorization.tokens.give("a", 5, "ann")
    setting.authorization.users.add_role("r")
    assert asyncio.run(setting.credentials.identify(token.encode())) == Caller("ann", 2)


@pytest.mark.parametrize("token", [b"", b"x", b"x.3", b"\xff\xfe", b"x.y"])
def test_one_that_cannot_come_any_more_is_refused_at_once(setting, token):
    began = time.monotonic()
    assert refused(setting.credentials.identify(token)) == "etcdserver: invalid auth token"
    assert time.monotonic() - began < 0.15


def test_one_from_an_entry_to_come_waits_for_it(setting):
    async def scenario():
        waiting = asyncio.ensure_future(setting.credentials.identify(b"letters.12"))
        await asyncio.sleep(0.03)
        assert not waiting.done()
        setting.authorization.tokens.give("letters", 12, "ann")
        setting.index = 12
        return await waiting

    assert asyncio.run(scenario()) == Caller("ann", 1)


def test_but_not_for_ever(setting):
    began = time.monotonic()
    assert refused(setting.credentials.identify(b"letters.99999")) == "etcdserver: invalid auth token"
    assert 0.2 <= time.monotonic() - began < 5


def test_passwords_are_hashed_as_etcd_does(setting):
    async def scenario():
        hashed = await setting.credentials.hash_password("pä")
        assert hashed.startswith(b"$2a$04$")
        assert await setting.credentials.is_password("pä", hashed)
        assert not await setting.credentials.is_password("p", hashed)
        assert not await setting.credentials.is_password("", b"")
        assert not await setting.credentials.is_password("p", b"no hash")
        # A hash of a longer password, by an older etcd, counts 72 bytes.
        old = bcrypt.hashpw(b"x" * 72, bcrypt.gensalt(4))
        assert await setting.credentials.is_password("x" * 80, old)

    asyncio.run(scenario())
    too_long = "bcrypt: password length exceeds 72 bytes"
    assert refused(setting.credentials.hash_password("x" * 73)) == too_long


def test_the_event_loop_goes_on_while_a_password_is_hashed():
    setting = Setting(CredentialSettings(bcrypt_cost=10))

    async def scenario():
        hashing = asyncio.ensure_future(setting.credentials.hash_password("p"))
        turns = 0
        while not hashing.done():
            turns += 1
            await asyncio.sleep(0.001)
        return turns

    assert asyncio.run(scenario()) > 5
    setting.credentials.close()


def test_only_so_many_passwords_wait(setting, monkeypatch):
    monkeypatch.setattr(module, "_MOST_WAITING", 2)

    async def scenario():
        asked = (setting.credentials.hash_password("p") for _ in range(4))
        return await asyncio.gather(*asked, return_exceptions=True)

    outcomes = asyncio.run(scenario())
    assert [isinstance(outcome, EtcdError) for outcome in outcomes] == [False, False, True, True]
    assert outcomes[-1].message == "etcdserver: too many requests"


def test_letters_are_sixteen_and_differ(setting):
    drawn = {setting.credentials.token_letters() for _ in range(100)}
    assert len(drawn) == 100
    assert all(len(letters) == 16 and letters.isascii() and letters.isalpha() for letters in drawn)


def test_without_tokens_nobody_logs_in():
    setting = Setting(NONE)
    with pytest.raises(EtcdError, match="authentication failed"):
        setting.credentials.signed_token(Caller("ann", 1))
    setting.credentials.close()


def test_what_the_flag_says(tmp_path):
    key = tmp_path / "secret"
    key.write_bytes(b"s" * 64)
    assert read_token_options("simple").kind == "simple"
    options = read_token_options(f"jwt,sign-method=HS512,priv-key={key},ttl=1m30s")
    assert (options.kind, options.jwt.method, options.jwt.ttl_seconds) == ("jwt", "HS512", 90.0)
    assert read_token_options(f"jwt,sign-method=HS256,priv-key={key}").jwt.ttl_seconds == 300.0
