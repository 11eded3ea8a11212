"""bbolt's file format: a writer and a reader. Pure: bytes in and out, no file is opened here."""
