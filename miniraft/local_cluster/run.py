"""Brings a local cluster up, shows it, and takes it down again."""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import os
import shutil
import signal
import sys
from typing import TYPE_CHECKING, NamedTuple

from miniraft.local_cluster import layout as layouts
from miniraft.local_cluster.control import control_server
from miniraft.local_cluster.plain import PlainOutput
from miniraft.local_cluster.problem import ClusterError
from miniraft.local_cluster.screen import Screen
from miniraft.local_cluster.supervisor import PROGRAM, Supervisor
from miniraft.local_cluster.web.server import WebPort, served_page

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from miniraft.local_cluster.layout import ClusterLayout
    from miniraft.local_cluster.view import Happening


class Options(NamedTuple):
    """What was asked for; None where nothing was."""

    folder: Path
    nodes: int | None = None
    base_port: int | None = None
    tls: bool | None = None
    fresh: bool = False
    web_port: int | None = None  # 0: no page


def run(options: Options, *, interactive: bool, program: Sequence[str] = PROGRAM) -> int:
    """Runs the cluster until it is told to stop. Returns the exit code. Raises ClusterError."""
    with _locked(options.folder, fresh=options.fresh):
        layout = prepare(options)
        layouts.check_ports(layout)
        page = page_place(layout, options.web_port)
        return asyncio.run(_run(layout, program, page, interactive=interactive))


def prepare(options: Options) -> ClusterLayout:
    """The cluster in the folder, or a new one there with its certificates. Raises ClusterError."""
    existing = layouts.load(options.folder)
    nodes = layouts.DEFAULT_NODES if options.nodes is None else options.nodes
    layout = existing or layouts.plan(
        options.folder,
        nodes,
        options.base_port,
        tls=options.tls is not False,
    )
    if existing:
        _check_same(existing, options)
    if layout.tls:
        make_certificates(layout)
    layouts.save(layout)
    return layout


def _check_same(existing: ClusterLayout, options: Options) -> None:
    """A cluster that has data is not turned into another one by accident."""
    wanted = existing
    if options.nodes is not None and options.nodes != len(existing.members):
        wanted = layouts.plan(options.folder, options.nodes, options.base_port, tls=existing.tls)
    elif options.base_port is not None:
        wanted = layouts.plan(options.folder, len(existing.members), options.base_port, tls=existing.tls)
    if wanted.members != existing.members or options.tls not in (None, existing.tls):
        ports = ", ".join(str(member.client_port) for member in existing.members)
        raise ClusterError(
            f"{options.folder} holds a cluster of {len(existing.members)} members on ports {ports}, "
            f"{'with' if existing.tls else 'without'} TLS; leave the options out to run that one, "
            "choose another --data-dir, or add --fresh to delete it"
        )


def page_place(layout: ClusterLayout, web_port: int | None) -> WebPort:
    """Where the page is to be served. Raises ClusterError when that cannot be."""
    if web_port is None:
        return WebPort(layout.page_port or None)
    if web_port == 0:
        return WebPort(None)
    taken = [port for member in layout.members for port in (member.client_port, member.peer_port)]
    if not 0 < web_port <= 65535 or web_port in taken:
        why = "a member has it" if web_port in taken else "that is no port"
        raise ClusterError(f"--web-port {web_port}: {why}; write another one, or 0 for no page")
    return WebPort(web_port, chosen=True)


def make_certificates(layout: ClusterLayout) -> None:
    """Makes what is not there yet of the members' and the client's certificates. Raises ClusterError."""
    from certs.folder import Folder
    from certs.make import Member, Request, make
    from certs.problem import CertificateError

    request = Request(tuple(Member(member.name, ()) for member in layout.members))
    try:
        make(Folder(layout.certificates), request)
    except CertificateError as error:
        raise ClusterError(f"{error} (in {layout.certificates})") from None


@contextlib.contextmanager
def _locked(folder: Path, *, fresh: bool) -> Iterator[None]:
    """Makes the folder and keeps a second cluster out of it."""
    known = (folder / layouts.LAYOUT_FILE).exists()
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        if not known and any(path.name != "lock" for path in folder.iterdir()):
            raise ClusterError(f"{folder} holds something else than a cluster; choose another --data-dir")
        handle = os.open(folder / "lock", os.O_RDWR | os.O_CREAT, 0o600)
    except OSError as error:
        raise ClusterError(f"cannot use {folder}: {error.strerror}; choose another --data-dir") from None
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise ClusterError(
                f"a cluster runs in {folder} already; miniraft cluster status --data-dir {folder} shows it"
            ) from None
        if fresh:
            _wipe(folder)
        yield
    finally:
        os.close(handle)


def _wipe(folder: Path) -> None:
    """Deletes what a cluster keeps, and nothing else that may be in the folder."""
    layout = layouts.load(folder)
    if layout is None:
        return
    for member in layout.members:
        shutil.rmtree(layout.data_folder(member), ignore_errors=True)
        layout.log_file(member).unlink(missing_ok=True)
        layout.log_file(member).with_suffix(".log.old").unlink(missing_ok=True)
    shutil.rmtree(layout.certificates, ignore_errors=True)
    (folder / layouts.LAYOUT_FILE).unlink()


async def _run(layout: ClusterLayout, program: Sequence[str], place: WebPort, *, interactive: bool) -> int:
    supervisor = Supervisor(layout, program)
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()

    def ask_to_stop() -> None:
        if stop.is_set():
            supervisor.kill_all()  # asked twice: no more patience
        stop.set()

    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        loop.add_signal_handler(number, ask_to_stop)
    async with control_server(supervisor), served_page(supervisor, place) as page:
        supervisor.page_url = page.url
        try:
            await supervisor.start()
            if interactive:
                screen = Screen(supervisor, ask_to_stop, page.problem)
                supervisor.changed = _each(screen.changed, page.changed)
                with screen.shown():
                    await _until_stopped(supervisor, stop)
                    await supervisor.shut_down()
            else:
                output = PlainOutput(supervisor)
                output.started(page.problem)
                supervisor.changed = _each(output.changed, page.changed)
                await _until_stopped(supervisor, stop)
                await supervisor.shut_down()
                output.stopped()
        finally:
            supervisor.changed = lambda _: None
            await supervisor.shut_down()
    if not stop.is_set():
        _tell_why(supervisor)
        return 1
    return 0


def _each(*tellers: Callable[[list[Happening]], None]) -> Callable[[list[Happening]], None]:
    """Calls all of them."""

    def changed(happenings: list[Happening]) -> None:
        for tell in tellers:
            tell(happenings)

    return changed


async def _until_stopped(supervisor: Supervisor, stop: asyncio.Event) -> None:
    """Waits for the word to stop, or until every member gave up by itself."""
    while not stop.is_set() and not supervisor.all_gave_up:
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(stop.wait(), 0.2)


def _tell_why(supervisor: Supervisor) -> None:
    for happening in supervisor.story.newest_last():
        if happening.kind == "problem":
            sys.stderr.write(f"{happening.member}: {happening.text}\n")
    logs = ", ".join(str(supervisor.layout.log_file(member)) for member in supervisor.layout.members)
    sys.stderr.write(f"miniraft cluster: every member ended by itself; their logs: {logs}\n")
