"""Which addresses a webhook may have, whatever form they are written in."""

from contextlib import suppress
from ipaddress import IPv4Address, IPv6Address, ip_address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.domain.errors import InvalidInputError
from app.domain.webhook_target import check_addresses, parse_target

PUBLIC = IPv4Address("93.184.215.14")


def passes(url: str, *addresses: str, allow_loopback: bool = False) -> bool:
    target = parse_target(url)
    found = [ip_address(one) for one in addresses]
    if target.address is not None:
        found.append(target.address)
    try:
        check_addresses(target, found, allow_loopback=allow_loopback)
    except InvalidInputError:
        return False
    return True


def test_the_parts_of_a_url_with_their_defaults():
    plain = parse_target("http://Hooks.Example.com/x?y=1#z")
    secure = parse_target("https://[2606:4700::1]:8443")

    assert (plain.host, plain.port, plain.is_plain) == ("hooks.example.com", 80, True)
    assert plain.address is None
    assert (secure.port, secure.is_plain) == (8443, False)
    assert secure.address == IPv6Address("2606:4700::1")


@given(st.ip_addresses(v=4))
def test_an_ipv4_address_is_judged_alike_in_every_wrapping(address):
    number = int(address)
    wrapped = (
        IPv6Address((0xFFFF << 32) | number),  # ::ffff:a.b.c.d
        IPv6Address((0x64FF9B << 96) | number),  # 64:ff9b::a.b.c.d
        IPv6Address((0x2002 << 112) | (number << 80)),  # 2002:aabb:ccdd::
    )

    verdict = passes(f"https://{address}/")

    assert [passes(f"https://[{one}]/") for one in wrapped] == [verdict] * 3
    assert verdict == (address.is_global and not address.is_multicast and not address.is_reserved)


@given(
    st.sampled_from(
        ["::/128", "::1/128", "fc00::/7", "fe80::/10", "ff00::/8", "2001:db8::/32"]
    ).flatmap(lambda network: st.ip_addresses(network=network))
)
def test_no_ipv6_address_of_a_private_or_special_kind_passes(address):
    assert not passes(f"https://[{address}]/")


def test_one_bad_address_among_good_ones_is_enough():
    assert passes("https://a.example/", "93.184.215.14", "2606:4700::1")
    assert not passes("https://a.example/", "93.184.215.14", "10.0.0.1")


def test_plain_http_is_for_loopback_only_and_only_when_allowed():
    assert passes("http://localhost/", "127.0.0.1", "::1", allow_loopback=True)
    assert not passes("http://localhost/", "127.0.0.1")
    assert not passes("http://a.example/", str(PUBLIC), allow_loopback=True)


@given(st.sampled_from(["", "https://", "http://"]), st.text(max_size=60))
def test_any_text_is_parsed_or_refused(start, text):
    target = None
    with suppress(InvalidInputError):
        target = parse_target(start + text)

    if target is not None:
        assert target.host
        assert 0 <= target.port <= 65_535


@pytest.mark.parametrize("url", ["https://a.example:0x50/", "https://a..b/", "https://[::1/", ""])
def test_malformed_urls_are_refused(url):
    with pytest.raises(InvalidInputError):
        parse_target(url)
