"""Who the peers are: one spelling of an address, each peer once."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.domain.peer_url import peer_url
from app.replication.peer_list import PeerAddress, PeerListError, join_peers, parse_peer_file

PIN = "ab" * 32


@pytest.mark.parametrize(
    ("text", "url"),
    [
        ("http://node-b:9077", "http://node-b:9077"),
        ("HTTPS://Node-B.Example:9077//", "https://node-b.example:9077"),
        ("https://node-b:443/", "https://node-b"),
        ("http://node-b:80", "http://node-b"),
        ("http://[::1]:9077", "http://[::1]:9077"),
        (" http://10.0.0.1:9077/mesh/a/ ", "http://10.0.0.1:9077/mesh/a"),
    ],
)
def test_an_address_has_one_spelling(text: str, url: str):
    assert peer_url(text) == url
    assert peer_url(url) == url


@pytest.mark.parametrize(
    "text",
    [
        "node-b:9077",
        "ftp://node-b",
        "http://",
        "http://user:secret@node-b",
        "http://node-b:0",
        "http://node-b:99999",
        "http://node-b?x=1",
        "http://node-b#x",
        "http://node b",
        "http://node-b\r\nx: y",
        "http://node-b:9077/a/../b c",
    ],
)
def test_anything_else_is_no_address(text: str):
    with pytest.raises(ValueError, match="peer"):
        peer_url(text)


@given(st.text())
def test_what_is_taken_for_an_address_stays_what_it_is(text: str):
    try:
        url = peer_url(text)
    except ValueError:
        return
    assert peer_url(url) == url
    assert not set(url) & set("\r\n @?#")


def test_the_file_names_peers_and_pins():
    text = (
        f"# the mesh\nhttp://node-b:9077\n\nhttps://Node-C:9077/  sha256:{PIN.upper()} # pinned\n"
    )
    assert parse_peer_file(text) == (
        PeerAddress("http://node-b:9077"),
        PeerAddress("https://node-c:9077", PIN),
    )


@pytest.mark.parametrize(
    "line",
    ["node-b", f"http://node-b {PIN}", "https://node-b abc", f"https://node-b {PIN} more"],
)
def test_a_malformed_line_is_named_by_its_number(line: str):
    with pytest.raises(PeerListError, match="line 2: "):
        parse_peer_file(f"http://node-a\n{line}\n")


@pytest.mark.parametrize("again", ["HTTP://node-b:9077/", "http://node-b:9077"])
def test_a_peer_that_is_named_twice_is_refused(again: str):
    with pytest.raises(PeerListError, match="http://node-b:9077 twice"):
        join_peers(["http://node-b:9077"], parse_peer_file(again))
