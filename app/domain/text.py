"""Text as recall sees it: clean queries, function words, title likeness, equal texts, token counts.

Pure. What a store's own tokenizer makes of these words is the store's business.
"""

from __future__ import annotations

import hashlib
import re
import unicodedata
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

# FTS5's own words: bare, they would be operators (http-api 3.3).
_OPERATORS: Final = frozenset({"AND", "OR", "NOT", "NEAR"})
# FTS5's own signs (http-api 3.3). v0.7.0 deletes them, which turns "open(path)" into the unknown
# word "openpath"; here they separate words as they do in the index.
_SIGNS: Final = str.maketrans(dict.fromkeys('"*^{}():|+', " "))
_WORDS: Final = re.compile(r"[^\W_]+")
_PIECES: Final = re.compile(
    r"(?P<word>[^A-Za-z0-9\r\n]?[A-Za-z]+(?![^\W\d_]))|(?P<digits>\d{1,3})|(?P<letters> ?[^\W\d_]+)"
    r"|(?P<signs> ?[!-/:-@\[-`{-~]+)|(?P<space>\s+)|(?P<pictures>[^\w\s]+)"
)
_COMMON_WORD_LETTERS: Final = 5
_LONG_WORD_LETTERS: Final = 11
# Unicode categories that no reader sees: controls, formats (zero-width, bidi), lone surrogates.
_INVISIBLE: Final = frozenset({"Cc", "Cf", "Cs"})
_ASCII_CONTROLS: Final = dict.fromkeys((*range(32), 127), " ")
_SENTENCE_END: Final = " .!?;,"
# A store asks twice for the same text, before and inside its transaction.
_TEXT_KEYS_KEPT: Final = 128

# English words that carry grammar instead of subject. Also what an apostrophe leaves behind
# ("don't" is indexed as "don" and "t").
STOP_WORDS: Final = frozenset(
    """
    a an the this that these those some any each every either neither both all such same other
    another no nor not none only own
    i me my mine myself we us our ours ourselves you your yours yourself yourselves he him his
    himself she her hers herself it its itself they them their theirs themselves one ones
    who whom whose which what when where why how whether
    am is are was were be been being do does did doing done have has had having will would shall
    should can could may might must ought let lets get gets got getting
    and or but if then else than because as so while although though unless until since once
    of at by for with without about against between into through during before after above below
    to from up down in out on off over under again further within upon across along toward towards
    among onto per via
    here there now just also too very more most much many few less least quite rather really
    still even ever never always often already yet
    s t d m ll re ve don doesn didn isn aren wasn weren hasn haven hadn won wouldn shouldn couldn
    cannot ain mustn needn
    please something anything nothing everything someone anyone
    """.split()  # noqa: SIM905 - a paragraph of words is easier to read than a list
)


@dataclass(frozen=True, slots=True)
class Query:
    """A cleaned query: never a character or word that an index could read as an operator.

    `tokens` are what whitespace separated, `words` the letters-and-digits runs in them in lower
    case, each once, in order.
    """

    tokens: tuple[str, ...]
    words: tuple[str, ...]

    @property
    def is_empty(self) -> bool:
        return not self.words

    @property
    def content_words(self) -> tuple[str, ...]:
        """`words` without function words; all of them when there is nothing else."""
        return tuple(word for word in self.words if word not in STOP_WORDS) or self.words


def parse_query(text: str) -> Query:
    """Clean a person's query (http-api 3.3): invisible characters, operators and signs go."""
    # Composed, so that a letter and its accent are one letter, as they are in the index.
    composed = unicodedata.normalize("NFC", text)
    visible = "".join(_visible(character) for character in composed)
    kept: list[str] = []
    for token in visible.split():
        if token in _OPERATORS:
            continue
        kept.extend(part for part in token.translate(_SIGNS).split() if _WORDS.search(part))
    lowered = (word.lower() for token in kept for word in _WORDS.findall(token))
    return Query(tuple(kept), tuple(dict.fromkeys(lowered)))


def fts5_all_of(query: Query) -> str | None:
    """The FTS5 expression that wants every token; None when nothing can match."""
    return " ".join(quoted(token) for token in query.tokens) or None


def fts5_any_of(words: tuple[str, ...]) -> str | None:
    """The FTS5 expression that wants one of the words; None when nothing can match."""
    return " OR ".join(quoted(word) for word in words) or None


def quoted(word: str) -> str:
    """One FTS5 string: nothing inside it is an operator."""
    return '"' + word.replace('"', '""') + '"'


def title_likeness(left: str, right: str) -> float:
    """Jaccard index of two titles' words without function words (semantics 5.10), 0 to 1."""
    left_words = _title_words(left)
    right_words = _title_words(right)
    union = left_words | right_words
    return len(left_words & right_words) / len(union) if union else 0.0


@lru_cache(_TEXT_KEYS_KEPT)
def equal_text_key(text: str) -> bytes:
    """32 bytes that two texts share when a reader would call them the same.

    Equal up to case, width and ligature variants (NFKC), whitespace, invisible characters and the
    sentence's last mark. Other punctuation counts: "x < y" is not "x > y".
    """
    if text.isascii():
        visible = text.translate(_ASCII_CONTROLS)
    else:
        normal = unicodedata.normalize("NFKC", text)
        # Few characters are distinct, whatever the length: decide once for each.
        shown = {ord(one): _visible(one) for one in set(normal)}
        visible = normal.translate({code: one for code, one in shown.items() if one != chr(code)})
    plain = " ".join(visible.casefold().split()).rstrip(_SENTENCE_END)
    return hashlib.sha256(plain.encode()).digest()


def content_hash(title: str, content: str) -> bytes:
    """Names the text of a memory, 32 bytes: a vector made of another text is stale.

    SHA-256 of title, NUL, content; defined for lone surrogates too.
    """
    return hashlib.sha256(f"{title}\x00{content}".encode("utf-8", "surrogatepass")).digest()


def estimate_tokens(text: str) -> int:
    """About as many as cl100k makes of `text`, when its vocabulary is not at hand.

    The shapes below follow the vocabulary's own first step (letters with the sign before them,
    digits by three, runs of other signs); lengths are fitted to its counts on English technical
    text, where the sum is within a tenth.
    """
    return round(sum(_piece_tokens(match) for match in _PIECES.finditer(text)))


def _piece_tokens(piece: re.Match[str]) -> float:
    length = piece.end() - piece.start()
    match piece.lastgroup:
        case "word":
            rare = max(length - _COMMON_WORD_LETTERS, 0)
            attached = 0.0 if piece.group()[0].isalpha() or piece.group()[0] == " " else 0.35
            return 1.0 + attached + 0.05 * rare + 0.2 * max(length - _LONG_WORD_LETTERS, 0)
        case "signs":
            return 1.0 + min(0.3 * max(length - 2, 0), 1.0)
        case "letters":
            return max(len(piece.group().encode("utf-8", "replace")) / 3.5, 1.0)
        case "pictures":
            return len(piece.group().encode("utf-8", "replace")) / 2.0
        case _:
            return 1.0


def _title_words(title: str) -> frozenset[str]:
    words = {word.casefold() for word in _WORDS.findall(title)}
    return frozenset(words - STOP_WORDS) or frozenset(words)


def _visible(character: str) -> str:
    if character.isascii():
        return character if character.isprintable() else " "
    category = unicodedata.category(character)
    if category not in _INVISIBLE:
        return character
    return " " if category == "Cc" else ""
