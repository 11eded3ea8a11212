"""Defragmentation beside the work for clients.

The file is copied without its unused pages in the store's thread, and the copy takes its place;
meanwhile writes gather in memory as between two commits, and are answered: what makes them
durable is the log. So the member serves on, where etcd stands still.
"""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

from miniraft.runtime import log
from miniraft.runtime.lmdb_store import LmdbStore, StoreRefused

if TYPE_CHECKING:
    from miniraft.runtime.node import Node
    from miniraft.runtime.store_committer import StoreCommitter

_COMPACTION_PATIENCE_SECONDS = 10.0
_POLL_SECONDS = 0.02


async def defragment(node: Node, committer: StoreCommitter) -> None:
    """Gives back the space that nothing uses. Raises OSError; the store is as it was then."""
    began = time.monotonic()
    await _finish_compaction(node)
    await committer.flush()  # what was deleted just now is to go too
    store = node.member.store
    if not isinstance(store, LmdbStore):
        raise OSError("this member's store has no file to defragment")
    before_bytes, in_use_bytes = store.size_bytes(), store.size_in_use_bytes()
    log.event("info", "defragmenting", size_bytes=before_bytes, in_use_bytes=in_use_bytes)
    work = store.defragmentation()
    node.storage_figures.is_defragmenting = True
    try:
        async with committer.alone() as in_thread:
            await in_thread(work.write)
            work.finish()
    except StoreRefused as error:
        raise OSError(str(error)) from error
    finally:
        node.storage_figures.is_defragmenting = False
    await asyncio.to_thread(work.close)
    node.storage_figures.defragment_seconds.observe(time.monotonic() - began)
    log.event(
        "info",
        "finished defragmenting",
        size_bytes=store.size_bytes(),
        freed_bytes=before_bytes - store.size_bytes(),
        took_seconds=round(time.monotonic() - began, 3),
    )


async def _finish_compaction(node: Node) -> None:
    """Waits a while for a compaction under way: it makes the space that is to be given back."""
    until = time.monotonic() + _COMPACTION_PATIENCE_SECONDS
    while node.member.compaction_unfinished and time.monotonic() < until:  # noqa: ASYNC110 (the compaction tells nobody)
        await asyncio.sleep(_POLL_SECONDS)
