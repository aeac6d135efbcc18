"""Downloads: what a cut connection left is kept, versions are not mixed, refusals are one line."""

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from loopback import Loopback, serve

from dseg.datasets.public.download import fetch, read_note
from dseg.errors import DsegError
from dseg.files import locked

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)
NOTES = (
    st.dictionaries(st.sampled_from(["address", "version", "total"]), JSON)
    .map(json.dumps)
    .map(str.encode)
) | st.sampled_from([b"[" * 100_000, b'{"total": ' + b"9" * 5000 + b"}", b'{"version": "a\\nb"}'])
BODY = np.random.default_rng(0).bytes(3_000_000)


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch):
    """A server with one file, reached without whatever proxy is configured."""
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    with serve() as state:
        state.files["a.zip"] = BODY
        yield state


@pytest.fixture
def part(tmp_path: Path) -> Path:
    return tmp_path / "deep" / "a.zip.part"


def get(server: Loopback, part: Path, name: str = "a.zip") -> None:
    fetch(server.address(name), part, timeout=5, pause=0.001)


def test_a_file_is_fetched_whole_and_leaves_no_note(server: Loopback, part: Path) -> None:
    get(server, part)
    assert part.read_bytes() == BODY and list(part.parent.iterdir()) == [part]


def test_after_a_cut_only_the_missing_bytes_are_sent(server: Loopback, part: Path) -> None:
    server.cuts = [1_200_000, 700_000]
    get(server, part)
    assert part.read_bytes() == BODY
    assert [request.sent for request in server.requests] == [1_200_000, 700_000, 1_100_000]
    assert [request.range for request in server.requests[1:]] == [
        "bytes=1200000-",
        "bytes=1900000-",
    ]


def test_a_later_call_goes_on_where_an_earlier_one_gave_up(server: Loopback, part: Path) -> None:
    server.cuts = [1_000_000, 0, 0, 0, 0, 0]
    with pytest.raises(DsegError, match="ended after 1000000 of 3000000 bytes; gave up after 5"):
        get(server, part)
    assert part.stat().st_size == 1_000_000 and len(server.requests) == 5
    server.cuts = []
    get(server, part)
    assert part.read_bytes() == BODY and server.requests[-1].sent == 2_000_000


def test_a_server_without_ranges_sends_it_all_again(server: Loopback, part: Path) -> None:
    server.ranges, server.cuts = False, [1_000_000]
    get(server, part)
    assert part.read_bytes() == BODY and server.requests[-1].sent == len(BODY)


@pytest.mark.parametrize("dated", [False, True])
def test_two_versions_of_a_file_are_never_joined(server: Loopback, part: Path, dated: bool) -> None:
    if dated:
        server.etag, server.date = 'W/"weak"', "Mon, 02 Jan 2012 00:00:00 GMT"
    server.cuts = [1_000_000, 0, 0, 0, 0]
    with pytest.raises(DsegError):
        get(server, part)
    changed = bytes(reversed(BODY))
    server.files["a.zip"], server.cuts = changed, []
    server.etag, server.date = '"two"', "Tue, 03 Jan 2012 00:00:00 GMT"
    get(server, part)
    assert part.read_bytes() == changed


def test_another_address_starts_anew(server: Loopback, part: Path) -> None:
    server.cuts = [1_000_000, 0, 0, 0, 0]
    with pytest.raises(DsegError):
        get(server, part)
    server.files["b.zip"], server.cuts = BODY[::-1], []
    get(server, part, "b.zip")
    assert part.read_bytes() == BODY[::-1] and server.requests[-1].range is None


def test_a_part_that_is_whole_already_is_done(server: Loopback, part: Path) -> None:
    part.parent.mkdir()
    part.write_bytes(BODY)
    get(server, part)
    assert [request.status for request in server.requests] == [416]
    assert part.read_bytes() == BODY


def test_a_part_longer_than_the_file_is_not_a_part_of_it(server: Loopback, part: Path) -> None:
    part.parent.mkdir()
    part.write_bytes(BODY + b"more")
    get(server, part)
    assert [request.status for request in server.requests] == [416, 200]
    assert part.read_bytes() == BODY


