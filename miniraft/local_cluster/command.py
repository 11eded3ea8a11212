"""The command line of `miniraft cluster`."""

from __future__ import annotations

import shlex
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import click

from miniraft.local_cluster import layout as layouts
from miniraft.local_cluster.problem import ClusterError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from miniraft.local_cluster.layout import ClusterLayout

FOLLOW_SECONDS = 0.3
_CONTEXT = {"help_option_names": ["-h", "--help"]}

_data_dir = click.option("--data-dir", help=f"The cluster's folder.  [default: {layouts.DEFAULT_FOLDER}]")


@click.group(invoke_without_command=True, context_settings=_CONTEXT)
@click.option("--nodes", type=int, help="How many members, 1 to 7.  [default: 3, or as it was]")
@_data_dir
@click.option(
    "--base-port",
    type=int,
    help="First of the ports, two for each member. Default: 2379, 22379, 32379, ... as in "
    "etcd's own example of a local cluster, peers one higher.",
)
@click.option("--tls/--no-tls", default=None, help="With certificates made for it, or without.")
@click.option("--fresh", is_flag=True, help="Delete the data of the cluster in the folder and begin anew.")
@click.option("--yes", is_flag=True, help="Do not ask before --fresh deletes.")
@click.option("--plain", is_flag=True, help="Print lines even on a terminal.")
@click.option(
    "--web-port",
    type=int,
    help="Where on 127.0.0.1 the page for the browser is served; 0: nowhere.  "
    "[default: one below the first member's port, so 2378]",
)
@click.option("--no-web", is_flag=True, help="Serve no page.")
@click.pass_context
def command(
    context: click.Context,
    nodes: int | None,
    data_dir: str | None,
    base_port: int | None,
    tls: bool | None,
    fresh: bool,
    yes: bool,
    plain: bool,
    web_port: int | None,
    no_web: bool,
) -> None:
    """Start a local cluster, watch it, and break it.

    The data stays when it is stopped, and the next start brings the same cluster back. On a
    terminal a live view shows who leads and takes single keys; elsewhere lines are printed
    until SIGTERM or SIGINT. Both name a page for the browser, with a picture of the members, a
    timeline to go back in, puts and gets, and scenarios to try.
    """
    if context.invoked_subcommand is not None:
        return
    from miniraft.local_cluster.run import Options, run

    folder = Path(data_dir or layouts.DEFAULT_FOLDER)
    interactive = sys.stdin.isatty() and sys.stdout.isatty() and not plain
    if fresh and not yes and (folder / layouts.LAYOUT_FILE).exists():
        _confirm(folder)
    options = Options(folder, nodes, base_port, tls, fresh, 0 if no_web else web_port)
    context.exit(run(options, interactive=interactive))


def _confirm(folder: Path) -> None:
    if not sys.stdin.isatty():
        raise ClusterError(f"--fresh would delete the cluster in {folder}; add --yes if that is meant")
    if input(f"--fresh deletes every key of the cluster in {folder}. Type 'delete' to go on: ") != "delete":
        raise ClusterError("nothing was deleted")


def _folder(context: click.Context, data_dir: str | None) -> Path:
    """The folder named behind or before the subcommand."""
    outer = context.parent.params.get("data_dir") if context.parent else None
    return Path(data_dir or outer or layouts.DEFAULT_FOLDER)


def _layout(folder: Path) -> ClusterLayout:
    layout = layouts.load(folder)
    if layout is None:
        raise ClusterError(
            f"there is no cluster in {folder}; start one with: miniraft cluster --data-dir {folder}"
        )
    return layout


def _member_command(name: str, words: str) -> Callable[..., None]:
    @command.command(name, help=words)
    @click.argument("member")
    @_data_dir
    @click.pass_context
    def act(context: click.Context, member: str, data_dir: str | None) -> None:
        from miniraft.local_cluster.control import ask

        click.echo(ask(_folder(context, data_dir), name, member)["message"])

    return act


for _name, _words in (
    ("kill", "Kill a member with kill -9."),
    ("stop", "Stop a member with SIGTERM; a leader hands over first."),
    ("pause", "Freeze a member with SIGSTOP: it keeps its connections and answers nothing."),
    ("resume", "Let a paused member go on."),
    ("restart", "Start a member again on its data, stopping it first if it runs."),
):
    _member_command(_name, _words)


@command.command()
@_data_dir
@click.option("--json", "as_json", is_flag=True, help="As JSON.")
@click.pass_context
def status(context: click.Context, data_dir: str | None, as_json: bool) -> None:
    """Show the members of the running cluster, who leads and what may still be lost."""
    import json

    from miniraft.local_cluster.control import ask
    from miniraft.local_cluster.render import table
    from miniraft.local_cluster.view import Answer, ClusterView, MemberView, quorum_words

    found = ask(_folder(context, data_dir), "status")["status"]
    if as_json:
        click.echo(json.dumps(found))
        return
    members = tuple(
        MemberView(**{**member, "answer": Answer(**member["answer"]) if member["answer"] else None})
        for member in found["members"]
    )
    view = ClusterView(found["folder"], members)
    leads = f"{view.leader.name} leads in term {view.term}" if view.leader else "no leader"
    click.echo("\n".join((*table(members), f"{leads}; {quorum_words(view)}")))


@command.command()
@_data_dir
@click.pass_context
def env(context: click.Context, data_dir: str | None) -> None:
    """Print what etcdctl needs: eval "$(miniraft cluster env)"."""
    layout = _layout(_folder(context, data_dir))
    if not layout.tls:
        click.echo("unset ETCDCTL_CACERT ETCDCTL_CERT ETCDCTL_KEY")
    for name, value in layout.client_environment().items():
        click.echo(f"export {name}={shlex.quote(value)}")


@command.command()
@click.argument("member")
@_data_dir
@click.option("-f", "--follow", is_flag=True, help="Go on until interrupted.")
@click.pass_context
def logs(context: click.Context, member: str, data_dir: str | None, follow: bool) -> None:
    """Print a member's log in readable form."""
    layout = _layout(_folder(context, data_dir))
    file = layout.log_file(layout.member(member))
    try:
        with file.open(encoding="utf-8", errors="replace") as lines:
            while True:
                for line in lines:
                    click.echo(_readable(line), nl=False)
                if not follow:
                    return
                time.sleep(FOLLOW_SECONDS)
    except FileNotFoundError:
        raise ClusterError(f"{file} is not there: {member} was never started") from None


def _readable(line: str) -> str:
    """A JSON line of the log as a terminal shows it; anything else as it is."""
    import json
    from datetime import datetime

    from miniraft.runtime.log import Record, format_console

    try:
        event = json.loads(line)
        time_, level, message = datetime.fromisoformat(event.pop("ts")), event.pop("level"), event.pop("msg")
        record = Record(time_, level, event.pop("logger", ""), event.pop("caller", ""), message, event)
        return format_console(record)
    except (ValueError, KeyError, TypeError, AttributeError):
        return line


def main(arguments: Sequence[str]) -> int:
    """Runs `miniraft cluster` and returns its exit code: 0, 1 with a reason, 2 for wrong usage."""
    try:
        return int(command.main(list(arguments), prog_name="miniraft cluster", standalone_mode=False) or 0)
    except ClusterError as error:
        sys.stderr.write(f"miniraft cluster: {error}\n")
        return 1
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except click.exceptions.Exit as done:
        return done.exit_code
    except (click.exceptions.Abort, KeyboardInterrupt):
        return 130
