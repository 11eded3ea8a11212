"""Watch streams: over gRPC by grpcio, and over JSON by a WebSocket. Each is read by a thread."""

import asyncio
import contextlib
import json
import queue
import threading

import aiohttp
import grpc

from miniraft.pb import rpc_pb2 as rpc
from tests.support.json_messages import read_message

PATIENCE_SECONDS = 20.0
_END = object()


class _Watches:
    """Sends requests, and hands out responses in order; `next` waits for one."""

    def __init__(self):
        self._responses = queue.SimpleQueue()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    # Requests
    def send(self, request):
        raise NotImplementedError

    def create(self, key, range_end=b"", **options):
        """Asks for a watch and returns the answer."""
        self.ask(key, range_end, **options)
        return self.next()

    def ask(self, key, range_end=b"", **options):
        create = rpc.WatchCreateRequest(key=key, range_end=range_end, **options)
        self.send(rpc.WatchRequest(create_request=create))

    def cancel(self, watch_id):
        self.send(rpc.WatchRequest(cancel_request=rpc.WatchCancelRequest(watch_id=watch_id)))

    def request_progress(self):
        self.send(rpc.WatchRequest(progress_request=rpc.WatchProgressRequest()))

    # Responses
    def next(self, timeout=PATIENCE_SECONDS):
        """Returns the next response; None at the end of the stream, the error if it has failed."""
        return self._responses.get(timeout=timeout)

    def events(self, count):
        """Returns the next `count` events, however many responses they come in."""
        events = []
        while len(events) < count:
            response = self.next()
            assert response.events, f"{len(events)} of {count} events, then {response}"
            events += response.events
        assert len(events) == count
        return events

    def is_silent(self, seconds=0.15):
        try:
            self.next(seconds)
        except queue.Empty:
            return True
        return False

    def close(self):
        raise NotImplementedError


class WatchClient(_Watches):
    """A stream over gRPC."""

    def __init__(self, channel, metadata=(), *, reads=True):
        super().__init__()
        self._requests = queue.SimpleQueue()
        method = channel.stream_stream(
            "/etcdserverpb.Watch/Watch", rpc.WatchRequest.SerializeToString, rpc.WatchResponse.FromString
        )
        self.call = method(iter(self._requests.get, _END), metadata=metadata)
        self._reader = None
        if reads:
            self.start_reading()

    def start_reading(self):
        """A client made with `reads=False` leaves everything with the server until this."""
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self):
        try:
            for response in self.call:
                self._responses.put(response)
            self._responses.put(None)
        except grpc.RpcError as error:
            self._responses.put(error)

    def send(self, request):
        self._requests.put(request)

    def end_requests(self):
        self._requests.put(_END)

    def close(self):
        self.end_requests()
        self.call.cancel()
        if self._reader is not None:
            self._reader.join(PATIENCE_SECONDS)


class JsonWatchClient(_Watches):
    """A stream over a WebSocket: the only way by which requests and responses overlap in JSON."""

    def __init__(self, address, spelled):
        """`spelled` turns a request into JSON."""
        super().__init__()
        self._url = f"http://{address}/v3/watch"
        self._spelled = spelled
        self._requests = asyncio.Queue()
        self._loop = asyncio.new_event_loop()
        self._talking = self._loop.create_task(self._talk())
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self):
        with contextlib.suppress(asyncio.CancelledError):
            self._loop.run_until_complete(self._talking)

    async def _talk(self):
        async with aiohttp.ClientSession() as session, session.ws_connect(self._url) as socket:
            sending = self._loop.create_task(self._send_each(socket))
            try:
                async for frame in socket:
                    message = json.loads(frame.data)
                    assert set(message) == {"result"}
                    self._responses.put(read_message(message["result"], rpc.WatchResponse))
                self._responses.put(None)
            except (AssertionError, ValueError, aiohttp.ClientError) as problem:
                self._responses.put(problem)
            finally:
                sending.cancel()

    async def _send_each(self, socket):
        while True:
            await socket.send_str(self._spelled(await self._requests.get()))

    def next(self, timeout=PATIENCE_SECONDS):
        """Returns the next response, or None at the end. Raises what is wrong with a response."""
        response = super().next(timeout)
        if isinstance(response, Exception):
            raise response
        return response

    def send(self, request):
        self._loop.call_soon_threadsafe(self._requests.put_nowait, request)

    def close(self):
        self._loop.call_soon_threadsafe(self._talking.cancel)
        self._thread.join(PATIENCE_SECONDS)
        self._loop.close()
