"""One member in a thread of this process."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from miniraft.testing.problem import EtcdError

if TYPE_CHECKING:
    from miniraft.runtime.server import RunningServer
    from miniraft.testing.event_loop import EventLoopThread

_ANY_PORT = "http://127.0.0.1:0"


class Etcd:
    """A cluster of one on 127.0.0.1, on ports of its own that stay the same until it is closed.

    `flags` are etcd's (`--max-txn-ops=5`). The data is in `folder`, or in a temporary one that goes
    with the server. Nothing waits for the disk unless `durable`: a test's data need not survive
    the machine. Used in a with statement, it runs from its beginning to its end.
    """

    def __init__(self, *flags: str, folder: str | Path | None = None, durable: bool = False) -> None:
        self._flags = flags
        self._durable = durable
        self._owns_folder = folder is None
        self.folder = Path(tempfile.mkdtemp(prefix="miniraft-") if folder is None else folder)
        self._client_url = self._peer_url = _ANY_PORT
        self._thread: EventLoopThread | None = None
        self._server: RunningServer | None = None

    def __enter__(self) -> Etcd:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<Etcd {self._client_url if self._server else 'stopped'}>"

    # Where it is ---------------------------------------------------------------------------
    @property
    def url(self) -> str:
        """Such as `http://127.0.0.1:40333`. Raises EtcdError before the first start."""
        if self._client_url == _ANY_PORT:
            raise EtcdError("the server has no port before its first start; call start()")
        return self._client_url

    @property
    def host(self) -> str:
        """The host in `url`."""
        return urlsplit(self.url).hostname or ""

    @property
    def port(self) -> int:
        """The port in `url`."""
        return urlsplit(self.url).port or 0

    @property
    def endpoint(self) -> str:
        """`host:port`, as gRPC clients and `--endpoints` want it."""
        return f"{self.host}:{self.port}"

    @property
    def running(self) -> bool:
        """Whether it serves."""
        return self._server is not None

    # What is done to it --------------------------------------------------------------------
    def start(self) -> None:
        """Starts it, on the data it had. Raises EtcdError when it cannot, or runs already."""
        from miniraft.config.load import load
        from miniraft.config.problem import ConfigError, UsageError
        from miniraft.runtime.server import StartError, start_server
        from miniraft.testing.event_loop import EventLoopThread

        if self._server is not None:
            raise EtcdError(f"the server runs already, on {self._client_url}")
        try:
            config = load((*self._own_flags(), *self._flags), {}).config
        except (ConfigError, UsageError) as error:
            raise EtcdError(f"{error.message}. {error.fix}".removesuffix(". ")) from None
        thread = EventLoopThread("miniraft")
        try:
            server = thread.run(start_server(config))
        except StartError as error:
            thread.close()
            raise EtcdError(str(error)) from None
        except BaseException:
            thread.close()
            raise
        self._thread, self._server = thread, server
        self._client_url, self._peer_url = server.client_urls[0], server.peer_urls[0]

    def stop(self) -> None:
        """Ends it; clients lose their connections. The data stays for the next start."""
        if self._server is None or self._thread is None:
            return
        try:
            self._thread.run(self._server.stop(hand_over=False))
        finally:
            self._thread.close()
            self._thread = self._server = None

    def restart(self) -> None:
        """Stops and starts it on the same data and the same ports."""
        self.stop()
        self.start()

    def reset(self) -> None:
        """Starts it anew with nothing in it: no keys, leases, users, and revision 1 again."""
        self.stop()
        shutil.rmtree(self._data_folder)
        self.start()

    def close(self) -> None:
        """Stops it for good and removes the temporary folder."""
        self.stop()
        if self._owns_folder:
            shutil.rmtree(self.folder, ignore_errors=True)

    @property
    def _data_folder(self) -> Path:
        return self.folder / "default.etcd"

    def _own_flags(self) -> list[str]:
        flags = [
            "--name=default",
            f"--data-dir={self._data_folder}",
            f"--listen-client-urls={self._client_url}",
            f"--advertise-client-urls={self._client_url}",
            f"--listen-peer-urls={self._peer_url}",
            f"--initial-advertise-peer-urls={self._peer_url}",
        ]
        return flags if self._durable else [*flags, "--unsafe-no-fsync"]
