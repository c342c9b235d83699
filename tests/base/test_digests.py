from __future__ import annotations

import hashlib
import json

import pytest

from gad_bench.base.files import json_digest, json_pieces

VALUE = {
    "seed": 0,
    "images": ["a", "é", '"\\'],
    "facts": {"mean": [0.485, 1e-9, -1.0, 1e22], "b": None, "a": {}},
    "empty": [],
    "yes": True,
}
TEXT = json.dumps(VALUE, sort_keys=True, separators=(",", ":"), allow_nan=False)


def test_the_pieces_are_the_text_that_the_keys_of_older_stores_are_digests_of() -> None:
    assert "".join(json_pieces(VALUE)) == TEXT
    assert json_digest(VALUE) == hashlib.sha256(TEXT.encode()).hexdigest()


def test_the_order_of_keys_does_not_matter() -> None:
    assert json_digest(dict(reversed(VALUE.items()))) == json_digest(VALUE)


@pytest.mark.parametrize("number", [float("nan"), float("inf")])
def test_a_number_that_is_not_finite_is_refused(number: float) -> None:
    with pytest.raises(ValueError, match="JSON"):
        json_digest([number])
