from random import Random

import pytest

from miniraft.sim.disk import SECTOR_BYTES, SimDisk


def after_power_loss(seed, write):
    disk = SimDisk(Random(seed))
    write(disk)
    disk.lose_power()
    return disk


def test_what_was_synced_is_there():
    def write(disk):
        file = disk.create("a")
        file.append(b"first")
        file.sync()
        disk.sync_folder()
        file.append(b"second" * 500)

    for seed in range(50):
        content = after_power_loss(seed, write).read("a")
        assert content.startswith(b"first")


def test_unsynced_end_is_lost_torn_or_whole():
    data = b"x" * (SECTOR_BYTES * 4)

    def write(disk):
        file = disk.create("a")
        disk.sync_folder()
        file.append(data)

    contents = [after_power_loss(seed, write).read("a") for seed in range(200)]
    assert b"" in contents or min(map(len, contents)) < SECTOR_BYTES
    assert any(
        len(content) > SECTOR_BYTES and content[:SECTOR_BYTES] == bytes(SECTOR_BYTES) for content in contents
    )
    assert any(set(content) == {ord("x")} for content in contents)


def test_a_new_name_is_durable_only_after_the_folders_sync():
    def create(disk):
        disk.create("a")

    assert {tuple(after_power_loss(seed, create).list()) for seed in range(50)} == {(), ("a",)}

    def rename(disk):
        disk.create("a")
        disk.sync_folder()
        disk.rename("a", "b")

    assert {tuple(after_power_loss(seed, rename).list()) for seed in range(50)} == {("a",), ("b",)}

    def remove(disk):
        disk.create("a")
        disk.sync_folder()
        disk.remove("a")
        disk.sync_folder()

    assert after_power_loss(1, remove).list() == []


def test_a_full_disk_takes_a_part_and_refuses():
    disk = SimDisk(Random(1))
    file = disk.create("a")
    disk.full = True
    with pytest.raises(OSError, match="no space left"):
        file.append(b"x" * 1000)
    assert len(disk.read("a")) < 1000
    with pytest.raises(OSError, match="no space left"):
        disk.create("b")
