"""Generates miniraft/pb from proto/: run `make proto` after changing a .proto file.

The generated modules are changed in two ways, so that they work for everybody:

- They register in a descriptor pool of their own. A program that uses miniraft in its tests
  beside a client library for etcd has the package `etcdserverpb` twice; in the default pool
  the second import would fail.
- The check that the protobuf runtime is no older than the generator is taken out: the syntax
  used here is understood by every runtime this project allows.

`--check` generates into a temporary folder and fails when miniraft/pb is stale.
"""

from __future__ import annotations

import filecmp
import re
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent
PACKAGE = ROOT.parent / "miniraft" / "pb"


def generate(output: Path) -> list[Path]:
    """Writes the modules and stubs of every .proto file below `output`; returns their paths."""
    from grpc_tools import protoc

    sources = sorted(str(path.relative_to(ROOT)) for path in ROOT.rglob("*.proto"))
    status = protoc.main(["protoc", f"-I{ROOT}", f"--python_out={output}", f"--pyi_out={output}", *sources])
    if status != 0:
        raise SystemExit(f"protoc failed with status {status}")
    modules = sorted((output / "miniraft" / "pb").glob("*_pb2.py*"))
    for module in modules:
        module.write_text(adapt(module.read_text()))
    return modules


def adapt(source: str) -> str:
    """Takes one generated module; returns it with its own pool and without the version check."""
    source = re.sub(r"_runtime_version\.ValidateProtobufRuntimeVersion\([^)]*\)\n", "", source)
    source = re.sub(r"from google\.protobuf import runtime_version as _runtime_version\n", "", source)
    source = re.sub(r"# Protobuf Python Version: .*\n", "", source)
    return source.replace(
        "from google.protobuf import descriptor_pool as _descriptor_pool\n",
        "from miniraft.pb import pool as _descriptor_pool\n",
    )


def main() -> None:
    """Generates, or with `--check` compares."""
    check = "--check" in sys.argv[1:]
    with tempfile.TemporaryDirectory() as folder:
        modules = generate(Path(folder))
        stale = []
        for module in modules:
            target = PACKAGE / module.name
            if not target.exists() or not filecmp.cmp(module, target, shallow=False):
                stale.append(module.name)
                if not check:
                    target.write_text(module.read_text())
    if check and stale:
        raise SystemExit(f"stale: {', '.join(stale)}; run `make proto`")


if __name__ == "__main__":
    main()
