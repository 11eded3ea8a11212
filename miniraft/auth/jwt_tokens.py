"""Signed tokens (JSON Web Tokens): they say themselves whose they are and until when.

No member remembers them. They hold for one auth revision: after any change of users or roles
a client has to log in again.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeGuard

import jwt
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import load_pem_private_key, load_pem_public_key
from cryptography.x509 import load_pem_x509_certificate

from miniraft.auth.caller import Caller
from miniraft.errors import INVALID_AUTH_TOKEN, VERIFY_ONLY_KEY

if TYPE_CHECKING:
    from collections.abc import Callable

_KINDS_OF_KEYS: dict[str, tuple[Any, ...]] = {
    "RS": (rsa.RSAPrivateKey, rsa.RSAPublicKey),
    "PS": (rsa.RSAPrivateKey, rsa.RSAPublicKey),
    "ES": (ec.EllipticCurvePrivateKey, ec.EllipticCurvePublicKey),
    "Ed": (ed25519.Ed25519PrivateKey, ed25519.Ed25519PublicKey),
}
METHODS = (
    *(f"{family}{bits}" for family in ("HS", "RS", "PS", "ES") for bits in (256, 384, 512)),
    "EdDSA",
)
_CURVE_BITS = {"ES256": 256, "ES384": 384, "ES512": 521}
_MOST_REMEMBERED = 4096
_LONGEST_TOKEN = 8192  # characters


@dataclass(frozen=True, slots=True)
class JwtOptions:
    """What `--auth-token=jwt,...` says, with the files read. Keys are PEM, or the secret of HS*."""

    method: str
    ttl_seconds: float
    public_key: bytes = b""
    private_key: bytes = b""


class JwtTokens:
    """Signs and verifies. The time comes as an argument, in seconds since 1970."""

    def __init__(self, options: JwtOptions) -> None:
        """Raises ValueError, saying what is wrong, for keys that cannot be used."""
        self._method = options.method
        self._ttl_seconds = options.ttl_seconds
        self._verify_key, self._sign_key = _keys(options)
        # Verifying a signature costs more than all the rest of a read.
        self._remembered: OrderedDict[str, tuple[Caller, float | None]] = OrderedDict()

    @property
    def is_verify_only(self) -> bool:
        """Whether tokens can be verified here, but not signed."""
        return self._sign_key is None

    def sign(self, caller: Caller, now_seconds: float) -> str:
        """Returns a token. Raises VERIFY_ONLY_KEY without a private key."""
        if self._sign_key is None:
            raise VERIFY_ONLY_KEY.fresh()
        claims = {
            "username": caller.username,
            "revision": caller.auth_revision,
            "exp": int(now_seconds + self._ttl_seconds),
        }
        return jwt.encode(claims, self._sign_key, algorithm=self._method)

    def verify(self, token: str, now_seconds: float) -> Caller:
        """Returns who the token stands for. Raises INVALID_AUTH_TOKEN."""
        found = self._remembered.get(token)
        if found is None:
            found = self._decode(token)
            self._remembered[token] = found
            if len(self._remembered) > _MOST_REMEMBERED:
                self._remembered.popitem(last=False)
        caller, expires_seconds = found
        if expires_seconds is not None and now_seconds >= expires_seconds:
            raise INVALID_AUTH_TOKEN.fresh()
        return caller

    def _decode(self, token: str) -> tuple[Caller, float | None]:
        if len(token) > _LONGEST_TOKEN:
            raise INVALID_AUTH_TOKEN.fresh()
        # The expiry is checked against the time given, not the library's clock.
        unchecked = ("verify_exp", "verify_nbf", "verify_iat", "verify_aud", "verify_iss")
        options: Any = dict.fromkeys(unchecked, False)
        try:
            claims = jwt.decode(token, self._verify_key, algorithms=[self._method], options=options)
        except jwt.PyJWTError:
            raise INVALID_AUTH_TOKEN.fresh() from None
        username, revision, expires = (claims.get(name) for name in ("username", "revision", "exp"))
        if not isinstance(username, str) or not _is_number(revision):
            raise INVALID_AUTH_TOKEN.fresh()
        if expires is not None and not _is_number(expires):
            raise INVALID_AUTH_TOKEN.fresh()
        return Caller(username, max(int(revision), 0)), expires


def _is_number(value: object) -> TypeGuard[int | float]:
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < 2**63


def _keys(options: JwtOptions) -> tuple[Any, Any]:
    """Returns the keys to verify and to sign with; the latter None for a public key alone."""
    method = options.method
    if method not in METHODS:
        raise ValueError(f"sign-method {method!r} is not one of {', '.join(METHODS)}")
    if method.startswith("HS"):
        if not options.private_key:
            raise ValueError(f"{method} needs priv-key: a file with the shared secret")
        return options.private_key, options.private_key
    if not options.public_key and not options.private_key:
        raise ValueError(f"{method} needs priv-key, or pub-key to verify only: files in PEM")
    sign_key = _load("priv-key", options.private_key, _private_key, method)
    verify_key = _load("pub-key", options.public_key, _public_key, method)
    if sign_key is not None:
        if verify_key is not None and verify_key != sign_key.public_key():
            raise ValueError("pub-key and priv-key do not belong together")
        verify_key = sign_key.public_key()
    return verify_key, sign_key


def _load(option: str, pem: bytes, load: Callable[[bytes], Any], method: str) -> Any:
    if not pem:
        return None
    try:
        key: Any = load(pem)
    except (TypeError, ValueError) as error:
        raise ValueError(f"{option} holds no key in PEM that can be read: {error}") from None
    if not isinstance(key, _KINDS_OF_KEYS[method[:2]]):
        raise ValueError(f"{option} holds a key of another kind than {method} needs")  # noqa: TRY004
    bits = _CURVE_BITS.get(method)
    if bits is not None and key.curve.key_size != bits:
        raise ValueError(f"{option} holds a key on curve {key.curve.name}; {method} needs one of {bits} bits")
    return key


def _private_key(pem: bytes) -> Any:
    return load_pem_private_key(pem, password=None)


def _public_key(pem: bytes) -> Any:
    if b"BEGIN CERTIFICATE" in pem:
        return load_pem_x509_certificate(pem).public_key()
    return load_pem_public_key(pem)
