"""Patterns of namespaces: `*` stands for one segment or a part of one, a last `**` for any below.

`team/*` fits `team/a` and not `team/a/b`; `team/**` fits both and not `team`; `**` fits all.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Final

_ANY_SUFFIX: Final = "**"
_GLOBAL: Final = "*"


def matches_namespace(pattern: str, namespace: str) -> bool:
    """Whether a pattern fits a namespace. The global one, named `*`, only `**` fits."""
    if namespace == _GLOBAL:
        return pattern == _ANY_SUFFIX
    return _compiled(pattern).fullmatch(namespace) is not None


@lru_cache(maxsize=1_024)
def _compiled(pattern: str) -> re.Pattern[str]:
    *above, last = pattern.split("/")
    parts = [_segment(one) for one in above]
    parts.append(r".+" if last == _ANY_SUFFIX else _segment(last))
    return re.compile("/".join(parts), re.DOTALL)


def _segment(text: str) -> str:
    return "[^/]+" if text == "*" else "[^/]*".join(re.escape(part) for part in text.split("*"))
