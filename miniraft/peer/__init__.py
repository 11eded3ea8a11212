"""The API between members: gRPC streams, batched messages, snapshot transfer."""

import os

# gRPC's core writes its own lines to stderr, in its own format, for every connection that
# breaks; what matters is said in this program's log. Read once, when grpc is imported.
os.environ.setdefault("GRPC_VERBOSITY", "ERROR")
