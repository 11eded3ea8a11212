"""The `miniraft-certs` command (`python -m certs`)."""

from __future__ import annotations

import os
import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from certs.explain import explain
from certs.flags import client_environment, member_flags
from certs.folder import Folder, Owner
from certs.make import Member, Request, client_files, make, parse_member
from certs.problem import CertificateError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from certs.make import Outcome

DEFAULT_FOLDER = "certs/out"


def parse_owner(text: str) -> Owner:
    """Reads `uid:gid`. Raises CertificateError."""
    uid, colon, gid = text.partition(":")
    if not (colon and uid.isascii() and uid.isdigit() and gid.isascii() and gid.isdigit()):
        raise CertificateError(f"--owner {text!r}: write two numbers, as in --owner 1000:1000")
    return Owner(int(uid), int(gid))


def summary(folder: Path, outcomes: list[Outcome]) -> Iterator[str]:
    """One line a certificate, and one for them all."""
    for outcome in outcomes:
        until = outcome.not_valid_after.strftime("%Y-%m-%d")
        yield f"{outcome.action:8} {folder / outcome.file}  (until {until})"
    made = sum(outcome.action != "kept" for outcome in outcomes)
    yield f"{made} made, {len(outcomes) - made} kept in {folder}" if made else f"nothing to do in {folder}"


def instructions(folder: Path, request: Request) -> Iterator[str]:
    """What to type next: the flags of each member and the variables of etcdctl."""
    place = folder.absolute()
    for member in request.members:
        yield ""
        yield f"Flags of {member.name}:"
        for flag, file in member_flags(place, member.name).items():
            yield f"  --{flag}" + (f"={shlex.quote(str(file))}" if file else "")
    for client in client_files(request):
        yield ""
        yield f"etcdctl as {request.client_name if client == 'client' else client.removeprefix('client-')}:"
        for name, value in client_environment(place, client).items():
            yield f"  export {name}={shlex.quote(value)}"


@click.group(invoke_without_command=True, context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--out", default=DEFAULT_FOLDER, show_default=True, help="Folder to fill.")
@click.option(
    "--member",
    "members",
    multiple=True,
    metavar="NAME=HOST,HOST",
    help="A member and where others reach it; again for each. Its own name, localhost, "
    "127.0.0.1 and ::1 are always added. Default: one member called default.",
)
@click.option(
    "--client-cn", default="root", show_default=True, help="Common name, that is user, of client.crt."
)
@click.option("--client", "clients", multiple=True, metavar="NAME", help="A further client: client-NAME.crt.")
@click.option("--days", default=365, show_default=True, help="Days that certificates are valid.")
@click.option("--ca-days", default=3650, show_default=True, help="Days that the two authorities are valid.")
@click.option("--owner", metavar="UID:GID", help="Give the files to this user and group (needs root).")
@click.option(
    "--renew",
    is_flag=True,
    help="Replace certificates that expire within 30 days, lack a host "
    "or bear another name; keys and authorities stay.",
)
@click.option("--quiet", is_flag=True, help="Print nothing but what went wrong.")
@click.pass_context
def command(
    context: click.Context,
    out: str,
    members: tuple[str, ...],
    client_cn: str,
    clients: tuple[str, ...],
    days: int,
    ca_days: int,
    owner: str | None,
    renew: bool,
    quiet: bool,
) -> None:
    """Make the certificates of a cluster: only what is missing, never over existing files."""
    if context.invoked_subcommand is not None:
        return
    folder = Path(out)
    request = Request(
        members=tuple(map(parse_member, members)) or (Member("default", ()),),
        client_name=client_cn,
        further_clients=clients,
        days=days,
        authority_days=ca_days,
        renew=renew,
    )
    outcomes = make(Folder(folder, parse_owner(owner) if owner else None), request)
    if not quiet:
        click.echo("\n".join((*summary(folder, outcomes), *instructions(folder, request))))


@command.command()
@click.argument("file")
def show(file: str) -> None:
    """Say in words what a certificate or key is."""
    click.echo(explain(Path(file)), nl=False)


def main() -> int:
    """Runs the command and returns its exit code: 0, or 1 with a reason on stderr."""
    os.umask(0o077)
    try:
        command(prog_name="miniraft-certs", standalone_mode=False)
    except CertificateError as problem:
        sys.stderr.write(f"miniraft-certs: {problem}\n")
        return 1
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except click.exceptions.Abort:
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
