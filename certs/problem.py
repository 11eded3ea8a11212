"""What can go wrong while making certificates, in words for the operator."""

from __future__ import annotations


class CertificateError(Exception):
    """Nothing was changed for the file it names. The message says what to do."""
