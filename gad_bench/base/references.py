"""References of OmegaConf's, ${...}, in text that is data: escaped, so that none is followed."""

from __future__ import annotations

import re
from typing import Any

OPENING = re.compile(r"(\\*)\$\{")


def escaped(value: Any) -> Any:  # noqa: ANN401 - any YAML
    """Return a value that a config gives back as it stands, whatever its texts hold."""
    if isinstance(value, str):
        return OPENING.sub(lambda opening: 2 * opening[1] + r"\${", value)
    if isinstance(value, dict):
        return {key: escaped(item) for key, item in value.items()}
    if isinstance(value, list):
        return [escaped(item) for item in value]
    return value


def unescaped(text: str) -> str:
    """Return the text that `escaped` was given; references that are none stay as they are."""
    return OPENING.sub(lambda opening: opening[1][: len(opening[1]) // 2] + "${", text)


def has_reference(text: str) -> bool:
    """Tell whether a config would follow a reference in a text."""
    return any(len(opening[1]) % 2 == 0 for opening in OPENING.finditer(text))
