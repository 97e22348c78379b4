"""Real English technical text from this machine, cut into distinct chunks, the same on every run.

The Python standard library is left out: its docstrings are what the example's questions are asked
about, and nothing here may be tuned on them.
"""

import ast
import gzip
import hashlib
import re
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

CHUNK_CHARS = 900
CHUNK_CHARS_MIN = 160
FILE_BYTES_MAX = 2_000_000
TITLE_CHARS_MAX = 200

DEFAULT_ROOTS = (
    Path("/usr/share/man"),
    Path("/usr/share/doc"),
    Path("/usr/lib/python3/dist-packages"),
    Path("/usr/local/lib"),
    Path("/usr/lib/node_modules"),
    Path("/usr/local/go"),
    Path.home() / ".cargo",
    Path.home() / ".rustup",
    Path.home() / ".pyenv" / "versions",
)
_TEXT_ENDINGS = (
    ".md",
    ".rst",
    ".txt",
    ".txt.gz",
    ".md.gz",
    ".rst.gz",
    ".readme.gz",
    "readme.gz",
    "news.gz",
)
_MAN_PAGE = re.compile(r"\.[1-8][a-z]*\.gz$")
_PARAGRAPHS = re.compile(r"\n\s*\n")
_MAN_ESCAPES = re.compile(r"\\f[A-Z]|\\f\([A-Z]{2}|\\&|\\\||\\s[-+]?\d")
_MAN_NAME = re.compile(r'^\.SH "?NAME"?\n(.*?)(?=^\.SH)', re.DOTALL | re.MULTILINE)
_MAN_DESCRIPTION = re.compile(r'^\.SH "?DESCRIPTION"?\n(.*?)(?=^\.SH|\Z)', re.DOTALL | re.MULTILINE)
_COMMENT_BLOCKS = re.compile(r"(?:^[ \t]*#(?!!)[^\n]*\n){4,}", re.MULTILINE)
_WORDS = re.compile(r"[A-Za-z]{2,}")


@dataclass(frozen=True, slots=True)
class Chunk:
    """One text; ``summary`` is a docstring's first sentence, kept out of ``content`` when asked."""

    title: str
    content: str
    summary: str


def chunks(roots: tuple[Path, ...] = DEFAULT_ROOTS, count: int = 100_000) -> Iterator[Chunk]:
    """Up to ``count`` distinct chunks, in an order fixed by a hash of the file's path."""
    seen: set[bytes] = set()
    for path in _files(roots):
        for chunk in _chunks_of(path):
            if len(_WORDS.findall(chunk.content)) < CHUNK_CHARS_MIN // 10:
                continue
            key = hashlib.blake2b(
                " ".join(chunk.content.split()).lower().encode(), digest_size=12
            ).digest()
            if key in seen:
                continue
            seen.add(key)
            yield chunk
            if len(seen) >= count:
                return


def docstrings(roots: tuple[Path, ...]) -> Iterator[Chunk]:
    """Only docstrings, whole, each with its first sentence apart from the rest."""
    for path in _files(roots):
        if path.suffix == ".py":
            yield from _docstrings_of(path)


def manual_pages(root: Path) -> Iterator[Chunk]:
    """One chunk a page: its name, its one-line description apart, its longer description."""
    for path in _files((root,)):
        text = _read(path)
        name, description = _MAN_NAME.search(text), _MAN_DESCRIPTION.search(text)
        if name is None or description is None:
            continue
        line = " ".join(_plain_man(name.group(1)).split())
        names, dash, summary = line.partition(" - ")
        if dash:
            content = _plain_man(description.group(1)).strip()[: CHUNK_CHARS * 2]
            yield Chunk(names[:TITLE_CHARS_MAX], content, summary)


def _files(roots: tuple[Path, ...]) -> list[Path]:
    found: dict[str, Path] = {}
    for root in roots:
        for path in root.rglob("*"):
            name = path.name.lower()
            wanted = path.suffix == ".py" or name.endswith(_TEXT_ENDINGS) or _MAN_PAGE.search(name)
            if (
                wanted
                and not _is_standard_library(path)
                and path.is_file()
                and path.stat().st_size < FILE_BYTES_MAX
            ):
                found[str(path)] = path
    order = sorted(found, key=lambda name: hashlib.blake2b(name.encode(errors="replace")).digest())
    return [found[name] for name in order]


def _is_standard_library(path: Path) -> bool:
    parts = path.parts
    inside = any(re.fullmatch(r"python[23]\.\d+", part) for part in parts)
    return inside and not {"site-packages", "dist-packages"} & set(parts)


def _chunks_of(path: Path) -> Iterator[Chunk]:
    if path.suffix == ".py":
        for chunk in _docstrings_of(path):
            whole = f"{chunk.summary}\n\n{chunk.content}" if chunk.content else chunk.summary
            for piece in _cut(whole):
                yield Chunk(chunk.title, piece, chunk.summary)
        source = path.read_text(encoding="utf-8", errors="replace")
        for block in _COMMENT_BLOCKS.findall(source):
            text = re.sub(r"^[ \t]*#+ ?", "", block, flags=re.MULTILINE)
            for piece in _cut(text):
                yield Chunk(f"{path.stem} comment", piece, "")
        return
    text = _read(path)
    if _MAN_PAGE.search(path.name):
        text = _plain_man(text)
    for piece in _cut(text):
        first = next(
            (line.strip("#= *-") for line in piece.splitlines() if line.strip("#= *-")), ""
        )
        yield Chunk(f"{path.name.removesuffix('.gz')}: {first}"[:TITLE_CHARS_MAX], piece, "")


def _read(path: Path) -> str:
    if path.suffix != ".gz":
        return path.read_text(encoding="utf-8", errors="replace")
    try:
        with gzip.open(path) as file:
            return file.read(FILE_BYTES_MAX).decode("utf-8", errors="replace")
    except (OSError, EOFError):
        return ""


def _plain_man(text: str) -> str:
    lines: list[str] = []
    for raw in text.splitlines():
        line = _MAN_ESCAPES.sub("", raw).replace("\\-", "-").replace("\\(aq", "'")
        if line.startswith((".\\", "'\\", '."')):
            continue
        if line.startswith((".SH", ".SS", ".TP", ".PP", ".IP", ".P")):
            lines.append("")
        lines.append(re.sub(r"^[.'][A-Za-z]{1,3} ?", "", line).replace('"', ""))
    return "\n".join(lines)


def _cut(text: str) -> Iterator[str]:
    piece = ""
    for paragraph in _PARAGRAPHS.split(text):
        if len(piece) + len(paragraph) > CHUNK_CHARS and len(piece) >= CHUNK_CHARS_MIN:
            yield piece.strip()
            piece = ""
        piece = f"{piece}\n\n{paragraph}"[: CHUNK_CHARS * 2]
    if len(piece) >= CHUNK_CHARS_MIN:
        yield piece.strip()


def _docstrings_of(path: Path) -> Iterator[Chunk]:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            tree = ast.parse(path.read_bytes())
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return
    yield from _walk(tree, path.stem)


def _walk(node: ast.AST, name: str) -> Iterator[Chunk]:
    if isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)):
        text = ast.get_docstring(node)
        if text:
            summary, _, rest = text.strip().partition("\n\n")
            yield Chunk(name[:TITLE_CHARS_MAX], rest.strip(), " ".join(summary.split()))
    for child in ast.iter_child_nodes(node):
        inner = (
            getattr(child, "name", None)
            if isinstance(child, (ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef))
            else None
        )
        yield from _walk(child, f"{name}.{inner}" if inner else name)
