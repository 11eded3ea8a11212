"""Sizes in bytes for people, as etcdctl's `endpoint status` shows them: `25 kB`, `2.1 GB`."""

_UNITS = ("B", "kB", "MB", "GB", "TB", "PB", "EB")


def humanize_bytes(size_bytes: int) -> str:
    """Writes a size in powers of a thousand: one decimal below ten, none above."""
    if size_bytes < 10:
        return f"{size_bytes} B"
    unit = 0
    scale = 1
    while unit < len(_UNITS) - 1 and size_bytes >= scale * 1000:
        scale *= 1000
        unit += 1
    tenths = (size_bytes * 10 * 2 + scale) // (2 * scale)  # rounded half up
    if tenths < 100:
        return f"{tenths // 10}.{tenths % 10} {_UNITS[unit]}"
    return f"{_half_even(tenths)} {_UNITS[unit]}"


def _half_even(tenths: int) -> int:
    """Rounds tenths to a whole number; Go's `%.0f` rounds a half to the even neighbour."""
    whole, rest = divmod(tenths, 10)
    return whole + (rest > 5 or (rest == 5 and whole % 2 == 1))
