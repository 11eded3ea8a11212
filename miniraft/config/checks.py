"""Cross-checks of a whole configuration: what single values cannot show.

Each fault is told in etcd's words where etcd has them, with what to type. Certificates have
their own file of checks.
"""

from __future__ import annotations

import ipaddress
import json
import socket
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from miniraft.config.problem import ConfigError
from miniraft.config.values import urls
from miniraft.runtime.credentials import read_token_options
from miniraft.runtime.log import LEVELS
from miniraft.tls.limits import check_limits

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

    from miniraft.config.warning import Warnings
    from miniraft.runtime.config import ServerConfig

MAX_ELECTION_TIMEOUT_MS = 50000
MIN_RAFT_TIMEOUT_SECONDS = 5.0
MIN_PROGRESS_INTERVAL_SECONDS = 0.1
LOWEST_BCRYPT_COST, HIGHEST_BCRYPT_COST = 4, 31
MAX_CERTIFICATE_YEARS = 1000


def check(config: ServerConfig, given: Collection[str], warnings: Warnings) -> None:
    """Checks the configuration. `given` holds the names of the flags somebody set.

    Raises ConfigError at the first fault.
    """
    _check_bounds(config)
    _check_timing(config)
    _check_choices(config)
    _check_auth(config, warnings)
    _check_tls_limits(config)
    _check_self_signed(config)
    _check_compaction(config)
    _check_bindings(config)
    _check_advertised_given(config, given)
    if already_bootstrapped(config):
        return  # etcd's rule: a member with data ignores --initial-cluster and its companions
    _check_discovery(config)
    if config.discovery_srv or config.discovery_endpoints:
        return  # who the members are is not known yet
    members = _initial_members(config)
    _check_own_entry(config, members)
    _check_reachable(config, members, warnings)


def already_bootstrapped(config: ServerConfig) -> bool:
    """Whether the data folder holds a member already."""
    folder = Path(config.wal_folder)
    return folder.is_dir() and any(folder.iterdir())


def is_ip(host: str) -> bool:
    """Whether a host is written as an address."""
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def _check_bounds(config: ServerConfig) -> None:
    if not config.name or "," in config.name or "=" in config.name:
        raise ConfigError(
            f'--name {config.name!r} cannot be told apart in --initial-cluster, which is "name=url,name=url"',
            "write a name without commas and equals signs, as in --name=n1",
        )
    if config.log_level not in LEVELS:
        raise ConfigError(f'unrecognized level: "{config.log_level}"', "write --log-level=info")
    if config.log_format not in ("", "json", "console"):
        raise ConfigError(
            f'unknown log format "{config.log_format}"', "write --log-format=json or --log-format=console"
        )
    for name, value in (
        ("max-txn-ops", config.max_txn_ops),
        ("max-request-bytes", config.max_request_bytes),
        ("max-concurrent-streams", config.max_concurrent_streams),
        ("snapshot-count", config.snapshot_count),
    ):
        if value == 0:
            raise ConfigError(f"--{name} must be >0 (set to 0)", f"leave out --{name} for the default")
    for name, seconds in (
        ("compact-hash-check-time", config.compact_hash_check_time_seconds),
        ("backend-batch-interval", config.backend_batch_interval_seconds),
    ):
        if seconds <= 0:
            raise ConfigError(f"--{name} must be >0 (set to {seconds:g}s)", f"write --{name}=1m")


def _check_timing(config: ServerConfig) -> None:
    heartbeat, election = config.heartbeat_interval_ms, config.election_timeout_ms
    if heartbeat <= 0:
        raise ConfigError(
            f"--heartbeat-interval must be >0 (set to {heartbeat}ms)", "write --heartbeat-interval=100"
        )
    if election <= 0:
        raise ConfigError(
            f"--election-timeout must be >0 (set to {election}ms)", "write --election-timeout=1000"
        )
    if 5 * heartbeat > election:
        raise ConfigError(
            f"--election-timeout[{election}ms] should be at least as 5 times as "
            f"--heartbeat-interval[{heartbeat}ms]",
            f"write --election-timeout={10 * heartbeat}, ten heartbeats",
        )
    if election > MAX_ELECTION_TIMEOUT_MS:
        raise ConfigError(
            f"--election-timeout[{election}ms] is too long, and should be set less than "
            f"{MAX_ELECTION_TIMEOUT_MS}ms",
            "write --election-timeout=1000, or ten times the round trip between the farthest members",
        )


