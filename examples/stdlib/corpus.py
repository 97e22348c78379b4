"""The docstrings of the running interpreter's standard library, as documents ready to be stored.

Only source text is read. Nothing is imported, so that no module opens a window or prints a poem.
"""

import ast
import re
import sysconfig
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

NAMESPACE_ROOT = "python/stdlib"
NAMESPACE_SEGMENTS_MAX = 8
TITLE_CHARACTERS_MAX = 512
CONTENT_BYTES_MAX = 65_536

# Nobody asks the library for its regression tests, and many distributions leave them out.
_SKIPPED_FOLDERS = frozenset(
    {
        "site-packages",
        "dist-packages",
        "__pycache__",
        "_bundled",
        "test",
        "tests",
        "idle_test",
        "turtledemo",
    }
)

# What a memory may not hold: control characters but newline and tab, halves of surrogate pairs.
_UNWANTED = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff]")

_Documented = ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef


@dataclass(frozen=True)
class Document:
    """One documented object, within the limits that a memory has.

    Attributes:
        name: Qualified by the module that defines it, e.g. `asyncio.tasks.gather`.
        title: The name; with the signature where an earlier object has the same name.
        content: The docstring, unindented, and last the signature or the bases.
        namespace: `python/stdlib/` and the path of the module.
        kind: `module`, `class`, `function` or `method`.
    """

    name: str
    title: str
    content: str
    namespace: str
    kind: str


def iter_docstrings(library: Path | None = None) -> Iterator[Document]:
    """Yield every documented object of the standard library, always in the same order.

    Args:
        library: Folder of the library's sources; the running interpreter's by default.
    """
    root = library if library is not None else Path(sysconfig.get_path("stdlib"))
    for source in sorted(root.rglob("*.py")):
        path = source.relative_to(root)
        if not _SKIPPED_FOLDERS.intersection(path.parts):
            yield from _documents_of(source, path)


def _documents_of(source: Path, path: Path) -> Iterator[Document]:
    try:
        tree = ast.parse(source.read_bytes())
    except (SyntaxError, ValueError):
        return  # A few files are broken on purpose, to test the parser with.
    parts = path.with_suffix("").parts
    module = parts[:-1] if parts[-1] == "__init__" and len(parts) > 1 else parts
    namespace = "/".join(
        (NAMESPACE_ROOT, *module)[: NAMESPACE_SEGMENTS_MAX - NAMESPACE_ROOT.count("/")]
    )
    titles: set[str] = set()
    signatures: set[str] = set()
    for name, kind, node in _walk(tree, ".".join(module), "module"):
        content = _clean(ast.get_docstring(node) or "")
        signature = _signature(name, node)
        title = _cut(signature if _cut(name) in titles else name)
        # Two branches of an `if` may define the same function.
        if content and title not in titles and signature not in signatures:
            titles.add(title)
            signatures.add(signature)
            yield Document(name, title, _with_signature(content, signature, name), namespace, kind)


def _walk(node: _Documented, name: str, kind: str) -> Iterator[tuple[str, str, _Documented]]:
    """Yield a module or class and what it defines, also under `if` and `try`, not in functions."""
    yield name, kind, node
    waiting: list[ast.stmt] = list(node.body)
    while waiting:
        statement = waiting.pop(0)
        if isinstance(statement, ast.ClassDef):
            yield from _walk(statement, f"{name}.{statement.name}", "class")
        elif isinstance(statement, ast.FunctionDef | ast.AsyncFunctionDef):
            inner = "method" if isinstance(node, ast.ClassDef) else "function"
            yield f"{name}.{statement.name}", inner, statement
        elif isinstance(statement, ast.If | ast.Try):
            waiting[:0] = _branches(statement)


def _branches(statement: ast.If | ast.Try) -> list[ast.stmt]:
    if isinstance(statement, ast.If):
        return [*statement.body, *statement.orelse]
    handled = [inner for handler in statement.handlers for inner in handler.body]
    return [*statement.body, *handled, *statement.orelse, *statement.finalbody]


def _signature(name: str, node: _Documented) -> str:
    """The name and what can be passed to it, or a class's bases."""
    if isinstance(node, ast.Module):
        return name
    if isinstance(node, ast.ClassDef):
        bases = ", ".join(ast.unparse(base) for base in node.bases)
        return _one_line(f"{name}({bases})" if bases else name)
    return _one_line(f"{name}({ast.unparse(node.args)})")


def _with_signature(content: str, signature: str, name: str) -> str:
    """Say what it is for first: an embedding model reads only the beginning of a long text."""
    if signature == name:
        return content
    tail = f"\n\n{_cut(signature)}"
    return _cut_bytes(content, CONTENT_BYTES_MAX - len(tail.encode())) + tail


def _cut(title: str) -> str:
    return title if len(title) <= TITLE_CHARACTERS_MAX else title[: TITLE_CHARACTERS_MAX - 1] + "…"


def _one_line(text: str) -> str:
    return " ".join(_clean(text).split())


def _clean(text: str) -> str:
    return _cut_bytes(_UNWANTED.sub("", text), CONTENT_BYTES_MAX).strip()


def _cut_bytes(text: str, count: int) -> str:
    return text.encode()[:count].decode(errors="ignore")
