"""A study whose results lie on an S3 server: moto's, over loopback.

pip install 'moto[server]'
python tests/real/test_real_s3.py
"""

from __future__ import annotations

import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
from pyarrow.fs import FileSelector, S3FileSystem
from real_helpers import alone, free_port, listens, program, server, wait_for

pytestmark = pytest.mark.slow


def files_at(endpoint: str) -> S3FileSystem:
    return S3FileSystem(endpoint_override=endpoint, scheme="http", allow_bucket_creation=False)


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
        place = f"127.0.0.1:{port}"
        try:
            with files_at(place).open_output_stream("bucket/tried") as tried:
                tried.write(b"tried")
        except OSError as error:  # moto 5.2.1 answers pyarrow's uploads so, 5.2.5 does not
            pytest.skip(f"this S3 server does not take what pyarrow sends: {error}")
        yield place


RUN = """
import sys, ablation
study, data, results = sys.argv[1:]
print(ablation.run(study, data, results=results, only=["none"], in_process=True, progress=False))
"""


def run(*words: object) -> str:
    """What the study prints, run without Ray in a process of its own."""
    done = subprocess.run(
        [sys.executable, "-c", RUN, *map(str, words)],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_results_lie_on_an_s3_server(
    endpoint: str, utd: Path, study_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    options = f"endpoint_override={endpoint}&scheme=http&allow_bucket_creation=false"
    words = study_file, utd, f"s3://bucket/results?{options}"
    files = files_at(endpoint)

    def lying_there() -> dict[str, object]:
        found = files.get_file_info(FileSelector("bucket", recursive=True))
        return {each.path: each.mtime for each in found}

    first = run(*words)
    there = lying_there()
    done = {path for path in there if path.endswith("/DONE")}
    assert len(done) == 4, there
    assert any(path.endswith("/table.tex") for path in there), there
    # A machine that has none of it runs nothing, and prints the same table.
    monkeypatch.setenv("SKELCON_CACHE", str(tmp_path / "another machine"))
    assert run(*words) == first
    again = lying_there()
    assert {path: again[path] for path in done} == {path: there[path] for path in done}


if __name__ == "__main__":
    alone(__file__)