def test_a_file_that_moved_is_followed_and_resumed(server: Loopback, part: Path) -> None:
    server.moved["old.zip"] = server.address("a.zip")
    server.cuts = [1_000_000]
    get(server, part, "old.zip")
    assert part.read_bytes() == BODY
    assert [request.sent for request in server.requests] == [0, 1_000_000, 0, 2_000_000]


def test_a_busy_server_is_asked_again(server: Loopback, part: Path) -> None:
    server.statuses = [503, 429, 500]
    get(server, part)
    assert part.read_bytes() == BODY and len(server.requests) == 4


def test_a_refusal_is_final_and_says_what_to_do(server: Loopback, part: Path) -> None:
    with pytest.raises(DsegError, match=r"b\.zip: the server answers 404 .* save it as .*a\.zip$"):
        get(server, part, "b.zip")
    assert len(server.requests) == 1
    server.statuses = [403]
    with pytest.raises(DsegError, match="answers 403"):
        get(server, part)


def test_a_wrong_length_is_noticed(server: Loopback, part: Path) -> None:
    server.length = len(BODY) + 7
    with pytest.raises(DsegError, match="contradicts itself, 3000007 bytes first and then 3000000"):
        get(server, part)


def test_a_file_larger_than_the_disk_is_refused_at_once(server: Loopback, part: Path) -> None:
    server.length = 10**18
    with pytest.raises(DsegError, match=r"1000000000\.00 GB are missing, but only .* are free"):
        get(server, part)
    assert part.stat().st_size == 0 and len(server.requests) == 1


def test_a_file_without_a_length_is_fetched(server: Loopback, part: Path) -> None:
    server.length = 0
    get(server, part)
    assert part.read_bytes() == BODY


def test_no_server(part: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    with serve() as server:
        pass
    with pytest.raises(DsegError, match="no answer .*refused.*gave up after 5 attempts"):
        get(server, part)
    with pytest.raises(DsegError, match="file:x: expected an address that starts with http"):
        fetch("file:x", part)


def test_the_proxy_of_the_environment_is_asked(
    server: Loopback, part: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("no_proxy")
    monkeypatch.delenv("NO_PROXY", raising=False)
    monkeypatch.setenv("http_proxy", server.address(""))
    fetch("http://nowhere.invalid/a.zip", part, timeout=5, pause=0.001)
    assert part.read_bytes() == BODY
    assert server.requests[0].path == "http://nowhere.invalid/a.zip"


def test_two_processes_do_not_write_one_file(server: Loopback, part: Path) -> None:
    with locked(part.with_name(f"{part.name}.lock")):
        with pytest.raises(DsegError, match="another process is downloading it"):
            get(server, part)
    assert server.requests == []


def test_what_is_noted_of_a_part(server: Loopback, part: Path) -> None:
    server.cuts = [10, 0, 0, 0, 0]
    with pytest.raises(DsegError):
        get(server, part)
    note = json.loads(Path(f"{part}.json").read_text())
    assert note == {"address": server.address("a.zip"), "version": '"one"', "total": len(BODY)}


@pytest.mark.parametrize("name", ["http_proxy", "HTTP_PROXY"])
def test_a_proxy_that_is_not_spoken_is_named_at_once(
    part: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.delenv("no_proxy", raising=False)
    monkeypatch.delenv("NO_PROXY", raising=False)
    monkeypatch.setenv(name, "socks5h://me:secret@127.0.0.1:9")
    with pytest.raises(DsegError, match="through the socks5h proxy that http_proxy names") as error:
        fetch("http://example.invalid/a.zip", part)
    assert "secret" not in str(error.value) and not part.exists()


@given(st.binary() | NOTES)
@settings(deadline=2000, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_note_of_a_download_is_read_or_ignored(part: Path, content: bytes) -> None:
    part.parent.mkdir(exist_ok=True)
    part.with_name("a.zip.part.json").write_bytes(content)
    note = read_note(part)
    if note:
        assert type(note["total"]) in (int, type(None))
        assert all(type(note[key]) in (str, type(None)) for key in ("address", "version"))
