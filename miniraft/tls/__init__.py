"""TLS for both listeners: what may be negotiated, and who is turned away after the handshake."""
