"""gRPC on the event loop: just what members need of each other, over HTTP/2 by `h2`.

A message is on its way when `write` returns and is handed on in the very callback in which
its bytes came in: no thread, task or queue lies between. That is what this exists for: grpcio
wakes three threads for each message, and a write of a single client waits for several.

    server.Server --ServerCall--+                    +--framing-- messages
                                +--> stream.Stream --+
    client.connect --ClientCall-+         |
                                 connection.Connection --h2--> transport
                                          |
                                      keepalive

Compression, server push and proxies are left out: members never use them.
"""
