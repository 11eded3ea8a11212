"""What checking who somebody is needs from outside: time, randomness, threads and key files."""

from __future__ import annotations

import asyncio
import secrets
import string
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

import bcrypt

from miniraft.auth.caller import Caller
from miniraft.auth.simple_tokens import TOKEN_LETTERS, index_of
from miniraft.errors import AUTH_FAILED, INVALID_AUTH_TOKEN, PASSWORD_TOO_LONG, TOO_MANY_REQUESTS
from miniraft.runtime.config import parse_duration_seconds

if TYPE_CHECKING:
    from collections.abc import Callable

    from miniraft.auth.jwt_tokens import JwtOptions, JwtTokens
    from miniraft.server.authorization import Authorization

SIMPLE = "simple"
JWT = "jwt"
_NO_TOKENS = ""  # nobody can log in; certificates still name users
_JWT_OPTIONS = ("pub-key", "priv-key", "sign-method", "ttl")
_JWT_TTL_SECONDS = 300.0
_LONGEST_PASSWORD_BYTES = 72
_HASHING_THREADS = 2
_MOST_WAITING = 1000  # passwords to be hashed or checked
_INDEX_POLL_SECONDS = 0.01

Result = TypeVar("Result")


class TokenOptions(NamedTuple):
    """What `--auth-token` says."""

    kind: str
    jwt: JwtOptions | None = None  # with kind jwt


def read_token_options(text: str) -> TokenOptions:
    """Reads `simple`, `jwt,<option>=<value>,...` or nothing, and the key files it names.

    Raises ValueError, saying what is wrong and what to write.
    """
    kind, _, rest = text.partition(",")
    if kind == JWT:
        return TokenOptions(JWT, _read_jwt_options(rest))
    if kind not in (SIMPLE, _NO_TOKENS):
        raise ValueError(f"--auth-token: there are no tokens of kind {kind!r}: write simple or jwt,...")
    if rest:
        raise ValueError(f"--auth-token: {kind} takes no options: leave {rest!r} out")
    return TokenOptions(kind)


def _read_jwt_options(text: str) -> JwtOptions:
    from miniraft.auth.jwt_tokens import METHODS, JwtOptions, JwtTokens  # dear, and seldom needed

    options: dict[str, str] = {}
    for part in text.split(",") if text else ():
        name, equals, value = part.partition("=")
        if name not in _JWT_OPTIONS or not equals or name in options:
            raise ValueError(
                f"--auth-token: {part!r} is no option of jwt, or stands twice: "
                f"write {', '.join(f'{option}=...' for option in _JWT_OPTIONS)}, each at most once"
            )
        options[name] = value
    if "sign-method" not in options:
        raise ValueError(f"--auth-token: jwt needs sign-method: one of {', '.join(METHODS)}")
    ttl_seconds = _JWT_TTL_SECONDS
    if "ttl" in options:
        try:
            ttl_seconds = parse_duration_seconds(options["ttl"])
        except ValueError as error:
            raise ValueError(f"--auth-token: ttl: {error}") from None
        if ttl_seconds <= 0:
            raise ValueError(f"--auth-token: ttl={options['ttl']} must be positive")
    read = JwtOptions(
        options["sign-method"],
        ttl_seconds,
        _read_key(options.get("pub-key", "")),
        _read_key(options.get("priv-key", "")),
    )
    try:
        JwtTokens(read)
    except ValueError as error:
        raise ValueError(f"--auth-token: {error}") from None
    return read


def _read_key(file: str) -> bytes:
    if not file:
        return b""
    try:
        return Path(file).read_bytes()
    except OSError as error:
        raise ValueError(f"--auth-token: cannot read {file}: {error.strerror}") from None


class CredentialSettings(NamedTuple):
    """How users prove who they are. Defaults as etcd's."""

    tokens: TokenOptions = TokenOptions(SIMPLE)
    bcrypt_cost: int = 10
    accepts_certificates: bool = False  # --client-cert-auth: a certificate's common name is a user's name
    index_patience_seconds: float = 7.0  # for a token from an entry that is not applied here yet


