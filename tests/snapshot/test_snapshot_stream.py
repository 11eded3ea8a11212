"""The pieces that a client of a running member gets."""

import asyncio
import hashlib
import os
from contextlib import aclosing

import pytest

from miniraft.mvcc.store import Bucket
from miniraft.snapshot.bolt_contents import BoltContents
from miniraft.snapshot.importing import commit_now
from miniraft.snapshot.problem import SnapshotError
from miniraft.snapshot.stream import snapshot_blobs
from tests.snapshot.own_store import filled_store
from tests.support.peer_ends import eventually


def copier(store):
    async def copy(path):
        await asyncio.to_thread(store.copy_to, path)

    return copy


async def collect(store, folder):
    blobs = snapshot_blobs(copier(store), folder / "copy", folder / "export", blob_bytes=5000)
    async with aclosing(blobs):
        return [blob async for blob in blobs]


def test_blobs_are_a_database_and_its_hash(tmp_path):
    store = filled_store(tmp_path / "db")
    blobs = asyncio.run(collect(store, tmp_path))
    store.close()
    data = b"".join(blob for blob, _ in blobs)
    assert blobs[-1] == (hashlib.sha256(data[:-32]).digest(), 0)
    total = len(data) - 32
    for blob, remaining in blobs[:-1]:
        total -= len(blob)
        assert remaining == total
    assert total == 0
    assert {path.name for path in tmp_path.iterdir()} == {"db"}


def test_it_is_the_state_at_the_copy_however_the_store_goes_on(tmp_path):
    store = filled_store(tmp_path / "db")
    before = list(store.scan(Bucket.KEY))

    async def write_on():
        blobs = snapshot_blobs(copier(store), tmp_path / "copy", tmp_path / "export")
        data = b""
        async with aclosing(blobs):
            async for blob, _ in blobs:
                for number in range(50):
                    store.put(Bucket.KEY, b"%017d" % number, bytes(500))
                commit_now(store)
                data += blob
        return data

    (tmp_path / "got").write_bytes(asyncio.run(write_on()))
    store.close()
    contents = BoltContents(tmp_path / "got")
    contents.verify_hash(lambda *_: None)
    assert [pair for run in contents.runs(b"key") for pair in zip(*run, strict=True)] == before
    contents.close()


def test_a_client_that_goes_away_leaves_no_files(tmp_path):
    store = filled_store(tmp_path / "db")

    async def leave_early():
        blobs = snapshot_blobs(copier(store), tmp_path / "copy", tmp_path / "export", blob_bytes=512)
        async with aclosing(blobs):
            async for _ in blobs:
                assert (tmp_path / "export").exists()
                break

    asyncio.run(leave_early())
    store.close()
    assert {path.name for path in tmp_path.iterdir()} == {"db"}


def test_cancelled_while_it_is_made(tmp_path, monkeypatch):
    store = filled_store(tmp_path / "db")
    program = tmp_path / "program"
    program.write_text(f"#!/bin/sh\necho $$ > {tmp_path}/started\nexec sleep 60\n")
    program.chmod(0o700)
    monkeypatch.setattr("miniraft.snapshot.stream.sys.executable", str(program))
    started = tmp_path / "started"

    async def cancel():
        blobs = snapshot_blobs(copier(store), tmp_path / "copy", tmp_path / "export")
        task = asyncio.create_task(anext(blobs))
        await eventually(lambda: started.exists() and started.read_text().endswith("\n"))
        task.cancel()
        async with asyncio.timeout(20):
            with pytest.raises(asyncio.CancelledError):
                await task
        with pytest.raises(ProcessLookupError):
            os.kill(int(started.read_text()), 0)

    asyncio.run(cancel())
    store.close()
    assert {path.name for path in tmp_path.iterdir()} == {"db", "program", "started"}


def test_a_copy_that_cannot_be_read_is_told_of(tmp_path):
    async def copy(path):
        path.write_bytes(b"no store at all")

    async def scenario():
        with pytest.raises(SnapshotError, match=r"could not be made: .*copy"):
            await anext(snapshot_blobs(copy, tmp_path / "copy", tmp_path / "export"))

    asyncio.run(scenario())
    assert not list(tmp_path.iterdir())
