"""Names in figures: of files and defects, drawn as text in a font that has them."""

from __future__ import annotations

import logging
from functools import cache
from pathlib import Path
from typing import Any

from matplotlib import get_data_path
from matplotlib.ft2font import FT2Font
from PIL import ImageFont

USUAL = Path(get_data_path()) / "fonts" / "ttf" / "DejaVuSans.ttf"
OTHERS = (
    "Noto Sans CJK",
    "Noto Sans",
    "Source Han Sans",
    "WenQuanYi",
    "Droid Sans Fallback",
    "IPA",
    "Hiragino",
    "PingFang",
    "Microsoft YaHei",
    "Yu Gothic",
    "Malgun Gothic",
    "Arial Unicode",
    "FreeSans",
    "Unifont",
)
"""How fonts begin their names that have what the usual one lacks, as Chinese and Japanese."""

log = logging.getLogger(__name__)


def readable(name: str) -> str:
    """Return a name on one line, with a mark for each byte that is no UTF-8."""
    name = name.encode("utf-8", "surrogateescape").decode("utf-8", "replace")
    return " ".join(name.split())


def as_text(name: str) -> dict[str, Any]:
    """Return the properties of a matplotlib text that draw a name as it is, `$` and all."""
    return {"parse_math": False, "font": _font_file(name)}


def pillow_font(size: float, name: str = "") -> ImageFont.FreeTypeFont:
    """Return a font of Pillow's for a name."""
    return _open_font(size, _font_file(name))


@cache
def _open_font(size: float, file: Path) -> ImageFont.FreeTypeFont:
    return ImageFont.truetype(file, size)


def _font_file(name: str) -> Path:
    """Return the usual font, or another where that lacks some of a name's characters."""
    lacking = "".join(sorted({letter for letter in name if not _has(USUAL, letter)}))
    return _other_font(lacking) if lacking else USUAL


@cache
def _other_font(letters: str) -> Path:
    """Return a font of this machine's that has some letters; tell once where there is none."""
    for file in _others():
        if all(_has(file, letter) for letter in letters):
            return file
    _tell_lacking()
    return USUAL


@cache
def _tell_lacking() -> None:
    log.warning(
        "no font of this machine has every character of the images' names, which figures show as "
        "boxes: install one, as Noto Sans CJK"
    )


@cache
def _others() -> list[Path]:
    from matplotlib.font_manager import fontManager

    fonts = sorted((font.name, font.fname) for font in fontManager.ttflist)
    return [Path(file) for name, file in fonts if name.startswith(OTHERS)]


@cache
def _has(file: Path, letter: str) -> bool:
    return bool(_face(file).get_char_index(ord(letter)))


@cache
def _face(file: Path) -> FT2Font:
    return FT2Font(str(file))
