"""A watch stream over grpcio, read by a thread."""

import queue
import threading

import grpc

from miniraft.pb import rpc_pb2 as rpc

PATIENCE_SECONDS = 20.0
_END = object()


class WatchClient:
    """Sends requests, and hands out responses in order; `next` waits for one."""

    def __init__(self, channel, metadata=(), *, reads=True):
        self._requests = queue.SimpleQueue()
        self._responses = queue.SimpleQueue()
        method = channel.stream_stream(
            "/etcdserverpb.Watch/Watch", rpc.WatchRequest.SerializeToString, rpc.WatchResponse.FromString
        )
        self.call = method(iter(self._requests.get, _END), metadata=metadata)
        self._reader = None
        if reads:
            self.start_reading()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

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

    # Requests
    def send(self, request):
        self._requests.put(request)

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

    def end_requests(self):
        self._requests.put(_END)

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
        self.end_requests()
        self.call.cancel()
        if self._reader is not None:
            self._reader.join(PATIENCE_SECONDS)
