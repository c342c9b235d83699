from __future__ import annotations

from pathlib import Path

import pytest

from gad_bench.base.errors import UserError
from gad_bench.base.stored_config import read_stored


def test_a_text_with_a_star_is_a_text(tmp_path: Path) -> None:
    (tmp_path / "multirun.yaml").write_text("- combination=glob(*)\n- 'a*b'\n")
    assert read_stored(tmp_path / "multirun.yaml") == ["combination=glob(*)", "a*b"]


def test_a_file_that_grows_by_its_aliases_is_refused(tmp_path: Path) -> None:
    nine = [", ".join([f"*level{level}"] * 9) for level in range(9)]
    lines = ["level0: &level0 [x]", *(f"level{i + 1}: &level{i + 1} [{nine[i]}]" for i in range(9))]
    (tmp_path / "config.yaml").write_text("\n".join(lines))
    with pytest.raises(UserError, match=r"config\.yaml cannot be read: it holds an alias"):
        read_stored(tmp_path / "config.yaml")
