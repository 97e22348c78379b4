"""The node's own key: made once, kept for its owner, never replaced."""

from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from app.bootstrap.sources import SystemDisk, SystemRandomness
from app.replication.node_key import Ed25519NodeKey, NodeKeyError, node_key_file, open_node_key


def opened(path: Path) -> Ed25519NodeKey:
    return open_node_key(path, SystemRandomness(), SystemDisk())


def test_it_is_made_at_first_and_the_same_ever_after(tmp_path: Path):
    path = node_key_file(tmp_path / "node.db")
    first, again = opened(path), opened(path)

    assert path == tmp_path / "node.db.node.key"
    assert path.stat().st_mode & 0o777 == 0o600
    assert first.public_bytes == again.public_bytes
    Ed25519PublicKey.from_public_bytes(again.public_bytes).verify(first.sign(b"x"), b"x")
    assert [one.name for one in tmp_path.iterdir()] == ["node.db.node.key"]


@pytest.mark.parametrize("found", ["short", "long", "open to others", "a folder"])
def test_what_is_no_key_is_refused_and_left_alone(tmp_path: Path, found: str):
    path = tmp_path / "node.key"
    if found == "a folder":
        path.mkdir()
    else:
        path.write_bytes(bytes({"short": 31, "long": 33}.get(found, 32)))
        path.chmod(0o644 if found == "open to others" else 0o600)
    before = None if path.is_dir() else path.read_bytes()
    with pytest.raises(NodeKeyError, match="the node's key"):
        opened(path)
    assert (None if path.is_dir() else path.read_bytes()) == before


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path):
    with pytest.raises(NodeKeyError, match="cannot write the node's key"):
        opened(tmp_path / "missing" / "node.key")
