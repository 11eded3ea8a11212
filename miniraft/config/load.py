"""Puts the sources together: command line and environment, or the configuration file alone."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from miniraft.config.checks import check
from miniraft.config.command_line import Settings, read_command_line
from miniraft.config.config_file import read_config_file
from miniraft.config.environment import read_environment
from miniraft.config.flags import FLAGS, IGNORED_GATES
from miniraft.config.warning import Warnings
from miniraft.runtime.config import DEFAULT_FEATURES, ServerConfig

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


class Loaded(NamedTuple):
    """What the operator asked for."""

    config: ServerConfig
    warnings: Warnings
    help: bool = False
    version: bool = False


def load(arguments: Sequence[str], environment: Mapping[str, str]) -> Loaded:
    """Reads and checks a configuration.

    `arguments` are the words after the program's name. Raises UsageError (exit 2) for a command
    line that cannot be read and ConfigError (exit 1) for a configuration that cannot be used.
    """
    warnings = Warnings()
    given = read_command_line(arguments)
    if given.help or given.version:
        return Loaded(ServerConfig(), warnings, given.help, given.version)
    settings = _combined(given, environment, warnings)
    config = _config(settings, warnings)
    check(config, settings.values, warnings)
    if any(url.startswith(("https:", "unixs:")) for url in _listened(config)) or _names_certificates(config):
        from miniraft.config.certificates import check_certificates

        check_certificates(config, warnings)
    return Loaded(config, warnings)


def _combined(given: Settings, environment: Mapping[str, str], warnings: Warnings) -> Settings:
    file = given.config_file or environment.get("ETCD_CONFIG_FILE", "")
    if file:
        return read_config_file(file, warnings)
    settings = read_environment(environment, given, warnings)
    settings.values.update(given.values)
    settings.gates.update(given.gates)
    return settings


def _config(settings: Settings, warnings: Warnings) -> ServerConfig:
    fields: dict[str, Any] = {}
    for name, value in settings.values.items():
        flag = FLAGS[name]
        fields[flag.field] = value
        if value == flag.default:
            continue
        if flag.ignored:
            warnings.add("flag is accepted without effect", flag=f"--{name}", reason=flag.ignored)
    enabled = set(settings.values.get("feature-gates", DEFAULT_FEATURES))
    on = {gate for gate, value in settings.gates.items() if value}
    fields["feature_gates"] = frozenset(enabled - settings.gates.keys() | on)
    for gate in sorted(fields["feature_gates"] ^ DEFAULT_FEATURES):
        if gate in IGNORED_GATES:
            warnings.add("feature gate is accepted without effect", gate=gate, reason=IGNORED_GATES[gate])
    return ServerConfig(**fields)


def _listened(config: ServerConfig) -> tuple[str, ...]:
    return (
        *config.listen_client_urls,
        *config.listen_client_http_urls,
        *config.listen_metrics_urls,
        *config.listen_peer_urls,
    )


def _names_certificates(config: ServerConfig) -> bool:
    return any(
        (
            config.cert_file,
            config.key_file,
            config.trusted_ca_file,
            config.client_cert_auth,
            config.client_cert_file,
            config.client_key_file,
            config.auto_tls,
            config.client_crl_file,
            config.client_cert_allowed_hostname,
            config.peer_auto_tls,
            config.peer_cert_file,
            config.peer_key_file,
            config.peer_trusted_ca_file,
            config.peer_client_cert_auth,
            config.peer_client_cert_file,
            config.peer_client_key_file,
            config.peer_crl_file,
            config.peer_cert_allowed_hostname,
            config.peer_cert_allowed_cn,
        )
    )
