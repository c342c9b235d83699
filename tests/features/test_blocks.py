import pytest

from gad_bench.base.errors import UserError
from gad_bench.features.blocks import Blocks


def test_no_choice_means_every_block() -> None:
    assert Blocks().of(3) == [0, 1, 2]


def test_chosen_blocks_come_in_rising_order() -> None:
    assert Blocks(indices=[6, 2]).of(9) == [2, 6]


@pytest.mark.parametrize("indices", [[9], [-1], [0, 42]])
def test_a_block_out_of_range_is_refused_with_the_range(indices: list[int]) -> None:
    with pytest.raises(UserError, match="this backbone's blocks are 0 to 8"):
        Blocks(indices=indices).of(9)


def test_a_repeated_block_is_refused() -> None:
    with pytest.raises(UserError, match="names block 3 twice"):
        Blocks(indices=[3, 1, 3])


def test_an_empty_choice_is_refused() -> None:
    with pytest.raises(UserError, match=r"blocks\.indices is empty"):
        Blocks(indices=[])
