"""A study whose results lie on an S3 server: moto's, over loopback.

pip install 'moto[server]'
python tests/real/test_real_s3.py
"""

from __future__ import annotations

import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
from pyarrow.fs import FileSelector, S3FileSystem
from real_helpers import ablate, alone, free_port, listens, program, server, wait_for

pytestmark = pytest.mark.slow


@pytest.fixture
def endpoint(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """An S3 server with an empty bucket."""
    port, log = free_port(), tmp_path / "server.log"
    for name, value in {
        "AWS_ACCESS_KEY_ID": "testing",
        "AWS_SECRET_ACCESS_KEY": "testing",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_EC2_METADATA_DISABLED": "true",
    }.items():
        monkeypatch.setenv(name, value)
    with server(log, program("moto_server"), "-H", "127.0.0.1", "-p", port):
        wait_for("the S3 server", lambda: listens(port), 60, log)
        made = urllib.request.Request(f"http://127.0.0.1:{port}/bucket", method="PUT")
        urllib.request.urlopen(made, timeout=10).close()
        yield f"127.0.0.1:{port}"


def test_results_lie_on_an_s3_server(
    endpoint: str, utd: Path, study_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    uri = (
        f"s3://bucket/results?endpoint_override={endpoint}&scheme=http&allow_bucket_creation=false"
    )
    words = ("run", study_file, "--data", utd, "--only", "none", "--results", uri, "--yes")
    first = ablate(*words)
    assert first.returncode == 0, first.stdout + first.stderr
    files = S3FileSystem(endpoint_override=endpoint, scheme="http", allow_bucket_creation=False)
    found = [each.path for each in files.get_file_info(FileSelector("bucket", recursive=True))]
    assert sum(path.endswith("/DONE") for path in found) == 4, found
    assert any(path.endswith("/table.tex") for path in found), found
    # A machine that has none of it runs nothing, and prints the same table.
    monkeypatch.setenv("SKELCON_CACHE", str(tmp_path / "another machine"))
    again = ablate(*words)
    assert again.returncode == 0, again.stdout + again.stderr
    assert "to run" not in again.stdout
    first_table, second_table = (
        text[text.index("A tiny study") : text.index("Written to")]
        for text in (first.stdout, again.stdout)
    )
    assert first_table == second_table


if __name__ == "__main__":
    alone(__file__)
