"""Which weights put the right text first: the data on which fusion and title weight were chosen.

No set holds anything of the standard library, whose docstrings the example is judged on.
"""

import sysconfig
import tomllib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path

import apsw
import numpy as np
from numpy.typing import NDArray

from app.domain.ranking import Candidate, Scoring, Weights, rank
from app.domain.text import fts5_any_of, parse_query
from app.recall.embedding.protocol import Embedder, embedding_text
from app.store.sqlite.coverage import coverages
from app.store.tables.triggers import FULL_TEXT
from bench.baseline.raw_embedding import open_embedder
from bench.measurement import Finding, Measurement, Options, Spread
from bench.questions import FRAMES
from bench.textcorpus import docstrings, manual_pages
from examples.stdlib.corpus import iter_docstrings

TEXTS_DEFAULT = 1_200
QUESTIONS = 400
TEXT_POOL = 30
VECTOR_POOL = 50
SUMMARY_WORDS = range(4, 20)
CONTENT_CHARACTERS_MIN = 120
NOW = datetime(2026, 1, 1, tzinfo=UTC)
PACKAGES = ("sqlalchemy", "litestar", "numpy", "hypothesis", "pydantic", "rich", "pygments")
TITLE_WEIGHTS = (1.0, 2.0, 3.0, 5.0)
TEXT_WEIGHTS = (0.5, 1.0, 1.5, 2.0, 3.0)
_NONE = np.empty((0, 0), dtype=np.float32)
QUESTIONS_FILE = Path(__file__).parent / "data" / "questions-dev.toml"
# Parts of SQLAlchemy that say the same for each database.
LEFT_OUT = ("sqlalchemy.dialects", "sqlalchemy.testing", "sqlalchemy.ext")


@dataclass(frozen=True)
class Judged:
    """A text, and the question whose answer it is: its first sentence, which it does not hold."""

    title: str
    content: str
    question: str


@dataclass(frozen=True)
class Asked:
    """A question, and the numbers of the texts that answer it."""

    text: str
    gold: frozenset[int]


@dataclass(frozen=True)
class Bench:
    """One set, indexed by words and by vectors; a text's number is its place in the set."""

    texts: Sequence[Judged]
    index: apsw.Connection
    vectors: NDArray[np.float32]
    asked: Sequence[Asked]
    questions: NDArray[np.float32]


def third_party_docstrings() -> Iterator[Judged]:
    folder = Path(sysconfig.get_path("purelib"))
    roots = tuple(folder / package for package in PACKAGES)
    for chunk in docstrings(tuple(root for root in roots if root.is_dir())):
        yield Judged(chunk.title, chunk.content, chunk.summary)


def manuals() -> Iterator[Judged]:
    for chunk in manual_pages(Path("/usr/share/man")):
        yield Judged(chunk.title, chunk.content, chunk.summary)


def judged(source: Iterator[Judged], count: int) -> list[Judged]:
    """Texts long enough to answer, each title once, with their question as a person asks it."""
    held: dict[str, Judged] = {}
    for text in source:
        words = text.question.rstrip(".").split()
        if len(words) not in SUMMARY_WORDS or len(text.content) < CONTENT_CHARACTERS_MIN:
            continue
        lowered = " ".join([words[0].lower(), *words[1:]])
        question = FRAMES[len(held) % len(FRAMES)].format(lowered)
        held.setdefault(text.title, replace(text, question=question))
        if len(held) == count:
            break
    return list(held.values())


def development(folder: Path) -> tuple[list[Judged], dict[str, list[Asked]]]:
    """The packages' docstrings, and the questions of each kind; nothing where one is missing."""
    with QUESTIONS_FILE.open("rb") as file:
        held = tomllib.load(file)
    if not all((folder / package).is_dir() for package in held["packages"]):
        return [], {}
    texts: dict[str, Judged] = {}
    for package in held["packages"]:
        for document in iter_docstrings(folder / package):
            inner = "" if document.name == "__init__" else f".{document.name}"
            name = f"{package}{inner}"
            if not name.startswith(LEFT_OUT):
                texts.setdefault(name, Judged(name, document.content, ""))
    numbers = {name: number for number, name in enumerate(texts)}
    asked: dict[str, list[Asked]] = {}
    for question in held["question"]:
        gold = frozenset(numbers[name] for name in question["gold"] if name in numbers)
        asked.setdefault(question["kind"], []).append(Asked(question["text"], gold))
    return list(texts.values()), asked


