"""Simple tokens: `letters.index`, known to every member because each gives them out at apply.

The letters are drawn by the member that was asked, and travel in the log; the index is that of
the log entry. Tokens live in memory alone and end when they have not been used for a while.
"""

from __future__ import annotations

from collections import OrderedDict

TOKEN_LETTERS = 16
_MOST_TOKENS = 1_000_000  # about 200 MB; those used least recently make way


class SimpleTokens:
    """The tokens one member knows. Time is what `advance` said last, in milliseconds.

    Invariant: tokens stand in the order of their last use, so those to expire stand first.
    """

    def __init__(self, ttl_ms: int) -> None:
        """`ttl_ms`: how long a token lives without being used, at least 1."""
        if ttl_ms < 1:
            raise ValueError(f"ttl_ms {ttl_ms} must be positive")
        self._ttl_ms = ttl_ms
        self._now_ms = 0
        self._tokens: OrderedDict[str, tuple[str, int]] = OrderedDict()  # (user name, last use)

    def __len__(self) -> int:
        return len(self._tokens)

    def advance(self, now_ms: int) -> None:
        """Time has passed: drops the tokens that were not used for long enough."""
        self._now_ms = now_ms
        tokens, oldest_ms = self._tokens, now_ms - self._ttl_ms
        while tokens:
            token = next(iter(tokens))
            if tokens[token][1] > oldest_ms:
                break
            del tokens[token]

    def give(self, letters: str, index: int, user_name: str) -> str:
        """Returns the token of the log entry at `index` for a user."""
        token = f"{letters}.{index}"
        self._tokens[token] = (user_name, self._now_ms)
        self._tokens.move_to_end(token)
        if len(self._tokens) > _MOST_TOKENS:
            self._tokens.popitem(last=False)
        return token

    def use(self, token: str) -> str | None:
        """Returns whose token it is, and lets it live on; None for one that is not known."""
        found = self._tokens.get(token)
        if found is None:
            return None
        if found[1] != self._now_ms:
            self._tokens[token] = (found[0], self._now_ms)
            self._tokens.move_to_end(token)
        return found[0]

    def drop_user(self, user_name: str) -> None:
        """The user's password has changed, or the user is gone."""
        for token in [token for token, (owner, _) in self._tokens.items() if owner == user_name]:
            del self._tokens[token]

    def clear(self) -> None:
        """Drops all."""
        self._tokens.clear()


def index_of(token: str) -> int | None:
    """Returns the log index in a simple token, or None when it is none."""
    letters, dot, index = token.partition(".")
    if not dot or not letters or not index.isascii() or not index.isdigit() or len(index) > 20:
        return None
    return int(index)
