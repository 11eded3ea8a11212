"""Simple tokens and signed ones."""

import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

from miniraft.auth.caller import Caller
from miniraft.auth.jwt_tokens import JwtOptions, JwtTokens
from miniraft.auth.simple_tokens import SimpleTokens, index_of
from miniraft.errors import EtcdError

ANN = Caller("ann", 7)
NOW = 1_700_000_000.0


# Simple tokens --------------------------------------------------------------------------------
def test_a_token_lives_as_long_as_it_is_used():
    tokens = SimpleTokens(ttl_ms=1000)
    used, unused = tokens.give("a", 1, "ann"), tokens.give("b", 2, "bob")
    tokens.advance(900)
    assert tokens.use(used) == "ann"
    tokens.advance(1000)
    assert tokens.use(unused) is None
    tokens.advance(1899)
    assert tokens.use(used) == "ann"
    tokens.advance(2898)
    assert len(tokens) == 1
    tokens.advance(2899)
    assert len(tokens) == 0


def test_a_token_is_the_letters_and_the_index():
    assert SimpleTokens(1).give("letters", 42, "ann") == "letters.42"
    assert index_of("letters.42") == 42
    for broken in ("", "letters", ".42", "letters.", "letters.x", "letters.-1", "a." + "9" * 30, "a.٣"):
        assert index_of(broken) is None


def test_all_tokens_of_a_user_can_be_dropped():
    tokens = SimpleTokens(1000)
    first, second, other = (tokens.give("l", index, name) for index, name in enumerate(("ann", "ann", "bob")))
    tokens.drop_user("ann")
    assert [tokens.use(token) for token in (first, second, other)] == [None, None, "bob"]
    tokens.clear()
    assert tokens.use(other) is None


def test_memory_for_tokens_is_bounded(monkeypatch):
    monkeypatch.setattr("miniraft.auth.simple_tokens._MOST_TOKENS", 3)
    tokens = SimpleTokens(1000)
    given = []
    for index in range(5):
        tokens.advance(index)
        given.append(tokens.give("l", index, "ann"))
    assert [tokens.use(token) for token in given] == [None, None, "ann", "ann", "ann"]


# Signed tokens --------------------------------------------------------------------------------
def pem(key):
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def public_pem(key):
    return key.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )


RSA_KEY = rsa.generate_private_key(65537, 2048)
KEYS = {
    **{f"{family}{bits}": RSA_KEY for family in ("RS", "PS") for bits in (256, 384, 512)},
    "ES256": ec.generate_private_key(ec.SECP256R1()),
    "ES384": ec.generate_private_key(ec.SECP384R1()),
    "ES512": ec.generate_private_key(ec.SECP521R1()),
    "EdDSA": ed25519.Ed25519PrivateKey.generate(),
}
SECRET = b"0123456789abcdef" * 4


def refused(function, *arguments):
    with pytest.raises(EtcdError) as caught:
        function(*arguments)
    return caught.value.message


@pytest.mark.parametrize("method", KEYS)
def test_what_one_member_signs_another_verifies_with_the_public_key(method):
    signing = JwtTokens(JwtOptions(method, 60.0, private_key=pem(KEYS[method])))
    verifying = JwtTokens(JwtOptions(method, 60.0, public_key=public_pem(KEYS[method])))
    token = signing.sign(ANN, NOW)
    assert signing.verify(token, NOW) == ANN
    assert verifying.verify(token, NOW) == ANN
    assert verifying.is_verify_only
    assert not signing.is_verify_only
    assert refused(verifying.sign, ANN, NOW) == "auth: token signing attempted with verify-only key"


@pytest.mark.parametrize("method", ["HS256", "HS384", "HS512"])
def test_a_shared_secret(method):
    tokens = JwtTokens(JwtOptions(method, 60.0, private_key=SECRET))
    assert tokens.verify(tokens.sign(ANN, NOW), NOW) == ANN


def test_the_claims_are_etcds():
    tokens = JwtTokens(JwtOptions("HS256", 60.0, private_key=SECRET))
    claims = jwt.decode(tokens.sign(ANN, NOW), SECRET, algorithms=["HS256"], options={"verify_exp": False})
    assert claims == {"username": "ann", "revision": 7, "exp": int(NOW) + 60}


def test_a_token_ends_at_its_time_also_when_it_was_seen_before():
    tokens = JwtTokens(JwtOptions("HS256", 60.0, private_key=SECRET))
    token = tokens.sign(ANN, NOW)
    assert tokens.verify(token, NOW + 59) == ANN
    assert refused(tokens.verify, token, NOW + 60) == "etcdserver: invalid auth token"


def test_what_is_forged_or_malformed_is_refused():
    tokens = JwtTokens(JwtOptions("RS256", 60.0, private_key=pem(RSA_KEY)))
    good = {"username": "root", "revision": 1, "exp": NOW + 60}
    other_key = rsa.generate_private_key(65537, 2048)
    forged = [
        jwt.encode(good, other_key, algorithm="RS256"),
        jwt.encode(good, RSA_KEY, algorithm="RS512"),  # another method than the one agreed on
        jwt.encode(good, "0123456789abcdef" * 4, algorithm="HS256"),
        jwt.encode(good, None, algorithm="none"),
        jwt.encode({**good, "username": 5}, RSA_KEY, algorithm="RS256"),
        jwt.encode({**good, "revision": "1"}, RSA_KEY, algorithm="RS256"),
        jwt.encode({**good, "revision": True}, RSA_KEY, algorithm="RS256"),
        jwt.encode({"username": "root"}, RSA_KEY, algorithm="RS256"),
        jwt.encode({**good, "exp": "late"}, RSA_KEY, algorithm="RS256"),
        "",
        "a.b.c",
        "letters.12",
        "x" * 10_000,
    ]
    for token in forged:
        assert refused(tokens.verify, token, NOW) == "etcdserver: invalid auth token"
    assert tokens.verify(jwt.encode(good, RSA_KEY, algorithm="RS256"), NOW) == Caller("root", 1)


@pytest.mark.parametrize(
    ("options", "text"),
    [
        (JwtOptions("none", 1.0), "sign-method 'none' is not one of HS256"),
        (JwtOptions("HS256", 1.0), "HS256 needs priv-key: a file with the shared secret"),
        (JwtOptions("RS256", 1.0), "RS256 needs priv-key, or pub-key"),
        (JwtOptions("RS256", 1.0, private_key=b"x"), "priv-key holds no key in PEM"),
        (JwtOptions("ES256", 1.0, private_key=pem(RSA_KEY)), "priv-key holds a key of another kind"),
        (JwtOptions("ES256", 1.0, private_key=pem(KEYS["ES384"])), "ES256 needs one of 256 bits"),
        (
            JwtOptions("RS256", 1.0, public_pem(rsa.generate_private_key(65537, 2048)), pem(RSA_KEY)),
            "pub-key and priv-key do not belong together",
        ),
    ],
)
def test_keys_that_cannot_be_used(options, text):
    with pytest.raises(ValueError, match=text):
        JwtTokens(options)
