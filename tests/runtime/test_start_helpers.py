"""Ports, keys, systemd: the small things a start depends on."""

import os
import socket

import pytest

from miniraft.runtime.config import ServerConfig
from miniraft.runtime.ports import PortError, check_can_listen, port_holder
from miniraft.runtime.systemd import notify
from miniraft.runtime.tls import exposed_keys, peer_tls


def test_a_free_port_is_fine():
    check_can_listen("http://127.0.0.1:0", "--listen-peer-urls")


def test_a_taken_port_names_its_holder():
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        assert f"(pid {os.getpid()})" in port_holder(port)
        with pytest.raises(PortError, match=rf"port {port} is taken by .*--listen-peer-urls"):
            check_can_listen(f"http://127.0.0.1:{port}", "--listen-peer-urls")
    assert port_holder(port) == ""


def test_an_address_of_another_machine_is_told():
    with pytest.raises(PortError, match=r"no interface here has address 192\.0\.2\.1"):
        check_can_listen("http://192.0.2.1:2380", "--listen-peer-urls")


def test_a_key_for_every_eye_is_warned_of(tmp_path):
    key = tmp_path / "key.pem"
    key.write_text("secret")
    key.chmod(0o644)
    config = ServerConfig(peer_key_file=str(key))
    (warning,) = exposed_keys(config)
    assert "--peer-key-file" in warning
    assert f"chmod 600 {key}" in warning
    key.chmod(0o640)
    assert exposed_keys(config) == []


def test_the_outgoing_certificate_may_be_another():
    config = ServerConfig(peer_cert_file="a", peer_key_file="b")
    assert (peer_tls(config).client_cert_file, peer_tls(config).client_key_file) == ("a", "b")
    config = ServerConfig(
        peer_cert_file="a", peer_key_file="b", peer_client_cert_file="c", peer_client_key_file="d"
    )
    assert (peer_tls(config).client_cert_file, peer_tls(config).client_key_file) == ("c", "d")


def test_systemd_is_told_when_it_asks(tmp_path, monkeypatch):
    path = str(tmp_path / "notify")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd:
        systemd.bind(path)
        monkeypatch.setenv("NOTIFY_SOCKET", path)
        notify("READY=1")
        assert systemd.recv(100) == b"READY=1"


def test_nobody_is_told_otherwise(monkeypatch):
    monkeypatch.delenv("NOTIFY_SOCKET", raising=False)
    notify("READY=1")
    monkeypatch.setenv("NOTIFY_SOCKET", "/nowhere/at/all")
    notify("READY=1")
