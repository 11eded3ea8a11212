"""The TLS side of a connection: what to trust, and who we are."""

from __future__ import annotations

import ssl
from pathlib import Path
from typing import TYPE_CHECKING

from etcdctl_py.failure import CommandError, bad_arguments
from etcdctl_py.options import check_tls_files

if TYPE_CHECKING:
    from etcdctl_py.options import Options


def client_context(options: Options) -> ssl.SSLContext:
    """Builds the context that --cacert, --cert, --key and --insecure-skip-tls-verify ask for.

    With --cacert only that file's certificates are trusted, else the system's.
    Raises CommandError (exit 128) for files that are missing or unfit.
    """
    check_tls_files(options)
    authorities = options["cacert"]
    if authorities:
        _must_be_readable(authorities)
    try:
        context = ssl.create_default_context(cafile=authorities or None)
    except (ssl.SSLError, ValueError):
        raise bad_arguments(
            f"no certificate found in --cacert file {authorities}",
            "The file must hold the authority's certificate in PEM form (-----BEGIN CERTIFICATE-----).",
        ) from None
    # etcd's certificates are often made by small tools: what Go's verifier accepts must pass here.
    context.verify_flags &= ~ssl.VERIFY_X509_STRICT
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    if options["insecure-skip-tls-verify"]:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    _load_identity(context, options)
    return context


def _load_identity(context: ssl.SSLContext, options: Options) -> None:
    certificate, key = options["cert"], options["key"]
    if not certificate:
        return
    _must_be_readable(certificate)
    _must_be_readable(key)
    try:
        context.load_cert_chain(certificate, key, password=_refuse_password)
    except (ssl.SSLError, ValueError) as error:
        raise bad_arguments(
            f"--cert {certificate} and --key {key} cannot be used: {_ssl_text(error)}",
            "Both must be PEM, and the key must be the one the certificate was made for.",
        ) from None


def _refuse_password() -> str:
    """An encrypted key would else make OpenSSL ask on the terminal."""
    raise ValueError("the key is encrypted, which etcdctl does not support")


def _ssl_text(error: Exception) -> str:
    reason = getattr(error, "reason", "") or ""
    if reason == "KEY_VALUES_MISMATCH":
        return "the key does not belong to the certificate"
    return reason.replace("_", " ").lower() or str(error)


def _must_be_readable(path: str) -> None:
    try:
        with Path(path).open("rb"):
            return
    except OSError as error:
        problem = (error.strerror or str(error)).lower()
        raise CommandError(f"open {path}: {problem}", bad_arguments("").code) from None
