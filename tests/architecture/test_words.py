"""No file carries what belongs to one machine, one index of packages, or to later."""

import re

import pytest

from tests.architecture.source import ROOT, tracked_files

# Written in two halves, so that this file does not find itself.
FORBIDDEN = {
    "a host of a package index or mirror": re.compile(
        "|".join(
            re.escape(start + end)
            for start, end in [
                ("pypi", ".org"),
                ("python", "hosted.org"),
                ("npm", "js.org"),
                ("npm", "js.com"),
                ("deb.", "debian.org"),
                ("archive.", "ubuntu.com"),
                ("proxy.", "golang.org"),
            ]
        )
    ),
    "a path of one machine": re.compile(r"(?<![\w.\-/*])/(?:wo" + r"rk|opt/whe" + r"els)(?:/|\b)"),
    "work left for later": re.compile(r"\b(?:TO" + r"DO|FIX" + r"ME|XX" + r"X)\b"),
    "a number of a tracker": re.compile(r"\b[Ii]ssu" + r"es? #?\d+"),
}


def words(path_text: str, pattern: re.Pattern[str]) -> list[str]:
    return [
        f"{number}: {line.strip()[:100]}"
        for number, line in enumerate(path_text.splitlines(), start=1)
        if pattern.search(line)
    ]


@pytest.mark.parametrize("subject", FORBIDDEN)
def test_no_file_mentions(subject: str):
    found = {}
    for path in tracked_files():
        try:
            lines = words(path.read_text(encoding="utf-8"), FORBIDDEN[subject])
        except UnicodeDecodeError:
            continue  # a picture or an archive
        if lines:
            found[str(path.relative_to(ROOT))] = lines
    assert found == {}
