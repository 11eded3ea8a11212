"""The client-facing API as one ASGI application."""
