"""The choice of a threshold: a wanted false positive rate, and what is to promise it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from gad_bench.errors import UserError

GAUSSIAN, CONFORMAL = "gaussian", "conformal"


@dataclass(frozen=True, kw_only=True)
class Threshold:
    """A wanted false positive rate, and by which methods it is sought.

    Attributes:
        fpr: the rate, in (0, 1).
        methods: of "gaussian" (a block's distance by its law) and "conformal" (the image's score by
            the images held out).
        required: whether to refuse a run that does not admit the methods; else they are left out.
    """

    fpr: float
    methods: list[str]
    required: bool

    def __post_init__(self) -> None:
        if not 0 < self.fpr < 1:
            raise UserError(f"threshold.fpr must lie in (0, 1), not {self.fpr}")
        unknown = set(self.methods) - {GAUSSIAN, CONFORMAL}
        if unknown:
            raise UserError(
                f"threshold.methods has no {', '.join(sorted(unknown))}: "
                f"choose from {GAUSSIAN}, {CONFORMAL}"
            )

    def require_held_out(self, images: Sequence[int]) -> None:
        """Refuse folds that hold no image out, where conformal thresholds are required.

        Args:
            images: the number held out, by fold.

        Raises:
            UserError: says how to hold some out.
        """
        if self.required and CONFORMAL in self.methods and not all(images):
            raise UserError(
                "threshold=conformal needs validation images that the fit does not see, and this "
                "fold holds none out: use fold=kfold, fold=cross or threshold=gaussian"
            )

    def require_distances(self, blocks: int) -> None:
        """Refuse scores that are no Mahalanobis distance, where Gaussian ones are required.

        Args:
            blocks: the number of those whose score is one.

        Raises:
            UserError: says what to choose instead.
        """
        if self.required and GAUSSIAN in self.methods and blocks == 0:
            raise UserError(
                "threshold=gaussian needs a Mahalanobis distance, which this detector's or "
                "covariance's score is not: use covariance=ledoit_wolf or threshold=conformal"
            )