def _check_choices(config: ServerConfig) -> None:
    if config.logger != "zap":
        raise ConfigError(f'unknown logger option "{config.logger}"', "write --logger=zap")
    if len(config.log_outputs) > 1 and "default" in config.log_outputs:
        raise ConfigError(
            'multi logoutput for "default" is not supported yet',
            "name each output: --log-outputs=stderr,/var/log/miniraft.log",
        )
    if config.metrics not in ("basic", "extensive"):
        raise ConfigError(f'unknown --metrics "{config.metrics}"', "write --metrics=basic or extensive")
    try:
        json.loads(config.log_rotation_config_json)
    except ValueError:
        raise ConfigError(
            "improperly formatted log rotation config",
            """write --log-rotation-config-json='{"maxsize": 100}'""",
        ) from None


def _check_auth(config: ServerConfig, warnings: Warnings) -> None:
    try:
        read_token_options(config.auth_token)
    except ValueError as error:
        raise ConfigError(
            str(error), "write --auth-token=simple, or jwt,priv-key=FILE,sign-method=RS256,ttl=10m"
        ) from None
    if not LOWEST_BCRYPT_COST <= config.bcrypt_cost <= HIGHEST_BCRYPT_COST:
        raise ConfigError(
            f"--bcrypt-cost {config.bcrypt_cost} is not in {LOWEST_BCRYPT_COST} to {HIGHEST_BCRYPT_COST}",
            "write --bcrypt-cost=10: each step more doubles the time for a password",
        )
    if config.client_cert_auth and config.client_server != "h2corn":
        warnings.add(
            "certificates are asked for, but do not name users under authentication: this server "
            "does not tell who shows them; log in with a password, or leave --client-server out",
            client_server=config.client_server,
        )


def _check_tls_limits(config: ServerConfig) -> None:
    """What nobody could agree on, and what etcd takes one of."""
    try:
        check_limits(config.tls_limits)
    except ValueError as error:
        raise ConfigError(
            str(error), "correct --tls-min-version, --tls-max-version and --cipher-suites"
        ) from None
    if config.peer_cert_allowed_cn and config.peer_cert_allowed_hostname:
        names, hosts = ",".join(config.peer_cert_allowed_cn), ",".join(config.peer_cert_allowed_hostname)
        raise ConfigError(
            f"AllowedCNs and AllowedHostnames are mutually exclusive (cns={names}, hostnames={hosts})",
            "write --peer-cert-allowed-cn or --peer-cert-allowed-hostname",
        )


def _check_self_signed(config: ServerConfig) -> None:
    years = config.self_signed_cert_validity_years
    makes_one = config.makes_client_certificate or config.makes_peer_certificate
    if makes_one and not 0 < years <= MAX_CERTIFICATE_YEARS:
        raise ConfigError(
            "selfSignedCertValidity is invalid,it should be greater than 0"
            if not years
            else f"--self-signed-cert-validity={years} is more than {MAX_CERTIFICATE_YEARS} years",
            "write --self-signed-cert-validity=1: the years that a self-made certificate is valid",
        )


def _check_compaction(config: ServerConfig) -> None:
    if config.compact_hash_check_time_seconds <= 0:
        period = f"{config.compact_hash_check_time_seconds:g}s"
        raise ConfigError(
            f"--compact-hash-check-time must be >0 (set to {period})", "write --compact-hash-check-time=1m"
        )
    if config.auto_compaction_mode not in ("periodic", "revision"):
        raise ConfigError(
            f'unknown auto-compaction-mode "{config.auto_compaction_mode}"',
            "write --auto-compaction-mode=periodic or --auto-compaction-mode=revision",
        )
    try:
        kept = config.auto_compaction_period_seconds + config.auto_compaction_revisions
    except ValueError as error:
        raise ConfigError(
            f"error parsing CompactionRetention: {error}",
            "write --auto-compaction-retention=1 (an hour) or 30m; in revision mode a number, 1000",
        ) from None
    if kept < 0:
        raise ConfigError(
            f"--auto-compaction-retention {config.auto_compaction_retention} is negative",
            "write --auto-compaction-retention=0 to keep all history",
        )


