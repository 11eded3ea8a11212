"""A flag is either read by the program or says that it has no effect: nothing in between."""

import re
from pathlib import Path

import pytest

from miniraft.config.flags import FLAGS, IGNORED, IGNORED_GATES
from miniraft.runtime.config import FEATURE_GATES

PACKAGE = Path(__file__).parents[2] / "miniraft"

# Fields that are read through something else.
THROUGH = {
    "data_dir": ("data_folder",),
    "feature_gates": (r"feature\(",),
    "auto_compaction_mode": ("auto_compaction_period_seconds", "auto_compaction_revisions"),
    "auto_compaction_retention": ("auto_compaction_period_seconds", "auto_compaction_revisions"),
    "client_cert_auth": ("client_certificates_required",),
    "peer_client_cert_auth": ("peer_certificates_required",),
    "peer_client_cert_file": ("peer_outgoing_cert_file",),
    "peer_client_key_file": ("peer_outgoing_key_file",),
    "tls_min_version": ("tls_limits",),
    "tls_max_version": ("tls_limits",),
    "cipher_suites": ("tls_limits",),
}
# There is nothing to read: the checks let only one value through, or each gate speaks for itself.
NOTHING_TO_READ = {"logger", "feature-gates"}
# Read only to show a private key's owner that others may read it.
READ_IN_PASSING = {"client-key-file"}


@pytest.fixture(scope="module")
def program():
    files = [
        file for room in ("api", "peer", "runtime", "testing") for file in (PACKAGE / room).rglob("*.py")
    ]
    files.remove(PACKAGE / "runtime" / "config.py")
    return "\n".join(file.read_text() for file in [*files, PACKAGE / "__main__.py"])


def is_read(flag, program):
    names = (rf"{flag.field}\b", *THROUGH.get(flag.field, ()))
    return any(re.search(rf"config\.{name}", program) for name in names)


@pytest.mark.parametrize("flag", FLAGS.values(), ids=lambda flag: flag.name)
def test_a_flag_is_read_or_says_that_it_is_not(flag, program):
    if flag.name in NOTHING_TO_READ | READ_IN_PASSING:
        return
    if not flag.ignored:
        assert is_read(flag, program), f"nobody reads --{flag.name}: add it to IGNORED in flags.py"
    else:
        assert not is_read(flag, program), f"--{flag.name} is read now: take it out of the table in flags.py"


@pytest.mark.parametrize("gate", FEATURE_GATES)
def test_a_gate_is_asked_for_or_says_that_it_is_not(gate, program):
    asked = re.search(rf"feature\([\"']{gate}[\"']\)", program) is not None
    assert asked is not (gate in IGNORED_GATES), f"gate {gate}: correct IGNORED_GATES in flags.py"


def test_the_table_names_flags():
    assert set(IGNORED) <= set(FLAGS)
