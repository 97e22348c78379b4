"""The pages that the program writes itself, and the command that writes them: `make docs`."""

import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from tests.architecture.source import ROOT


@dataclass(frozen=True)
class Page:
    """A committed file, and the module whose standard output it is."""

    path: str
    module: str

    @property
    def file(self) -> Path:
        return ROOT / self.path

    def render(self) -> str:
        """The page as the code stands now, whatever the caller has in its environment.

        Raises:
            RuntimeError: the module failed; the message has its own words.
        """
        kept = {name: value for name, value in os.environ.items() if name in {"PATH", "LANG"}}
        done = subprocess.run(
            [sys.executable, "-m", self.module],
            cwd=ROOT,
            env={**kept, "PYTHONUTF8": "1", "AI_MEMORY_NO_CONFIG": "1"},
            capture_output=True,
            text=True,
            encoding="utf-8",
            check=False,
        )
        if done.returncode != 0:
            raise RuntimeError(f"python -m {self.module} failed:\n{done.stderr}")
        return done.stdout


PAGES = (
    Page("docs/CONFIG_SCHEMA.md", "app.config.reference"),
    Page("docs/openapi.json", "app.api.reference"),
)


def main() -> None:
    for page in PAGES:
        page.file.write_text(page.render(), encoding="utf-8")
        sys.stdout.write(f"wrote {page.path}\n")


if __name__ == "__main__":
    main()
