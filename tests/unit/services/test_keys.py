"""Key files: what is read, what is refused and why."""

from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from app.services.keys import KeyDirectory, KeyFileError


def keep(folder: Path, agent_id: str, key: Ed25519PrivateKey, *, mode: int = 0o600) -> None:
    (folder / f"{agent_id}.pub").write_bytes(key.public_key().public_bytes_raw())
    private = folder / f"{agent_id}.priv"
    private.write_bytes(key.private_bytes_raw())
    private.chmod(mode)


def test_a_pair_signs_and_verifies(tmp_path: Path):
    keep(tmp_path, "ai:a", Ed25519PrivateKey.generate())
    keys = KeyDirectory(tmp_path)
    private, public = keys.private_key("ai:a"), keys.public_key("ai:a")
    assert private is not None
    assert public is not None

    public.verify(private.sign(b"text"), b"text")


def test_a_lone_public_key_verifies_only(tmp_path: Path):
    keep(tmp_path, "peer", Ed25519PrivateKey.generate())
    (tmp_path / "peer.priv").unlink()

    assert KeyDirectory(tmp_path).public_key("peer") is not None
    assert KeyDirectory(tmp_path).private_key("peer") is None


def test_who_is_not_enrolled_has_no_key(tmp_path: Path):
    keys = KeyDirectory(tmp_path / "not there")

    assert keys.public_key("peer") is None
    assert keys.private_key("peer") is None


@pytest.mark.parametrize("agent_id", ["a/b", "../secret", "", "a\0b", "/etc/passwd"])
def test_ids_never_lead_out_of_the_folder(tmp_path: Path, agent_id: str):
    folder = tmp_path / "keys"
    folder.mkdir()
    keep(tmp_path, "secret", Ed25519PrivateKey.generate())

    assert KeyDirectory(folder).public_key(agent_id) is None
    assert KeyDirectory(folder).private_key(agent_id) is None


def test_a_private_key_that_others_may_read_is_refused(tmp_path: Path):
    keep(tmp_path, "a", Ed25519PrivateKey.generate(), mode=0o640)

    with pytest.raises(KeyFileError, match="others may use it") as refused:
        KeyDirectory(tmp_path).private_key("a")
    assert refused.value.code == "KEY_FILE_REFUSED"


def test_a_key_of_another_length_is_refused(tmp_path: Path):
    (tmp_path / "a.pub").write_bytes(b"x" * 31)

    with pytest.raises(KeyFileError, match="31 bytes, want 32"):
        KeyDirectory(tmp_path).public_key("a")


def test_twins_that_do_not_belong_together_are_refused(tmp_path: Path):
    keep(tmp_path, "a", Ed25519PrivateKey.generate())
    other = Ed25519PrivateKey.generate().public_key().public_bytes_raw()
    (tmp_path / "a.pub").write_bytes(other)

    with pytest.raises(KeyFileError, match=r"does not belong to a\.pub"):
        KeyDirectory(tmp_path).private_key("a")
