"""A `Disk` in memory that fails as real ones do.

Power loss: of what was not synced, any subset of the sectors is kept; the others hold what was
there before, or zeros. Of the creations and renames that `sync_folder` has not confirmed the
first few have happened, of the removals any. A write can fail in the middle (a full disk), and power
can go inside any call.
"""

import errno

SECTOR = 512


class PowerLost(Exception):  # noqa: N818
    """The power went inside a call."""


class _File:
    def __init__(self):
        self.durable = b""
        self.current = bytearray()
        self.reserved = 0

    def seen(self):
        return bytes(self.current) + bytes(max(0, self.reserved - len(self.current)))


class LossyDisk:
    """See the module. The flags plant bugs that tests must find."""

    def __init__(self, *, reserve=True, ignore_sync=False, ignore_folder_sync=False):
        self.reserve = reserve
        self.ignore_sync = ignore_sync
        self.ignore_folder_sync = ignore_folder_sync
        self.names = {}
        self.durable_names = {}
        self.folder_changes = []
        self.calls = 0
        self.power_lost_in = None  # calls from now
        self.fails_in = None

    # The interface ------------------------------------------------------------------------
    def list(self):
        return sorted(self.names)

    def read(self, name):
        if name not in self.names:
            raise FileNotFoundError(errno.ENOENT, "No such file", name)
        return self.names[name].seen()

    def create(self, name, preallocate_bytes=0):
        self._call()
        if name in self.names:
            raise FileExistsError(errno.EEXIST, "File exists", name)
        file = _File()
        file.reserved = preallocate_bytes if self.reserve else 0
        self._change_folder(lambda names: names.__setitem__(name, file))
        return LossyFile(self, name, file)

    def open_append(self, name):
        file = self.names[name]
        file.current = bytearray(file.seen())
        return LossyFile(self, name, file)

    def rename(self, old, new):
        self._call()
        self._change_folder(lambda names: names.__setitem__(new, names.pop(old)))

    def remove(self, name):
        self._call()
        self._change_folder(lambda names: names.pop(name), is_removal=True)

    def sync_folder(self):
        self._call()
        if not self.ignore_folder_sync:
            self.durable_names = dict(self.names)
            self.folder_changes = []

    # Faults -------------------------------------------------------------------------------
    def after_power_loss(self, keep):
        """Returns the disk as it is found afterwards. `keep()` says of each unsynced sector and
        of each folder change in turn whether it had reached the disk."""
        after = LossyDisk(
            reserve=self.reserve, ignore_sync=self.ignore_sync, ignore_folder_sync=self.ignore_folder_sync
        )
        names = dict(self.durable_names)
        for change, is_removal in self.folder_changes:
            if keep():
                change(names)
            elif not is_removal:
                break
        for name, file in names.items():
            found = _File()
            found.durable = self._mixed(file, keep)
            found.current = bytearray(found.durable)
            after.names[name] = found
        after.durable_names = dict(after.names)
        return after

    def after_kill(self):
        """Returns the disk as the next process finds it: nothing is lost, nothing more is durable."""
        self.power_lost_in = self.fails_in = None
        return self

    @staticmethod
    def _mixed(file, keep):
        old, new = file.durable, file.seen()
        if old == new:
            return old
        length = len(new) if keep() else len(old)
        if length == len(old) and len(new) > len(old) and keep():
            length = len(old) + (len(new) - len(old)) // 2
        mixed = bytearray()
        for start in range(0, length, SECTOR):
            end = min(start + SECTOR, length)
            before = old[start:end].ljust(end - start, b"\0")
            after = new[start:end].ljust(end - start, b"\0")
            mixed += before if before == after or not keep() else after
        return bytes(mixed)

    def _change_folder(self, change, *, is_removal=False):
        change(self.names)
        self.folder_changes.append((change, is_removal))

    def _call(self):
        self.calls += 1
        if self.power_lost_in is not None:
            self.power_lost_in -= 1
            if self.power_lost_in < 0:
                raise PowerLost
        if self.fails_in is not None:
            self.fails_in -= 1
            if self.fails_in < 0:
                raise OSError(errno.ENOSPC, "No space left on device")


class LossyFile:
    """An `AppendFile` of a LossyDisk."""

    def __init__(self, disk, name, file):
        self.disk = disk
        self.name = name
        self.file = file

    def append(self, data):
        try:
            self.disk._call()
        except (OSError, PowerLost):
            self.file.current += data[: len(data) // 2]
            raise
        self.file.current += data

    def sync(self):
        self.disk._call()
        if not self.disk.ignore_sync:
            self.file.durable = self.file.seen()

    def truncate(self, length):
        self.disk._call()
        del self.file.current[length:]
        self.file.reserved = 0

    def close(self):
        pass