def prepared(texts: Sequence[Judged], asked: Sequence[Asked], embedder: Embedder) -> Bench:
    index = apsw.Connection(":memory:")
    index.execute("CREATE TABLE memories (id TEXT PRIMARY KEY, title, content, tags)")
    for statement in FULL_TEXT:
        index.execute(statement)
    rows = [(number, str(number), text.title, text.content) for number, text in enumerate(texts)]
    with index:
        index.executemany(
            "INSERT INTO memories (rowid, id, title, content, tags) VALUES (?, ?, ?, ?, '[]')", rows
        )
    documents = [embedder.embed_document(embedding_text(t.title, t.content)) for t in texts]
    return asking(Bench(texts, index, np.stack(documents), (), _NONE), asked, embedder)


def asking(bench: Bench, asked: Sequence[Asked], embedder: Embedder) -> Bench:
    """The same texts with other questions."""
    questions = np.stack([embedder.embed_query(each.text) for each in asked])
    return replace(bench, asked=asked, questions=questions)


def found_by_text(bench: Bench, number: int, title_weight: float) -> dict[int, float]:
    words = parse_query(bench.asked[number].text).content_words
    rows = bench.index.execute(
        "SELECT rowid, -bm25(memories_fts, ?, 1.0, 1.0) AS score FROM memories_fts"
        " WHERE memories_fts MATCH ? ORDER BY score DESC LIMIT ?",
        (title_weight, fts5_any_of(words), TEXT_POOL),
    )
    return {int(row): float(score) for row, score in rows}


def place(bench: Bench, number: int, scoring: Scoring, title_weight: float = 3.0) -> int:
    """At which place, from 1, a right text of a question stands; 0 where none is found."""
    scores = found_by_text(bench, number, title_weight)
    cosines = bench.vectors @ bench.questions[number]
    hybrid = scoring.vector_weight > 0
    nearest = np.argsort(-cosines)[:VECTOR_POOL].tolist() if hybrid else []
    numbers = list(dict.fromkeys([*scores, *nearest]))
    covered = coverages(bench.index, bench.asked[number].text, [str(each) for each in numbers])
    pool = [
        Candidate(
            id=str(row),
            tier="long",
            namespace="bench",
            priority=5,
            access_count=0,
            confidence=1.0,
            created_at=NOW,
            updated_at=NOW,
            content_bytes=len(bench.texts[row].content.encode()),
            text_score=scores.get(row),
            cosine=float(cosines[row]),
            coverage=covered[str(row)],
        )
        for row in numbers
    ]
    order = [int(each.id) for each in rank(pool, scoring, NOW, hybrid=hybrid)]
    right = bench.asked[number].gold
    return next((place for place, row in enumerate(order, 1) if row in right), 0)


def quality(name: str, places: Sequence[int]) -> Iterator[Finding]:
    reciprocal = [1 / place if place else 0.0 for place in places]
    top_five = [1.0 if 0 < place <= 5 else 0.0 for place in places]
    yield Finding(f"{name}: mean reciprocal rank", "share", Spread.of([float(np.mean(reciprocal))]))
    yield Finding(
        f"{name}: right text in the top 5", "share", Spread.of([float(np.mean(top_five))])
    )


def findings(label: str, bench: Bench) -> Iterator[Finding]:
    numbers = range(len(bench.questions))
    words_only = Scoring(vector_weight=0.0)
    for weight in TITLE_WEIGHTS:
        places = [place(bench, number, words_only, weight) for number in numbers]
        yield from quality(f"{label}, words only, title x {weight:g}", places)
    contestants = {"vectors only": Scoring(text_weight=0.0)}
    contestants["v0.7.0's blend"] = Scoring(weights=Weights.V070)
    contestants |= {f"text x {w:g} + vector": Scoring(text_weight=w) for w in TEXT_WEIGHTS}
    for name, scoring in contestants.items():
        places = [place(bench, number, scoring) for number in numbers]
        yield from quality(f"{label}, {name}", places)


def run(options: Options) -> tuple[Finding, ...]:
    count = options.rows or TEXTS_DEFAULT
    embedder = open_embedder()
    result: list[Finding] = []
    sets = {"docstrings": third_party_docstrings(), "manual pages": manuals()}
    for label, source in sets.items():
        texts = judged(islice(source, count * 20), count)
        if len(texts) >= QUESTIONS:
            asked = [Asked(text.question, frozenset({n})) for n, text in enumerate(texts)]
            result += findings(label, prepared(texts, asked[:QUESTIONS], embedder))
    held, questions = development(Path(sysconfig.get_path("purelib")))
    bench = prepared(held, questions["plain"], embedder) if held else None
    for kind, asked in questions.items():
        assert bench is not None
        result += findings(f"development questions, {kind}", asking(bench, asked, embedder))
    embedder.close()
    return tuple(result)


MEASUREMENT = Measurement(
    "fusion",
    "Where the right text stands when it is asked for by its own first sentence, which was taken"
    " out of it (docstrings of third-party packages, descriptions of manual pages), or by written"
    " questions (bench/data/questions-dev.toml, when all its packages are installed).",
    run,
)