def _check_bindings(config: ServerConfig) -> None:
    """A listener binds to addresses of this machine: a name could mean another tomorrow."""
    for flag, listed in (
        ("listen-peer-urls", config.listen_peer_urls),
        ("listen-client-urls", config.listen_client_urls),
        ("listen-client-http-urls", config.listen_client_http_urls),
        ("listen-metrics-urls", config.listen_metrics_urls),
    ):
        for url in listed:
            parts = urlsplit(url)
            host = parts.hostname or ""
            if parts.scheme in ("http", "https") and host != "localhost" and not is_ip(host):
                raise ConfigError(
                    f"expected IP in URL for binding ({url})",
                    f"write the address, as in --{flag}={parts.scheme}://0.0.0.0:{parts.port}; "
                    "names belong into the advertised URLs",
                )


def _check_advertised_given(config: ServerConfig, given: Collection[str]) -> None:
    if "listen-client-urls" in given and "advertise-client-urls" not in given:
        example = next(iter(config.listen_client_urls), "http://10.0.0.1:2379")
        raise ConfigError(
            "--advertise-client-urls is required when --listen-client-urls is set explicitly",
            f"add --advertise-client-urls={_with_host(example, 'ADDRESS-CLIENTS-REACH')}",
        )
    if not config.listen_client_urls or not config.listen_peer_urls:
        raise ConfigError(
            "a member listens for clients and for the other members",
            "write --listen-client-urls=http://localhost:2379 and --listen-peer-urls=http://localhost:2380",
        )
    if not config.initial_advertise_peer_urls or not config.advertise_client_urls:
        raise ConfigError(
            "a member advertises where clients and the other members reach it",
            "write --advertise-client-urls and --initial-advertise-peer-urls",
        )


def _check_discovery(config: ServerConfig) -> None:
    ways = (bool(config.discovery_srv), bool(config.discovery_endpoints), bool(config.initial_cluster))
    if sum(ways) > 1:
        raise ConfigError(
            "multiple discovery or bootstrap flags are set. Choose one of "
            '"initial-cluster", "discovery-endpoints" or "discovery-srv"',
            "leave out all but one",
        )
    if bool(config.discovery_token) != bool(config.discovery_endpoints):
        raise ConfigError(
            "both --discovery-token and --discovery-endpoints must be set",
            "write --discovery-endpoints=HOST:2379 and --discovery-token=TOKEN",
        )
    if config.discovery_endpoints and config.initial_cluster_state == "existing":
        raise ConfigError(
            "discovery URL should not be set when joining existing initial cluster",
            "write --initial-cluster as 'etcdctl member add' prints it, without --discovery-...",
        )
    for flag, seconds in (
        ("dial-timeout", config.discovery_dial_timeout_seconds),
        ("request-timeout", config.discovery_request_timeout_seconds),
        ("keepalive-timeout", config.discovery_keepalive_timeout_seconds),
    ):
        if seconds <= 0:
            raise ConfigError(
                f"--discovery-{flag} must be >0 (set to {seconds:g}s)", f"leave out --discovery-{flag}"
            )
    if bool(config.discovery_cert) != bool(config.discovery_key):
        raise ConfigError(
            "--discovery-cert and --discovery-key go together", "name the two files that were made together"
        )
    if config.discovery_srv_name and not config.discovery_srv:
        raise ConfigError(
            "--discovery-srv-name has no effect without --discovery-srv", "add --discovery-srv=DOMAIN"
        )


def _initial_members(config: ServerConfig) -> dict[str, tuple[str, ...]]:
    try:
        members = config.initial_members
        for listed in members.values():
            for url in listed:
                urls(url)
    except ValueError as error:
        raise ConfigError(
            f"error setting up initial cluster: {error}",
            "write --initial-cluster=n1=https://10.0.0.1:2380,n2=https://10.0.0.2:2380",
        ) from None
    owners: dict[str, str] = {}
    for name, listed in members.items():
        for url in listed:
            other = owners.setdefault(url, name)
            if other != name or listed.count(url) > 1:
                raise ConfigError(
                    f"error validating peerURLs: --initial-cluster names {url} for {other} and {name}",
                    "give each member a peer URL of its own",
                )
    return members


