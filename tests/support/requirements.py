"""What a test needs of the machine: skip on a user's machine, fail where all must run."""

import os

import pytest


def require(available: bool, what: str, remedy: str) -> None:
    """Skips the test when `what` is not there; fails it when MINIRAFT_REQUIRE_ALL is set."""
    if available:
        return
    text = f"{what} is not available: {remedy}"
    if os.environ.get("MINIRAFT_REQUIRE_ALL") == "1":
        pytest.fail(text)
    pytest.skip(text)
