"""Who may ask for the page: names of Host and Origin."""

import pytest
from starlette.datastructures import Headers

from dseg.demo.hosts import Hosts, notices


def refused(hosts: Hosts, host: str, *origins: str) -> bool:
    origin = [(b"origin", origin.encode()) for origin in origins]
    return hosts.refusal(Headers(raw=[(b"host", host.encode()), *origin])) != ""


@pytest.mark.parametrize("host", ["127.0.0.1:7860", "LOCALHOST", "localhost:1", "[::1]:7860"])
def test_loopback_is_taken_from_itself_only(host) -> None:
    hosts = Hosts("127.0.0.1")
    assert not refused(hosts, host)
    assert not refused(hosts, host, "http://localhost:7860")
    for origin in ("http://evil.example", "null", "", "http://[", "http://192.168.1.5"):
        assert refused(hosts, host, origin)
    assert refused(hosts, host, "http://localhost:7860", "http://evil.example")


@pytest.mark.parametrize(
    "host",
    ["evil.example:7860", "localhost.evil.example", "192.168.1.5:7860", "", "[", "[::1", "0.0.0.0"],
)
def test_other_names_are_refused_where_only_loopback_is_served(host) -> None:
    assert refused(Hosts("127.0.0.1"), host)


def test_without_a_host_or_with_two_a_request_is_refused() -> None:
    hosts = Hosts("127.0.0.1")
    assert "as nothing" in hosts.refusal(Headers(raw=[]))
    two = [(b"host", b"localhost"), (b"host", b"evil.example")]
    assert "as localhost, evil.example" in hosts.refusal(Headers(raw=two))


def test_the_host_that_is_listened_on_is_taken() -> None:
    hosts = Hosts("Desk.lab")
    assert not refused(hosts, "desk.lab:7860", "http://desk.lab:7860")
    assert not refused(hosts, "localhost:7860", "http://desk.lab:7860")
    assert refused(hosts, "192.168.1.5:7860")


@pytest.mark.parametrize("everywhere", ["0.0.0.0", "::"])
def test_on_all_addresses_any_address_is_taken_but_no_other_name_or_page(everywhere) -> None:
    hosts = Hosts(everywhere)
    for host in ("192.168.1.5:7860", "[fe80::1]:7860"):
        assert not refused(hosts, host) and not refused(hosts, host, f"http://{host}")
        assert refused(hosts, host, "http://6.6.6.6") and refused(
            hosts, host, "http://evil.example"
        )
    assert refused(hosts, "evil.example:7860", "http://evil.example:7860")


def test_a_public_address_can_be_added() -> None:
    hosts = Hosts("127.0.0.1")
    assert refused(hosts, "somewhere.example", "https://somewhere.example")
    hosts.names.add("somewhere.example")
    assert not refused(hosts, "somewhere.example", "https://somewhere.example")


def test_only_others_than_loopback_are_warned_of() -> None:
    assert notices("127.0.0.1", 7860, None) == []
    (warning,) = notices("0.0.0.0", 7860, None)
    assert "0.0.0.0:7860" in warning and "no password" in warning
    assert "is public" in notices("localhost", 7860, "https://somewhere.example")[0]
