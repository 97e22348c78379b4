"""A cluster on a virtual loop."""

from pathlib import Path

import pytest

from tests.unit.replication.cluster import Cluster


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path


@pytest.fixture
def cluster(folder: Path) -> Cluster:
    return Cluster(folder)
