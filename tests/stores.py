"""Object stores on the loopback interface: moto's S3 and the emulator of Google's, as processes."""

from __future__ import annotations

import contextlib
import functools
import importlib.util
import itertools
import json
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.servers import Site, body, serving

_NUMBERS = itertools.count()
# What must not be shown anywhere.
SECRETS = ("secret-of-s3", "token-of-s3", "token-of-google", "key-of-google")
_PACKAGES = {
    "s3": ("boto3", "moto", "flask"),
    "gs": ("google.cloud.storage", "gcp_storage_emulator"),
}


@dataclass(frozen=True)
class Bucket:
    """A bucket, by its own library and not by Beam's."""

    address: str
    put: Callable[[str, bytes], Any]
    get: Callable[[str], bytes]
    names: Callable[[], Sequence[str]]
    environment: Mapping[str, str]

    def upload(self, source: Path, name: str) -> str:
        """A file, or all of a folder."""
        for path in sorted(source.rglob("*")) if source.is_dir() else [source]:
            if path.is_file():
                inside = path.relative_to(source).as_posix() if path != source else ""
                self.put(f"{name}/{inside}".rstrip("/"), path.read_bytes())
        return f"{self.address}/{name}"

    def download(self, name: str, target: Path) -> Path:
        """A folder of the bucket."""
        for there in self.names():
            if there.startswith(f"{name}/"):
                file = target / there.removeprefix(f"{name}/")
                file.parent.mkdir(parents=True, exist_ok=True)
                file.write_bytes(self.get(there))
        return target


def missing(scheme: str) -> str | None:
    """The package without which a store cannot be started."""
    for package in _PACKAGES[scheme]:
        try:
            found = importlib.util.find_spec(package)
        except ModuleNotFoundError:
            found = None
        if found is None:
            return package
    return None


@contextlib.contextmanager
def running(scheme: str) -> Iterator[tuple[str, Mapping[str, str]]]:
    """The address of a store of its own, and the environment in which it is found."""
    if (package := missing(scheme)) is not None:
        pytest.skip(f"{package} is not installed; ./run_tests.sh installs it")
    port = _free_port()
    address = f"http://127.0.0.1:{port}"
    if scheme == "s3":
        with _process("moto_server", "-H", "127.0.0.1", "-p", str(port), port=port):
            yield address, s3_environment(address)
        return
    site = Site()
    answer = {"access_token": "token-of-google", "expires_in": 3600, "token_type": "Bearer"}
    site.answers["/token"] = body(json.dumps(answer).encode(), {"Content-Type": "application/json"})
    start = ("start", "--host", "127.0.0.1", "--port", str(port), "--in-memory", "--quiet")
    with serving(site), _process("gcp-storage-emulator", *start, port=port):
        yield address, {"STORAGE_EMULATOR_HOST": address, "TOKENS": f"{site.address}/token"}


def s3_environment(address: str) -> dict[str, str]:
    """As a user has it who keeps credentials out of command lines."""
    return {
        "AWS_ACCESS_KEY_ID": "key-of-s3",
        "AWS_SECRET_ACCESS_KEY": "secret-of-s3",
        "AWS_SESSION_TOKEN": "token-of-s3",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_ENDPOINT_URL_S3": address,
        "AWS_MAX_ATTEMPTS": "1",
    }


def google_credentials(folder: Path, tokens: str) -> Path:
    """The file of a service account, whose tokens a server of ours gives."""
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import rsa

    key = rsa.generate_private_key(public_exponent=65537, key_size=2048).private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    account = {
        "type": "service_account",
        "project_id": "project",
        "private_key_id": "key-of-google",
        "private_key": key.decode(),
        "client_email": "corpus@project.example",
        "token_uri": tokens,
    }
    file = folder / "account.json"
    file.write_text(json.dumps(account))
    return file


def s3_bucket(name: str, environment: Mapping[str, str]) -> Bucket:
    import boto3

    client = boto3.client(
        "s3",
        endpoint_url=environment["AWS_ENDPOINT_URL_S3"],
        aws_access_key_id="key-of-s3",
        aws_secret_access_key="secret-of-s3",
        region_name="us-east-1",
    )
    client.create_bucket(Bucket=name)
    return Bucket(
        f"s3://{name}",
        lambda key, content: client.put_object(Bucket=name, Key=key, Body=content),
        lambda key: client.get_object(Bucket=name, Key=key)["Body"].read(),
        lambda: [o["Key"] for o in client.list_objects_v2(Bucket=name).get("Contents", [])],
        environment,
    )


def google_bucket(name: str, environment: Mapping[str, str]) -> Bucket:
    from google.auth.credentials import AnonymousCredentials
    from google.cloud import storage

    client = storage.Client(
        project="project",
        credentials=AnonymousCredentials(),
        client_options={"api_endpoint": environment["STORAGE_EMULATOR_HOST"]},
    )
    bucket = client.create_bucket(name)
    return Bucket(
        f"gs://{name}",
        lambda key, content: bucket.blob(key).upload_from_string(content),
        lambda key: bucket.blob(key).download_as_bytes(),
        lambda: [blob.name for blob in client.list_blobs(name)],
        environment,
    )


@contextlib.contextmanager
def reachable(scheme: str, folder: Path) -> Iterator[dict[str, str]]:
    """A store of its own -> the environment in which it is found; credentials lie in `folder`."""
    with running(scheme) as (_, found):
        environment = dict(found)
        if tokens := environment.pop("TOKENS", None):
            account = google_credentials(folder, tokens)
            environment["GOOGLE_APPLICATION_CREDENTIALS"] = str(account)
        yield environment


def new_bucket(scheme: str, environment: Mapping[str, str], monkeypatch) -> Bucket:
    """For one test, in which the program finds it."""
    from apache_beam.io.filesystems import FileSystems

    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(FileSystems, "_pipeline_options", None)
    if scheme == "s3":  # a client for each file reads the same megabytes of JSON again
        from botocore.loaders import JSONFileLoader

        once = functools.cache(JSONFileLoader().load_file)
        monkeypatch.setattr(JSONFileLoader, "load_file", lambda self, path: once(path))
    make = s3_bucket if scheme == "s3" else google_bucket
    return make(f"bucket-{next(_NUMBERS)}", environment)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@contextlib.contextmanager
def _process(program: str, *arguments: str, port: int) -> Iterator[None]:
    """A server, until the end of the block."""
    path = shutil.which(program, path=str(Path(sys.executable).parent)) or program
    server = subprocess.Popen(
        [path, *arguments], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline and server.poll() is None:
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
                break
            time.sleep(0.1)
        else:
            raise RuntimeError(f"{program} does not start")
        yield
    finally:
        server.terminate()
        server.wait(10)
