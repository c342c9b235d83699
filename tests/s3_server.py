"""An S3-compatible server on this machine, for the tests of object storage."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from uuid import uuid4

import fsspec
import pytest
from moto.server import ThreadedMotoServer


@contextmanager
def s3_bucket() -> Iterator[str]:
    """Give the URL of an empty bucket; its server is found by the environment meanwhile."""
    server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    with pytest.MonkeyPatch.context() as patch:
        for name, value in (
            ("AWS_ENDPOINT_URL", f"http://{host}:{port}"),
            ("AWS_ACCESS_KEY_ID", "made-up"),
            ("AWS_SECRET_ACCESS_KEY", "made-up"),
            ("AWS_DEFAULT_REGION", "us-east-1"),
        ):
            patch.setenv(name, value)
        store = fsspec.filesystem("s3", skip_instance_cache=True)
        type(store).clear_instance_cache()
        store.mkdir(bucket := f"bolts-{uuid4().hex}")
        yield f"s3://{bucket}"
        type(store).clear_instance_cache()
    server.stop()
