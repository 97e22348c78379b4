"""Natural questions made from the first sentences of real docstrings, the same on every run."""

from collections.abc import Iterable

from bench.textcorpus import Chunk

FRAMES = (
    "How do I {}?",
    "What is the best way to {}?",
    "How can I {} when I need to?",
    "Which function should I use to {}?",
    "Is there a way to {} in this library?",
)
# First words that a question can go on with: "Return the size" -> "How do I return the size?".
_VERB_LIST = """
    return get set create build compute check test raise parse convert add remove update load save
    write read run start stop call register send open close print list find make wrap apply generate
    determine validate handle execute render format merge split sort filter map replace delete
    extract compare calculate count store fetch define specify encode decode
"""
VERBS = frozenset(_VERB_LIST.split())
WORDS_MIN = 5
WORDS_MAX = 14


def question_of(chunk: Chunk, number: int) -> str | None:
    """The chunk's summary as a person would ask it; None where it is no instruction."""
    words = chunk.summary.rstrip(".").split()
    if not WORDS_MIN <= len(words) <= WORDS_MAX:
        return None
    verb = words[0].lower().rstrip("s")
    if verb not in VERBS:
        return None
    return FRAMES[number % len(FRAMES)].format(" ".join([verb, *words[1:]]))


def questions(chunks: Iterable[Chunk], count: int) -> list[str]:
    """Up to `count` questions, each with another summary."""
    asked: dict[str, str] = {}
    for chunk in chunks:
        question = question_of(chunk, len(asked))
        if question is not None and chunk.summary not in asked:
            asked[chunk.summary] = question
        if len(asked) == count:
            break
    return list(asked.values())
