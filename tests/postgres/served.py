"""`serve` and verbs on a store at an address."""

import subprocess
from pathlib import Path

from typing_extensions import override

from tests.integration.node import REPOSITORY, SERVE_CONFIG, Node, own_environment


class ServerNode(Node):
    """A node whose store is at the address in its environment."""

    @classmethod
    def on(cls, folder: Path, url: str, tier: str = "keyword", **environment: str) -> "ServerNode":
        folder.mkdir(parents=True, exist_ok=True)
        config = f'db = "{folder / "node.db"}"\n' + SERVE_CONFIG.format(tier=tier)
        return cls(folder, config, environment={"AI_MEMORY_STORE_URL": url, **environment})

    @override
    def command(self, *words: str) -> list[str]:
        (self.folder / "config.toml").write_text(self.config, encoding="utf-8")
        plain = super().command(*words)
        place = plain.index("--db")
        return plain[:place] + plain[place + 2 :]

    def run(self, *words: str) -> subprocess.CompletedProcess[str]:
        """A verb on the same store, to its end."""
        return subprocess.run(
            self.command(*words),
            cwd=REPOSITORY,
            env=own_environment(self.folder, self.environment),
            capture_output=True,
            text=True,
            check=False,
        )
