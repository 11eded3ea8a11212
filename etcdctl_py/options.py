"""The global flags, the ETCDCTL_* variables, and how the two meet."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from etcdctl_py.failure import CommandError, ExitCode, bad_arguments
from etcdctl_py.flags import DURATION, LIST, TEXT, Flag, number, string, switch

if TYPE_CHECKING:
    from collections.abc import Mapping

    from etcdctl_py.console import Console

GLOBAL_FLAGS = (
    Flag("endpoints", LIST, ["127.0.0.1:2379"], "client URLs of the members, tried one after the other"),
    Flag("write-out", TEXT, "simple", "output format: fields, json, protobuf, simple or table", "w"),
    switch("hex", "print keys and values as hexadecimal bytes"),
    switch("debug", "show the settings in force and every attempt on stderr"),
    Flag("dial-timeout", DURATION, 2.0, "time to connect to one endpoint"),
    Flag("command-timeout", DURATION, 5.0, "time for a command that answers once"),
    Flag("keepalive-time", DURATION, 2.0, "accepted for compatibility; HTTP needs no pings"),
    Flag("keepalive-timeout", DURATION, 6.0, "accepted for compatibility; HTTP needs no pings"),
    number("max-request-bytes", "accepted for compatibility; the server's limit counts"),
    number("max-recv-bytes", "accepted for compatibility; answers have no limit here"),
    switch("insecure-transport", "speak plain HTTP to endpoints without a scheme", default=True),
    switch("insecure-discovery", "accept insecure SRV records", default=True),
    switch("insecure-skip-tls-verify", "accept any server certificate (only for tests)"),
    string("cert", "file of the client certificate"),
    string("key", "file of the client certificate's key"),
    string("cacert", "file of the authority that signed the servers' certificates"),
    string("user", "name[:password]; asks for a password that is missing"),
    string("password", "password; --user is then only the name"),
    string("auth-jwt-token", "token to send instead of logging in"),
    Flag("discovery-srv", TEXT, "", "domain whose SRV records name the endpoints (not supported)", "d"),
    string("discovery-srv-name", "service name in those SRV records (not supported)"),
)
_OTHER_VARIABLES = frozenset({"ETCDCTL_API", "ETCDCTL_WATCH_KEY", "ETCDCTL_WATCH_RANGE_END"})


def variable(flag_name: str) -> str:
    """The environment variable of a flag."""
    return "ETCDCTL_" + flag_name.upper().replace("-", "_")


class Options:
    """The global settings of one run. Read by name: `options["dial-timeout"]`."""

    def __init__(self, values: dict[str, Any], given: frozenset[str]) -> None:
        self._values = values
        self.given = given

    def __getitem__(self, name: str) -> Any:
        return self._values[name]

    @property
    def endpoints(self) -> list[str]:
        """The endpoints as they were written."""
        return list(self._values["endpoints"])

    @property
    def wants_tls(self) -> bool:
        """Whether an endpoint without a scheme is spoken to over TLS, by etcdctl's rule."""
        return bool(self["cert"] or self["key"] or self["cacert"] or not self._values["insecure-transport"])


def gather(given: Mapping[str, Any], console: Console) -> Options:
    """Joins flags and variables. Raises CommandError where both name the same option."""
    environment = console.environment
    _check_api_version(environment)
    known = {variable(flag.long): flag for flag in GLOBAL_FLAGS}
    values: dict[str, Any] = {flag.long: flag.initial for flag in GLOBAL_FLAGS}
    named: set[str] = set()
    for name in sorted(name for name in environment if name.startswith("ETCDCTL_")):
        flag = known.get(name)
        if flag is None:
            if name not in _OTHER_VARIABLES:
                console.error_line(f"Warning: {name} is not a variable etcdctl knows; it is ignored.")
        elif environment[name]:
            _check_conflict(flag, given)
            _set_from_variable(values, named, flag, environment[name], console)
    for flag in GLOBAL_FLAGS:
        if flag.long in given:
            values[flag.long] = given[flag.long]
            named.add(flag.long)
    options = Options(values, frozenset(named))
    if options["debug"]:
        _show_settings(options, console)
    return options


def _set_from_variable(
    values: dict[str, Any], named: set[str], flag: Flag, text: str, console: Console
) -> None:
    try:
        values[flag.long] = flag.kind.parse(text)
        named.add(flag.long)
    except ValueError as error:
        console.error_line(f"Warning: {variable(flag.long)} is ignored: {error}.")


def _check_conflict(flag: Flag, given: Mapping[str, Any]) -> None:
    if flag.long in given:
        raise CommandError(
            f"conflicting environment variable {variable(flag.long)} is shadowed by corresponding"
            f" command-line flag --{flag.long}",
            ExitCode.ERROR,
            (f"Both are set. Unset {variable(flag.long)} or leave out --{flag.long}.",),
        )


def _check_api_version(environment: Mapping[str, str]) -> None:
    version = environment.get("ETCDCTL_API", "")
    if version not in {"", "3"}:
        raise CommandError(
            f"ETCDCTL_API={version} is not supported: only version 3 of the API exists",
            ExitCode.ERROR,
            (
                "The v2 API is gone from etcd since 3.6. Unset ETCDCTL_API, or set it to 3, and use"
                " get, put, del and watch; for v2's ls type 'get --prefix --keys-only <directory>/'.",
            ),
        )


def check_tls_files(options: Options) -> None:
    """Raises CommandError (exit 128) for certificate flags that cannot work."""
    for name in ("cert", "key", "cacert"):
        if name in options.given and not options[name]:
            raise bad_arguments(f"empty string is passed to --{name} option")
    if bool(options["cert"]) != bool(options["key"]):
        raise bad_arguments(
            f"KeyFile and CertFile must both be present[key: {options['key']}, cert: {options['cert']}]",
            "Give --cert and --key together: the certificate and the key that belongs to it.",
        )


def _show_settings(options: Options, console: Console) -> None:
    for flag in sorted(GLOBAL_FLAGS, key=lambda flag: flag.long):
        value = options[flag.long]
        shown = value if isinstance(value, str) else flag.kind.show(value)
        if flag.long in {"password", "auth-jwt-token"} and value:
            shown = "********"
        elif flag.long == "user" and ":" in value:
            shown = f"{value.partition(':')[0]}:********"
        console.error_line(f"{variable(flag.long)}={shown}")
