"""The API between members: gRPC streams, batched messages, snapshot transfer."""
