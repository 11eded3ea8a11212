"""Fills in --initial-cluster from the DNS or from a discovery service, before a member's first start."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from miniraft.discovery.problem import DiscoveryError
from miniraft.runtime import log
from miniraft.server.bootstrap import BootstrapError
from miniraft.server.identity import bootstrap_member_id

if TYPE_CHECKING:
    from miniraft.runtime.config import ServerConfig


async def with_discovered_members(config: ServerConfig) -> ServerConfig:
    """Returns the configuration with the members that the flags say where to look for.

    Waits for as long as a discovery service waits for members. Raises BootstrapError.
    """
    try:
        if config.discovery_srv:
            return await _from_dns(config)
        if config.discovery_endpoints:
            return await _from_service(config)
    except DiscoveryError as error:
        raise BootstrapError(f"discovery failed: {error}") from error
    return config


async def _from_dns(config: ServerConfig) -> ServerConfig:
    from miniraft.discovery.srv import find_members

    members = await find_members(
        config.discovery_srv, config.discovery_srv_name, config.name, config.initial_advertise_peer_urls
    )
    entries = [f"{name}={url}" for name, urls in members.items() for url in urls]
    for entry in entries:
        log.event("info", "got bootstrap from DNS for etcd-server", node=entry)
    return replace(config, initial_cluster=",".join(entries))


async def _from_service(config: ServerConfig) -> ServerConfig:
    from miniraft.discovery.client import ServiceSettings
    from miniraft.discovery.join import join_cluster

    settings = ServiceSettings(
        endpoints=config.discovery_endpoints,
        dial_timeout_seconds=config.discovery_dial_timeout_seconds,
        request_timeout_seconds=config.discovery_request_timeout_seconds,
        keepalive_time_seconds=config.discovery_keepalive_time_seconds,
        keepalive_timeout_seconds=config.discovery_keepalive_timeout_seconds,
        insecure_transport=config.discovery_insecure_transport,
        insecure_skip_tls_verify=config.discovery_insecure_skip_tls_verify,
        cert=config.discovery_cert,
        key=config.discovery_key,
        cacert=config.discovery_cacert,
        user=config.discovery_user,
        password=config.discovery_password,
    )
    token = config.discovery_token
    own_urls = sorted(config.initial_advertise_peer_urls)
    own_entry = ",".join(f"{config.name}={url}" for url in own_urls)
    log.event("info", "Bootstrapping cluster using v3 discovery.", discovery_token=token)
    members = await join_cluster(settings, token, bootstrap_member_id(own_urls, token), own_entry, _log)
    log.event("info", "discovery joined cluster successfully", cluster=members)
    return replace(config, initial_cluster=members, initial_cluster_token=token)


def _log(level: str, message: str, /, **fields: Any) -> None:
    log.event(level, message, **fields)
