"""Which of a backbone's blocks take part."""

from __future__ import annotations

from dataclasses import dataclass

from gad_bench.base.errors import UserError


@dataclass(frozen=True, kw_only=True)
class Blocks:
    """A choice of blocks, numbered from 0; None means all of them."""

    indices: list[int] | None = None

    def __post_init__(self) -> None:
        if self.indices is None:
            return
        if not self.indices:
            raise UserError("blocks.indices is empty: name at least one block, or null for all")
        repeated = sorted({index for index in self.indices if self.indices.count(index) > 1})
        if repeated:
            raise UserError(f"blocks.indices={self.indices} names block {repeated[0]} twice")

    def of(self, count: int) -> list[int]:
        """Return the chosen blocks of a backbone with `count` blocks, in rising order.

        Raises:
            UserError: a block is out of range.
        """
        if self.indices is None:
            return list(range(count))
        outside = [index for index in self.indices if not 0 <= index < count]
        if outside:
            raise UserError(
                f"blocks.indices={self.indices}: there is no block {outside[0]}; "
                f"this backbone's blocks are 0 to {count - 1}"
            )
        return sorted(self.indices)


@dataclass(frozen=True, kw_only=True)
class BestBlocks(Blocks):
    """The blocks that the literature uses on a backbone, which names them itself."""

    def __post_init__(self) -> None:
        if self.indices is None:
            raise UserError(
                "blocks=best: the literature's blocks on this backbone are not known here: "
                "name some with blocks.indices=[...], or all with blocks=all"
            )
        super().__post_init__()
