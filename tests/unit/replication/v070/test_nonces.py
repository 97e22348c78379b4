"""A nonce is used once; the oldest are forgotten, the youngest never."""

import pytest

from app.replication.v070.nonces import WINDOW_MS, Nonces, ReplayedNonceError, SeenNonce


def use(nonces, number, now_ms=0, peer="p"):
    return nonces.use(peer, f"nonce-{number}", now_ms)


def test_each_peer_has_its_own():
    nonces = Nonces()
    use(nonces, 1)
    use(nonces, 1, peer="q")
    with pytest.raises(ReplayedNonceError):
        use(nonces, 1)


def test_a_flood_does_not_wash_a_fresh_nonce_out():
    """W37: in the original 10,001 messages make the first one fresh again."""
    nonces = Nonces(per_peer=100, per_peer_max=1_000)
    for number in range(500):
        _, gone = use(nonces, number, now_ms=number)
        assert gone == []
    with pytest.raises(ReplayedNonceError):
        use(nonces, 0, now_ms=500)
    _, gone = use(nonces, 500, now_ms=WINDOW_MS + 99)
    assert len(gone) == 100
    assert gone[0] == SeenNonce("p", gone[0].fingerprint, 0)


def test_memory_is_bounded_whatever_comes():
    nonces = Nonces(per_peer=10, per_peer_max=50)
    forgotten = sum(len(use(nonces, number)[1]) for number in range(200))
    assert forgotten == 150
    for number in range(2_000):
        forgotten += len(use(nonces, 1, peer=f"peer-{number}")[1])
    # 1,024 peers are kept, and of them all but the first ones have one nonce each.
    assert forgotten == 200 + 2_000 - 1_024


def test_what_was_kept_counts_after_a_restart():
    first = Nonces()
    seen, _ = use(first, 1)
    second = Nonces()
    second.load([seen])
    with pytest.raises(ReplayedNonceError):
        use(second, 1)


def test_a_nonce_whose_request_failed_may_come_again():
    nonces = Nonces()
    seen, _ = use(nonces, 1)
    nonces.forget(seen)
    use(nonces, 1)
    nonces.forget(SeenNonce("nobody", b"", 0))
