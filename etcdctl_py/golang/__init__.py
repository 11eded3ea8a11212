"""Texts as Go's standard library writes and reads them, so that output is equal byte for byte."""
