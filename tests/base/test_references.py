from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from omegaconf import OmegaConf

from gad_bench.base.references import escaped, has_reference, unescaped
from gad_bench.config import compose_config, override

PIECES = [*"\\$:'\",=[]{} \nüa", "${", "oc.env:HOME}"]
NAMES = st.lists(st.sampled_from(PIECES), min_size=1, max_size=9).map("".join)


@given(NAMES)
def test_a_config_gives_an_escaped_text_back_as_it_stood(name: str) -> None:
    assert OmegaConf.create({"name": escaped(name)}).name == name
    assert unescaped(escaped(name)) == name
    assert not has_reference(escaped(name))


@given(NAMES.filter(lambda name: name.strip() == name))
def test_an_override_gives_a_text_whatever_it_holds(name: str) -> None:
    from hydra.core.override_parser.overrides_parser import OverridesParser

    swept = OverridesParser.create().parse_override(override("category", name, "other"))
    first, other = swept.sweep_string_iterator()
    (single,) = OverridesParser.create().parse_overrides([f"category={first}"])
    value = single.value()
    assert OmegaConf.create({"name": getattr(value, "text", value)}).name == name
    assert other == "other"


def test_a_config_is_composed_with_it() -> None:
    name = "${oc.env:HOME}, it's \\"
    assert compose_config(["dataset=demo", override("category", name)]).category == name
