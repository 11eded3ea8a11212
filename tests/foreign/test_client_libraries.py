"""Client libraries for etcd from PyPI, unmodified, each in an environment of its own."""

import ast
import json
import subprocess
from pathlib import Path

import pytest

from tests.support.tls_cluster import NAMES, PROGRAMS
from tests.support.venvs import plain_environment, venv_python

FOLDER = Path(__file__).parent / "programs"
# What each needs; python-etcd3's generated messages want a protobuf of their time.
LIBRARIES = {
    "etcd3gw": ("etcd3gw==2.7.0",),
    "etcd3": ("etcd3==0.12.0", "protobuf==3.20.3"),
    "pyetcd": ("etcd-sdk-python==0.0.7", "protobuf>=5.27"),
    "aetcd": ("aetcd==1.0.0",),
}
WITH_TLS = ("etcd3gw", "etcd3", "pyetcd")  # aetcd offers none


def program(library):
    return FOLDER / f"{library}_program.py"


def scenarios(library):
    """The public functions of a program, without importing it: it needs the library."""
    tree = ast.parse(program(library).read_text())
    functions = [node for node in tree.body if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]
    return [node.name for node in functions if not node.name.startswith("_")]


def run(library, server, *names):
    python = venv_python(library, *LIBRARIES[library])
    command = [python, program(library), json.dumps(server), *names]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, env=plain_environment())
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    ("library", "scenario"), [(library, name) for library in LIBRARIES for name in scenarios(library)]
)
def test_against_one_member(single, library, scenario):
    host, port = single.split(":")
    run(library, {"host": host, "port": int(port)}, scenario)


@pytest.mark.parametrize("library", WITH_TLS)
def test_all_of_it_against_a_follower_of_three_with_tls(tls_cluster, library):
    leader = tls_cluster.wait_leader(PROGRAMS["etcdctl-py"]())
    follower = next(name for name in NAMES if name != leader)
    server = {
        "host": "127.0.0.1",
        "port": tls_cluster.client_ports[follower],
        "ca": tls_cluster.ca,
        "cert": tls_cluster.client.cert_file,
        "key": tls_cluster.client.key_file,
    }
    run(library, server)
