"""The page of a local cluster: what it is told, what it may ask, and the server for both.

`page/` holds what the browser loads, as it is: no build step, nothing from elsewhere.
"""
