"""Natural questions made from the first sentences of real docstrings, the same on every run."""

from collections.abc import Iterable, Sequence

from bench.measurement import MeasurementError
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


def fresh(asked: Sequence[str], count: int, round_number: int) -> list[str]:
    """`count` questions that no other round asks in the same words, so that no cache knows them.

    Raises:
        MeasurementError: There are too few for that many rounds.
    """
    lap, shift = divmod(round_number, len(FRAMES))
    chosen = asked[lap * count : (lap + 1) * count]
    if not chosen:
        raise MeasurementError(f"too few questions for round {round_number + 1}")
    return [_reframed(question, shift) for question in chosen]


def _reframed(question: str, shift: int) -> str:
    for number, frame in enumerate(FRAMES):
        head, _, tail = frame.partition("{}")
        if question.startswith(head) and question.endswith(tail):
            body = question.removeprefix(head).removesuffix(tail)
            return FRAMES[(number + shift) % len(FRAMES)].format(body)
    raise MeasurementError(f"not a question of ours: {question}")
