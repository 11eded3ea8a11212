"""The client API served by its real listener, in a thread with an event loop of its own."""

import asyncio
import contextlib
import threading

import grpc
import uvloop

from miniraft.api.application import create_application
from miniraft.api.metrics import Metrics
from miniraft.api.options import ApiOptions
from miniraft.runtime.listener import ClientListener, ListenerOptions

_PATIENCE_SECONDS = 30.0


class LoopThread:
    """A running event loop; `run` runs a coroutine on it and returns its result."""

    def __init__(self):
        self.loop = uvloop.new_event_loop()
        self.problems = []
        self.loop.set_exception_handler(lambda loop, context: self.problems.append(context))
        self._thread = threading.Thread(target=self.loop.run_forever, daemon=True)

    def __enter__(self):
        self._thread.start()
        return self

    def run(self, coroutine):
        return asyncio.run_coroutine_threadsafe(coroutine, self.loop).result(_PATIENCE_SECONDS)

    def call(self, function, *arguments):
        """Calls a plain function on the loop's thread."""

        async def call():
            return function(*arguments)

        return self.run(call())

    def __exit__(self, *_):
        self.run(self._cancel_rest())
        self.loop.call_soon_threadsafe(self.loop.stop)
        self._thread.join(_PATIENCE_SECONDS)
        self.loop.close()

    async def _cancel_rest(self):
        rest = asyncio.all_tasks() - {asyncio.current_task()}
        for task in rest:
            task.cancel()
        await asyncio.gather(*rest, return_exceptions=True)


class ServedApi:
    """What a test gets: the listener, its URLs, the service and the loop they run on."""

    def __init__(self, thread, listener, application, service, metrics):
        self.thread = thread
        self.listener = listener
        self.application = application
        self.service = service
        self.metrics = metrics
        self.url = listener.urls[0]
        self.address = self.url.partition("://")[2]

    def channel(self, **options):
        return grpc.insecure_channel(self.address, options=list(options.items()))

    def request_count(self):
        """How many requests are being served just now."""
        return self.thread.call(
            lambda: sum(
                task.get_coro().__qualname__.endswith("Application.__call__") for task in asyncio.all_tasks()
            )
        )


@contextlib.contextmanager
def served(service, *, urls=("http://127.0.0.1:0",), tls=None, api=None, metrics=None, **listener_options):
    """Serves `service`; yields a ServedApi. Stops the listener at the end."""
    metrics = metrics or Metrics()
    application = create_application(service, metrics, api or ApiOptions())
    with LoopThread() as thread:
        listener = ClientListener(application, urls, tls, ListenerOptions(**listener_options))
        thread.run(listener.start())
        try:
            yield ServedApi(thread, listener, application, service, metrics)
        finally:
            thread.run(listener.stop(grace_seconds=2.0))
