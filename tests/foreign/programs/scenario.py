"""What the programs of the foreign clients share; it runs in their environments, without ours.

    PROGRAM SERVER [SCENARIO...]

SERVER is a JSON object: `host`, `port`, and with TLS `ca`, `cert`, `key`. A scenario is a public
function (or coroutine function) of the program that takes a `Server`; without names all are run.
"""

import asyncio
import contextlib
import inspect
import json
import sys
import time
import traceback


class Server:
    """Where the cluster is reached."""

    def __init__(self, host, port, ca=None, cert=None, key=None):
        self.host = host
        self.port = port
        self.ca = ca
        self.cert = cert
        self.key = key

    @property
    def tls(self):
        """The keyword arguments for TLS that most clients take."""
        return {"ca_cert": self.ca, "cert_cert": self.cert, "cert_key": self.key} if self.ca else {}


def eventually(condition, seconds=10.0):
    """Waits until a condition holds, and returns its value."""
    deadline = time.monotonic() + seconds
    while not (value := condition()):
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {seconds} s: {inspect.getsource(condition).strip()}")
        time.sleep(0.02)
    return value


@contextlib.contextmanager
def raising(kind):
    """Expects an exception; yields a list that holds it afterwards."""
    caught = []
    try:
        yield caught
    except kind as error:
        caught.append(error)
        return
    raise AssertionError(f"{kind.__name__} was not raised")


def main(module):
    """Runs the scenarios that the command line names; exits with 1 when one fails."""
    server = Server(**json.loads(sys.argv[1]))
    scenarios = {
        name: value
        for name, value in vars(module).items()
        if inspect.isfunction(value) and value.__module__ == module.__name__ and not name.startswith("_")
    }
    failed = []
    for name in sys.argv[2:] or scenarios:
        try:
            result = scenarios[name](server)
            if inspect.isawaitable(result):
                asyncio.run(asyncio.wait_for(result, 30))
        except Exception:  # noqa: BLE001 (told, and the next one runs)
            traceback.print_exc()
            failed.append(name)
    if failed:
        sys.exit(f"failed: {', '.join(failed)}")
