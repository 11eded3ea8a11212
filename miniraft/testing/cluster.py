"""Several members as processes, to be killed, paused and brought back."""

from __future__ import annotations

import contextlib
import shutil
import socket
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

from miniraft.testing.problem import EtcdError

if TYPE_CHECKING:
    from collections.abc import Callable

    from miniraft.local_cluster.layout import ClusterLayout
    from miniraft.local_cluster.supervisor import Supervisor
    from miniraft.testing.event_loop import EventLoopThread

_POLL_SECONDS = 0.02
_PATIENCE_SECONDS = 60.0


class EtcdCluster:
    """Members n1, n2, ... on 127.0.0.1, each a process of its own.

    With `tls` clients need `cacert`, `cert` and `key`. Used in a with statement, it is up with a
    leader at its beginning, and gone with its data at its end.
    """

    def __init__(self, nodes: int = 3, *, tls: bool = False) -> None:
        self._folder = Path(tempfile.mkdtemp(prefix="miniraft-"))
        self._layout = _layout(self._folder, nodes, tls=tls)
        self._thread: EventLoopThread | None = None
        self._supervisor: Supervisor | None = None

    def __enter__(self) -> EtcdCluster:
        try:
            self.start()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # Where it is ---------------------------------------------------------------------------
    @property
    def names(self) -> list[str]:
        """The members' names: n1, n2, ..."""
        return [member.name for member in self._layout.members]

    @property
    def endpoints(self) -> list[str]:
        """`host:port` of every member, in the order of `names`."""
        return [self.endpoint(name) for name in self.names]

    def endpoint(self, name: str) -> str:
        """`host:port` of one member."""
        return self.url(name).partition("//")[2]

    def url(self, name: str) -> str:
        """A member's client URL."""
        return self._layout.client_url(self._layout.member(name))

    def log(self, name: str) -> str:
        """What a member has logged, as lines of JSON."""
        return self._layout.log_file(self._layout.member(name)).read_text()

    @property
    def cacert(self) -> Path:
        """The authority that signed the members' certificates, with `tls`."""
        return self._layout.certificates / "ca.crt"

    @property
    def cert(self) -> Path:
        """A client's certificate, with `tls`."""
        return self._layout.certificates / "client.crt"

    @property
    def key(self) -> Path:
        """The key of `cert`, with `tls`."""
        return self._layout.certificates / "client.key"

    @property
    def leader(self) -> str | None:
        """The name of the leader that a majority follows, or None while there is none.

        Learnt by asking the members a few times a second: after a kill, use `wait_for_leader`.
        """
        view = self._running().view()
        if view.leader is None:
            return None
        name = view.leader.name
        return name if sum(member.leader == name for member in view.members) >= view.quorum else None

    # What is done to it --------------------------------------------------------------------
    def start(self) -> None:
        """Starts all members and waits for a leader that all follow. Raises EtcdError."""
        from miniraft.local_cluster.supervisor import Supervisor
        from miniraft.testing.event_loop import EventLoopThread

        if self._supervisor is not None:
            raise EtcdError("the cluster runs already")
        self._thread = EventLoopThread("miniraft-cluster")
        self._supervisor = Supervisor(self._layout)
        self._thread.run(self._supervisor.start())
        self._wait(lambda: self._followers() == len(self.names), "every member to follow a leader")

    def kill(self, name: str) -> None:
        """kill -9: no goodbye, nothing flushed."""
        self._do("kill", name)

    def stop(self, name: str) -> None:
        """Asks a member to end (SIGTERM); a leader hands over first."""
        self._do("stop", name)

    def pause(self, name: str) -> None:
        """Freezes a member (SIGSTOP): its connections stay open, nothing answers."""
        self._do("pause", name)

    def resume(self, name: str) -> None:
        """Lets a paused member go on."""
        self._do("resume", name)

    def restart(self, name: str) -> None:
        """Starts a member again on its data, stopping it first if it runs; waits until it follows."""
        self._do("restart", name)
        self._wait(lambda: self._answers(name), f"{name} to follow a leader")

    def wait_for_leader(self, other_than: str | None = None) -> str:
        """Waits until a majority follows a leader, other than the one named. Raises EtcdError."""

        def leader() -> str | None:
            found = self.leader
            return found if found != other_than else None

        return str(self._wait(leader, "a leader"))

    def close(self) -> None:
        """Stops every member and removes all data."""
        if self._supervisor is not None and self._thread is not None:
            try:
                self._thread.run(self._supervisor.end())
            finally:
                self._thread.close()
                self._supervisor = self._thread = None
        shutil.rmtree(self._folder, ignore_errors=True)

    def _do(self, command: str, name: str) -> None:
        from miniraft.local_cluster.problem import ClusterError

        supervisor, thread = self._running(), self._thread
        assert thread is not None
        try:
            thread.run(supervisor.execute(command, name))
        except ClusterError as error:
            raise EtcdError(str(error)) from None

    def _running(self) -> Supervisor:
        if self._supervisor is None:
            raise EtcdError("the cluster does not run; call start()")
        return self._supervisor

    def _answers(self, name: str) -> bool:
        return any(member.name == name and member.leader for member in self._running().view().members)

    def _followers(self) -> int:
        leader = self.leader
        return sum(member.leader == leader for member in self._running().view().members) if leader else 0

    def _wait(self, condition: Callable[[], object], what: str) -> object:
        until = time.monotonic() + _PATIENCE_SECONDS
        while time.monotonic() < until:
            if value := condition():
                return value
            ended = [member for member in self._running().view().members if "exited" in member.state]
            if ended:
                last = self.log(ended[0].name).splitlines()[-1:] or [""]
                raise EtcdError(f"{ended[0].name} {ended[0].state}: {last[0]}")
            time.sleep(_POLL_SECONDS)
        raise EtcdError(f"waited {_PATIENCE_SECONDS:g} s in vain for {what}")


def _layout(folder: Path, nodes: int, *, tls: bool) -> ClusterLayout:
    """Lays a cluster out on free ports, with certificates if it is to have TLS. Raises EtcdError."""
    from miniraft.local_cluster.layout import MAX_NODES, ClusterLayout, MemberLayout
    from miniraft.local_cluster.run import make_certificates

    if not 1 <= nodes <= MAX_NODES:
        raise EtcdError(f"nodes={nodes}: a number from 1 to {MAX_NODES} is possible")
    ports = iter(_free_ports(2 * nodes))
    members = [MemberLayout(number, f"n{number}", next(ports), next(ports)) for number in range(1, nodes + 1)]
    layout = ClusterLayout(folder, tuple(members), tls)
    if tls:
        make_certificates(layout)
    return layout


def _free_ports(count: int) -> list[int]:
    """Ports that nobody uses now. All are held until the last is found, so that none comes twice."""
    with contextlib.ExitStack() as held:
        sockets = [held.enter_context(socket.socket()) for _ in range(count)]
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [int(one.getsockname()[1]) for one in sockets]
