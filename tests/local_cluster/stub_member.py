"""A process that looks like a member from outside: flags, status over HTTP, a log of elections.

It leads when its peer port is the lowest that answers. It keeps nothing and replicates nothing.
"""

import asyncio
import contextlib
import json
import ssl
import sys
from datetime import UTC, datetime
from urllib.parse import urlsplit

FLAGS = dict(word.removeprefix("--").partition("=")[::2] for word in sys.argv[1:])
NAME = FLAGS["name"]
PEERS = [
    (name, urlsplit(url).port)
    for name, _, url in (part.partition("=") for part in FLAGS["initial-cluster"].split(","))
]
state = {"leader": 0, "term": 1}


def log(level, message, **fields):
    time = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    print(
        json.dumps({"level": level, "ts": time, "caller": "stub:1", "msg": message, **fields}),
        file=sys.stderr,
    )


async def answers(port):
    try:
        _, writer = await asyncio.wait_for(asyncio.open_connection("127.0.0.1", port), 0.2)
    except (OSError, TimeoutError):
        return False
    writer.close()
    return True


async def elect():
    while True:
        alive = [number for number, (_, port) in enumerate(PEERS, 1) if await answers(port)]
        leader = alive[0] if len(alive) > len(PEERS) // 2 else 0
        if leader != state["leader"]:
            state["leader"] = leader
            if leader:
                state["term"] += 1
                log("info", f"follows {PEERS[leader - 1][0]}, leader of term {state['term']}", logger="raft")
        await asyncio.sleep(0.1)


async def serve(reader, writer):
    with contextlib.suppress(OSError, asyncio.IncompleteReadError):
        await reader.readuntil(b"\r\n\r\n")
        number = [name for name, _ in PEERS].index(NAME) + 1
        body = json.dumps(
            {
                "header": {"member_id": str(number), "revision": "7"},
                "leader": str(state["leader"]),
                "raftTerm": str(state["term"]),
                "raftAppliedIndex": "12",
                "dbSize": "4096",
            }
        ).encode()
        writer.write(b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
        await writer.drain()
    writer.close()


async def main():
    context = None
    if "cert-file" in FLAGS:
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=FLAGS["trusted-ca-file"])
        context.load_cert_chain(FLAGS["cert-file"], FLAGS["key-file"])
        context.verify_mode = ssl.CERT_REQUIRED
    client = urlsplit(FLAGS["listen-client-urls"])
    peer = urlsplit(FLAGS["listen-peer-urls"])
    await asyncio.start_server(serve, client.hostname, client.port, ssl=context)
    await asyncio.start_server(lambda _, writer: writer.close(), peer.hostname, peer.port)
    log("info", "ready to serve client requests")
    await elect()


asyncio.run(main())
