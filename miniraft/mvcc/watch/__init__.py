"""Watches: every change of the keys watched, once, in order, from any revision not compacted."""
