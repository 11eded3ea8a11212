"""The descriptor pool of this package's messages, apart from the process-wide default.

Client libraries for etcd register the same message names in the default pool; both can be
imported in one process because ours are registered here.
"""

from google.protobuf.descriptor_pool import DescriptorPool

_POOL = DescriptorPool()


def Default() -> DescriptorPool:  # noqa: N802 (the name that generated modules call)
    """Returns the pool; named as in `google.protobuf.descriptor_pool`, whose place it takes."""
    return _POOL
