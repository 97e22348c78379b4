"""Nonces are used once, and forgotten in the order in which they came."""

from app.services.nonces import NonceCache


def test_a_nonce_is_taken_once_for_each_link():
    cache = NonceCache()

    assert [cache.use("a|b|r", "n"), cache.use("a|b|r", "n")] == [True, False]
    assert cache.use("a|c|r", "n")


def test_link_and_nonce_cannot_be_shifted_into_each_other():
    cache = NonceCache()

    assert cache.use("ab", "c")
    assert cache.use("a", "bc")


def test_a_full_cache_forgets_the_oldest():
    cache = NonceCache(size=2)
    for nonce in "abc":
        cache.use("link", nonce)

    assert not cache.use("link", "b")
    assert cache.use("link", "a")