def _check_own_entry(config: ServerConfig, members: dict[str, tuple[str, ...]]) -> None:
    if config.name not in members:
        raise ConfigError(
            f'couldn\'t find local name "{config.name}" in the initial cluster configuration',
            f"write --name as one of {', '.join(members)}, "
            f"or add {config.name}=PEER-URL to --initial-cluster",
        )
    written, advertised = set(members[config.name]), set(config.initial_advertise_peer_urls)
    if written == advertised or _resolved(written) == _resolved(advertised):
        return
    missing = sorted(written - advertised)
    listed = ",".join(sorted(advertised))
    if missing:
        raise ConfigError(
            f"--initial-cluster has {config.name}={missing[0]} but missing from "
            f"--initial-advertise-peer-urls={listed}",
            f"write --initial-advertise-peer-urls={','.join(sorted(written))}",
        )
    surplus = min(advertised - written)
    raise ConfigError(
        f"--initial-advertise-peer-urls has {surplus} but missing from "
        f"--initial-cluster={config.name}={','.join(sorted(written))}",
        f"write {','.join(f'{config.name}={url}' for url in sorted(advertised))} in --initial-cluster",
    )


def _resolved(listed: Iterable[str]) -> set[tuple[str, frozenset[str], int | None]]:
    """URLs with their host names looked up, so that two spellings of one address are equal."""
    found = set()
    for url in listed:
        parts = urlsplit(url)
        host = parts.hostname or ""
        try:
            addresses = frozenset(str(answer[4][0]) for answer in socket.getaddrinfo(host, None))
        except OSError:
            addresses = frozenset({host})
        found.add((parts.scheme, addresses, parts.port))
    return found


def _check_reachable(config: ServerConfig, members: dict[str, tuple[str, ...]], warnings: Warnings) -> None:
    """Advertised URLs that only this machine understands lead everybody else astray."""
    several = len(members) > 1 or config.initial_cluster_state == "existing"
    one_machine = all(_is_loopback(url) for listed in members.values() for url in listed)
    for url in config.initial_advertise_peer_urls:
        if several and (_is_unspecified(url) or (_is_loopback(url) and not one_machine)):
            raise ConfigError(
                f"--initial-advertise-peer-urls={url} leads every other member to itself",
                f"write the address the others reach: --initial-advertise-peer-urls="
                f"{_with_host(url, 'THIS-MACHINE')}, and the same in --initial-cluster",
            )
    for url in config.advertise_client_urls:
        if _is_unspecified(url) or (several and _is_loopback(url) and not one_machine):
            warnings.add(
                "advertised client URL is of no use to clients on other machines",
                advertise_client_urls=url,
                fix=f"write --advertise-client-urls={_with_host(url, 'ADDRESS-CLIENTS-REACH')}",
            )
    schemes = {urlsplit(url).scheme for url in config.listen_peer_urls}
    for url in config.initial_advertise_peer_urls:
        scheme = urlsplit(url).scheme
        if scheme in ("http", "https") and scheme not in schemes and schemes <= {"http", "https"}:
            warnings.add(
                "the advertised peer URL has another scheme than the listener: the others cannot connect "
                "unless something between them translates",
                initial_advertise_peer_urls=url,
                listen_peer_urls=",".join(config.listen_peer_urls),
            )


def _is_unspecified(url: str) -> bool:
    host = urlsplit(url).hostname or ""
    return is_ip(host) and ipaddress.ip_address(host).is_unspecified


def _is_loopback(url: str) -> bool:
    host = urlsplit(url).hostname or ""
    return host == "localhost" or (is_ip(host) and ipaddress.ip_address(host).is_loopback)


def _with_host(url: str, host: str) -> str:
    parts = urlsplit(url)
    return f"{parts.scheme}://{host}:{parts.port}"
