"""Beam's calls to S3 share a client."""

from __future__ import annotations

import pytest

from corpusvec.transforms.storage import files, s3_clients


def test_calls_share_a_client_as_long_as_all_is_as_it_was(monkeypatch):
    pytest.importorskip("boto3")
    from apache_beam.io.aws.clients.s3 import boto3_client

    def client():
        return boto3_client.Client(options={}).client

    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "mine")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-west-1")
    moments = iter([0.0, 1.0, 2.0, 3.0, 2 * s3_clients._SECONDS])
    monkeypatch.setattr(s3_clients.time, "monotonic", lambda: next(moments))
    files._file_systems()
    first = client()
    assert first is client()
    assert first.meta.region_name == "eu-west-1"
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "another")
    second = client()
    assert second is not first
    assert second is client()
    assert second is not client()  # credentials in a file may have been renewed
