"""A DNS server on loopback that answers with SRV records."""

import contextlib
import socket
import threading

import dns.asyncresolver
import dns.flags
import dns.message
import dns.rcode
import dns.rrset

from miniraft.discovery import srv


class DnsServer:
    """Answers over UDP until it is closed. `records`: name -> list of (priority, weight, port, target)."""

    def __init__(self, records):
        self.records = records
        self.asked = []
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.bind(("127.0.0.1", 0))
        self.port = self._socket.getsockname()[1]
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def _serve(self):
        while True:
            try:
                packet, sender = self._socket.recvfrom(4096)
            except OSError:
                return
            if not packet:
                return
            self._socket.sendto(self._answer(dns.message.from_wire(packet)).to_wire(), sender)

    def _answer(self, query):
        name = query.question[0].name
        self.asked.append(name.to_text(omit_final_dot=True))
        response = dns.message.make_response(query)
        response.flags |= dns.flags.RA
        found = self.records.get(self.asked[-1])
        if found is None:
            response.set_rcode(dns.rcode.NXDOMAIN)
        else:
            texts = [" ".join(map(str, record)) for record in found]
            response.answer.append(dns.rrset.from_text(name, 60, "IN", "SRV", *texts))
        return response

    def resolver(self):
        resolver = dns.asyncresolver.Resolver(configure=False)
        resolver.nameservers = ["127.0.0.1"]
        resolver.port = self.port
        return resolver

    def close(self):
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as waking:
            waking.sendto(b"", ("127.0.0.1", self.port))
        self._thread.join(10)
        self._socket.close()


@contextlib.contextmanager
def dns_records(monkeypatch, records):
    """Has the code under test ask a server with these records."""
    server = DnsServer(records)
    monkeypatch.setattr(srv, "make_resolver", server.resolver)
    try:
        yield server
    finally:
        server.close()
