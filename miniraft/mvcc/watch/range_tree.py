"""Which ranges contain a key: an interval tree, balanced as a treap.

Each node knows the greatest end below it, so a query passes over subtrees that end too early:
it takes O(log n + hits), whether ranges are apart, nested or overlapping.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Hashable

Item = TypeVar("Item", bound="Hashable")

_Bounds = tuple[bytes, bool, bytes]


class _Node(Generic[Item]):
    """One range and all that is kept under it.

    Invariants: in-order bounds ascend; a child's priority is not above its parent's;
    `last_end` is the greatest end in the subtree.
    """

    __slots__ = ("bounds", "end", "items", "last_end", "left", "priority", "right", "start")

    def __init__(self, start: bytes, end: bytes | None) -> None:
        self.start = start
        self.end = end  # None: no upper bound
        self.bounds: _Bounds = (start, end is None, end or b"")
        self.items: dict[Item, None] = {}  # an ordered set
        # Balance rests on priorities that users cannot choose: bytes hash differently in each
        # process. The order of what is found does not depend on them.
        self.priority = hash(self.bounds)
        self.left: _Node[Item] | None = None
        self.right: _Node[Item] | None = None
        self.last_end = end

    def update(self) -> None:
        """Works `last_end` out again after a child changed."""
        last_end = self.end
        for child in (self.left, self.right):
            if last_end is None:
                break
            if child is not None:
                last_end = None if child.last_end is None else max(last_end, child.last_end)
        self.last_end = last_end


class RangeTree(Generic[Item]):
    """Items under ranges [start, end); an end of None means no upper bound."""

    def __init__(self) -> None:
        self._root: _Node[Item] | None = None
        self._nodes: dict[_Bounds, _Node[Item]] = {}

    def __bool__(self) -> bool:
        return self._root is not None

    def add(self, start: bytes, end: bytes | None, item: Item) -> None:
        """Puts an item under a range."""
        new: _Node[Item] = _Node(start, end)
        node = self._nodes.get(new.bounds)
        if node is None:
            node = self._nodes[new.bounds] = new
            self._root = _insert(self._root, node)
        node.items[item] = None

    def remove(self, start: bytes, end: bytes | None, item: Item) -> None:
        """Takes an item from under a range. Raises KeyError when it is not there."""
        bounds = (start, end is None, end or b"")
        node = self._nodes[bounds]
        del node.items[item]
        if not node.items:
            del self._nodes[bounds]
            self._root = _remove(self._root, node)

    def collect(self, key: bytes, found: list[Item]) -> None:
        """Appends the items of every range that contains `key`, in order of the ranges."""
        _collect(self._root, key, found)


def _collect(node: _Node[Item] | None, key: bytes, found: list[Item]) -> None:
    while node is not None and (node.last_end is None or key < node.last_end):
        _collect(node.left, key, found)
        if key < node.start:  # so are all to the right
            return
        if node.end is None or key < node.end:
            found += node.items
        node = node.right


def _insert(node: _Node[Item] | None, new: _Node[Item]) -> _Node[Item]:
    """Returns the subtree with the new node in it."""
    if node is None:
        return new
    if new.bounds < node.bounds:
        child = node.left = _insert(node.left, new)
        if child.priority > node.priority:
            node.left, child.right = child.right, node
            node.update()
            node = child
    else:
        child = node.right = _insert(node.right, new)
        if child.priority > node.priority:
            node.right, child.left = child.left, node
            node.update()
            node = child
    node.update()
    return node


def _remove(node: _Node[Item] | None, old: _Node[Item]) -> _Node[Item] | None:
    """Returns the subtree without the old node, which is in it."""
    if node is old:
        return _joined(old.left, old.right)
    if node is None:
        raise KeyError(old.bounds)
    if old.bounds < node.bounds:
        node.left = _remove(node.left, old)
    else:
        node.right = _remove(node.right, old)
    node.update()
    return node


def _joined(left: _Node[Item] | None, right: _Node[Item] | None) -> _Node[Item] | None:
    """Returns one subtree of two, of which the left one is all below the right one."""
    if left is None or right is None:
        return right if left is None else left
    if left.priority >= right.priority:
        left.right = _joined(left.right, right)
        left.update()
        return left
    right.left = _joined(left, right.left)
    right.update()
    return right
