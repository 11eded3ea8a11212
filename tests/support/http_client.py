"""Plain HTTP/1.1 requests, as curl would send them."""

import base64
import http.client
import json as json_module
from dataclasses import dataclass


@dataclass
class Answer:
    """A whole response; header names in lower case."""

    status: int
    headers: dict
    body: bytes

    @property
    def text(self):
        return self.body.decode()

    @property
    def json(self):
        return json_module.loads(self.body)


def fetch(address, method, path, body=None, headers=None):
    """Sends one request over a connection of its own."""
    host, port = address.rsplit(":", 1)
    connection = http.client.HTTPConnection(host, int(port), timeout=10)
    try:
        connection.request(method, path, body, headers or {})
        response = connection.getresponse()
        answer_headers = {name.lower(): value for name, value in response.getheaders()}
        return Answer(response.status, answer_headers, response.read())
    finally:
        connection.close()


def post(address, path, value=None, headers=None):
    """POSTs a JSON value, or bytes as they are."""
    body = value if isinstance(value, bytes) else json_module.dumps({} if value is None else value).encode()
    return fetch(address, "POST", path, body, headers)


def encoded(raw):
    """Returns bytes as the gateway takes and gives them."""
    return base64.b64encode(raw).decode()