class RuntimeCredentials:
    """Implements `server.service.Credentials` with this machine's clock, randomness and threads."""

    def __init__(
        self, settings: CredentialSettings, authorization: Authorization, applied_index: Callable[[], int]
    ) -> None:
        """Raises ValueError for JWT keys that cannot be used."""
        self.accepts_certificates = settings.accepts_certificates
        self._settings = settings
        self._authorization = authorization
        self._applied_index = applied_index
        self._jwt = _jwt_tokens(settings.tokens.jwt)
        self._threads = ThreadPoolExecutor(_HASHING_THREADS, thread_name_prefix="passwords")
        self._waiting = 0

    # Tokens -----------------------------------------------------------------------------------
    async def identify(self, token: bytes) -> Caller:
        """See Credentials.identify."""
        text = token.decode("ascii", "replace")
        if self._jwt is not None:
            return self._jwt.verify(text, time.time())
        authorization = self._authorization
        username = authorization.tokens.use(text)
        if username is None:
            await self._wait_for_index(text)
            username = authorization.tokens.use(text)
            if username is None:
                raise INVALID_AUTH_TOKEN.fresh()
        return Caller(username, authorization.users.revision)

    async def _wait_for_index(self, token: str) -> None:
        """Waits while this member has not come to the entry that gave the token out, a while."""
        index = index_of(token)
        if index is None:
            return
        until = time.monotonic() + self._settings.index_patience_seconds
        while index > self._applied_index() and time.monotonic() < until:  # noqa: ASYNC110 (rare)
            await asyncio.sleep(_INDEX_POLL_SECONDS)

    def signed_token(self, caller: Caller) -> str | None:
        """See Credentials.signed_token."""
        if self._settings.tokens.kind == _NO_TOKENS:
            raise AUTH_FAILED.fresh()
        return None if self._jwt is None else self._jwt.sign(caller, time.time())

    def token_letters(self) -> str:
        """See Credentials.token_letters."""
        return "".join(secrets.choice(string.ascii_letters) for _ in range(TOKEN_LETTERS))

    # Passwords --------------------------------------------------------------------------------
    async def hash_password(self, password: str) -> bytes:
        """See Credentials.hash_password."""
        raw = password.encode()
        if len(raw) > _LONGEST_PASSWORD_BYTES:
            raise PASSWORD_TOO_LONG.fresh()
        return await self._in_thread(_hash, raw, self._settings.bcrypt_cost)

    async def is_password(self, password: str, password_hash: bytes) -> bool:
        """See Credentials.is_password."""
        return await self._in_thread(_matches, password.encode(), password_hash)

    async def _in_thread(self, function: Callable[..., Result], *arguments: Any) -> Result:
        if self._waiting >= _MOST_WAITING:
            raise TOO_MANY_REQUESTS.fresh()
        self._waiting += 1
        try:
            return await asyncio.get_running_loop().run_in_executor(self._threads, function, *arguments)
        finally:
            self._waiting -= 1

    def close(self) -> None:
        """Lets go of the threads."""
        self._threads.shutdown(wait=False, cancel_futures=True)


def _jwt_tokens(options: JwtOptions | None) -> JwtTokens | None:
    if options is None:
        return None
    from miniraft.auth.jwt_tokens import JwtTokens

    return JwtTokens(options)


def _hash(password: bytes, cost: int) -> bytes:
    return bcrypt.hashpw(password, bcrypt.gensalt(cost, prefix=b"2a"))


def _matches(password: bytes, password_hash: bytes) -> bool:
    try:
        return bcrypt.checkpw(password[:_LONGEST_PASSWORD_BYTES], password_hash)
    except ValueError:
        return False  # no bcrypt hash: a password that was taken away
