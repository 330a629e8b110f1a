"""Files fetched by HTTP: whole or not at all, with a bounded number of tries."""

from __future__ import annotations

import http
import os
import time
from collections.abc import Callable
from urllib.parse import urlsplit, urlunsplit

import requests
import urllib3

TRIES = 3
CONNECT_SECONDS, READ_SECONDS = 4.0, 20.0  # until a connection; between two pieces of an answer
PAUSE_SECONDS = 0.5  # before the second try, doubled before each further one
PROGRESS_SECONDS = 15.0
LARGEST = 32 * 10**9  # bytes
_CHUNK = 1 << 18
_REMEDY = (
    "check the address and the network, or download the model elsewhere and give its folder"
    " as --model=FOLDER"
)


class _Transient(Exception):
    """Why a try failed that another may not."""


def fetch(url: str, file: str, say: Callable[[str], None] = lambda text: None) -> None:
    """Write what is at `url` to `file`; proxies are taken from the environment.

    `say` gets the progress now and then. Raises: RuntimeError, with no part of the address
    in its words, where the server refuses, cannot be reached, or cuts every answer short.
    """
    reason = ""
    for attempt in range(TRIES):
        if attempt:
            time.sleep(PAUSE_SECONDS * 2 ** (attempt - 1))
        try:
            _fetch_once(url, file, say)
            return
        except _Transient as error:
            reason = str(error)
    raise RuntimeError(f"cannot be fetched: {reason} (tried {TRIES} times); {_REMEDY}")


def without_secrets(url: str) -> str:
    """An address to show: no user name, no password, no values in the query that could be keys."""
    parts = urlsplit(url)
    host = parts.netloc.rpartition("@")[2]
    items = [item.partition("=") for item in parts.query.split("&") if item]
    query = "&".join(
        "".join(item) if item[0] == "tf-hub-format" else f"{item[0]}=…" if item[1] else "…"
        for item in items
    )
    return urlunsplit((parts.scheme, host, parts.path, query, ""))


def _fetch_once(url: str, file: str, say: Callable[[str], None]) -> None:
    """Raises: _Transient where another try makes sense, RuntimeError where none does."""
    try:
        with requests.get(
            url,
            stream=True,
            timeout=(CONNECT_SECONDS, READ_SECONDS),
            headers={"Accept-Encoding": "identity"},  # the archive's bytes as they lie there
            # As tensorflow-hub: for a server whose certificate nobody signed.
            verify=os.environ.get("TFHUB_DISABLE_CERT_VALIDATION") != "true",
        ) as response:
            _check_status(response.status_code)
            _save(response, file, say)
    except (requests.RequestException, urllib3.exceptions.HTTPError) as error:
        reason = _reason(error)
        if isinstance(error, (requests.exceptions.SSLError, ValueError, requests.TooManyRedirects)):
            raise RuntimeError(f"cannot be fetched: {reason}; {_REMEDY}") from error
        raise _Transient(reason) from error


def _check_status(status: int) -> None:
    if status == 200:
        return
    phrase = http.HTTPStatus(status).phrase if status in set(http.HTTPStatus) else ""
    said = f"the server answers {status} {phrase}".rstrip()
    if status in (408, 429) or status >= 500:
        raise _Transient(said)
    raise RuntimeError(f"cannot be fetched: {said}; {_REMEDY}")


def _save(response: requests.Response, file: str, say: Callable[[str], None]) -> None:
    """Write the answer's bytes as they come, and count them."""
    length = response.headers.get("Content-Length", "")
    expected = int(length) if length.isdecimal() else None
    got, told = 0, time.monotonic()
    with open(file, "wb") as target:
        _check_size(expected or 0)
        for data in response.raw.stream(_CHUNK, decode_content=False):
            got += target.write(data)
            _check_size(got)
            if time.monotonic() - told > PROGRESS_SECONDS:
                told = time.monotonic()
                whole = f" of {expected / 1e6:,.0f}" if expected else ""
                say(f"{got / 1e6:,.0f}{whole} MB are there")
    if expected is not None and got != expected:
        raise _Transient(f"the answer was cut short at {got} of {expected} bytes")


def _check_size(size: int) -> None:
    if size > LARGEST:
        raise RuntimeError(f"cannot be fetched: it has more than {LARGEST // 10**9} GB; {_REMEDY}")


def _reason(error: BaseException) -> str:
    """In a few words; the libraries' own have the address in them, with what is secret in it."""
    if isinstance(error, requests.exceptions.SSLError):
        return "the server's certificate is not accepted"
    if isinstance(error, requests.exceptions.ProxyError):
        return "the proxy cannot be used"
    if isinstance(error, requests.exceptions.ConnectTimeout):
        return f"no connection within {CONNECT_SECONDS:g} seconds"
    if isinstance(error, (requests.Timeout, urllib3.exceptions.TimeoutError)):
        return f"the server sent nothing for {READ_SECONDS:g} seconds"
    if isinstance(error, requests.TooManyRedirects):
        return "the server redirects in a circle"
    if isinstance(error, ValueError):  # requests' errors of addresses are such
        return "this is no address that can be fetched"
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, OSError) and cause.errno is not None and cause.strerror:
            return f"no connection ({cause.strerror})"
        cause = cause.__cause__ or cause.__context__
    if isinstance(error, urllib3.exceptions.ProtocolError):
        return "the answer was cut short"
    return "no connection"
