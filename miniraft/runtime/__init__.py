"""The asyncio driver: the only place with a clock, sockets, threads and files."""
