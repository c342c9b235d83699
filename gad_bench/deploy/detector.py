"""A saved detector, ready to score images."""

from __future__ import annotations

import logging
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any, cast

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from gad_bench.base.errors import UserError
from gad_bench.base.process import one_thread
from gad_bench.data.images import decode_image
from gad_bench.deploy.decoding import check_facts, decode
from gad_bench.deploy.format import FACTS, read_folder, weights_beside
from gad_bench.deploy.rule import DecisionRule
from gad_bench.features.extraction import READING, extract, read_input, resize_input
from gad_bench.features.interface import (
    Backbone,
    Encoder,
    Pixels,
    Runtime,
    Size,
    Work,
    height_and_width,
)
from gad_bench.features.local import LocalSource
from gad_bench.features.maps import MapStorage, maps_work
from gad_bench.features.ready import ReadyModels
from gad_bench.features.tiles import TiledBackbone
from gad_bench.gaussian.model import FittedModel
from gad_bench.gaussian.statistics import Matrix, Vector
from gad_bench.patches import FittedPatchDetector, PatchScores
from gad_bench.patches.heat_maps import FittedLocalisation, HeatMaps

log = logging.getLogger(__name__)

Image = str | Path | bytes | NDArray[np.uint8]
"""A file, a file's content, or uint8 [height, width, 3] RGB."""


@dataclass(frozen=True, kw_only=True)
class Scorer:
    """What a detector's file holds: all that it takes from pixels to a decision.

    Attributes:
        backbone: the network.
        runtime: what carries it out.
        model: what scores its vectors or, a detector on patches, its maps.
        rule: of a decision.
        localisation: a way of its own to heat maps; a detector on patches needs none.
        precision: in which a detector on patches saw the maps that it was fitted on.
    """

    backbone: Backbone
    runtime: Runtime
    model: FittedModel | FittedPatchDetector
    rule: DecisionRule
    localisation: FittedLocalisation | None
    precision: str = "float32"

    @property
    def blocks(self) -> list[int]:
        """The blocks that have scores of their own."""
        return list(self.model.blocks) if isinstance(self.model, FittedModel) else []


@dataclass(frozen=True, kw_only=True)
class Predictions:
    """What a detector says of images.

    Attributes:
        images: of each image its path, or its number where it was no file.
        blocks: the blocks' scores [images] by block, higher is more anomalous.
        scores: the images' [images].
        p_values: how probable a good image with such a score or a higher one is [images]; None
            where the rule does not go by images held out.
        threshold: the score beyond which an image is called anomalous; None where p-values by
            several fits decide, or nothing does.
        anomalous: the decisions [images], None where there are none. Where the detector's own rule
            gives p-values, they say which are at most its rate.
        heat_maps: of the images, where the run localised and they are asked for: iterate over them,
            or ask `at_size(row, height, width)` for one at an image's own size.
        unreadable: of each image that was passed over, why.
    """

    images: Sequence[str]
    blocks: Mapping[int, Vector]
    scores: Vector
    p_values: Vector | None
    threshold: float | None
    anomalous: NDArray[np.bool_] | None
    heat_maps: HeatMaps | None
    unreadable: Mapping[str, str]

    def table(self) -> pd.DataFrame:
        """Return a row per image: path, a column per block, score, and what else is known.

        That is: p_value, and anomalous (0 or 1).
        """
        table = pd.DataFrame({"path": list(self.images)})
        for block, values in self.blocks.items():
            table[f"block_{block}"] = values
        table["score"] = self.scores
        if self.p_values is not None:
            table["p_value"] = self.p_values
        if self.anomalous is not None:
            table["anomalous"] = self.anomalous.astype(int)
        return table


@dataclass(frozen=True, kw_only=True)
class SavedDetector:
    """A fitted detector, as `save=FOLDER` wrote it.

    It may be used by several threads at once: an answer depends on nobody else's question.

    Attributes:
        scorer: what scores.
        about: the tags of the run that fitted it, its key among them.
        device: auto, cpu, cuda, cuda:N or mps.
        batch_size: images a pass through the backbone.
        models: its compiled backbone, which stays ready as long as the detector lives.
    """

    scorer: Scorer
    about: Mapping[str, str]
    device: str
    batch_size: int
    models: ReadyModels = field(default_factory=ReadyModels, repr=False, compare=False)

    @classmethod
    def load(
        cls,
        folder: str | Path,
        *,
        weights: str | Path | None = None,
        device: str = "auto",
        batch_size: int = 16,
        trust: Sequence[str] = (),
    ) -> SavedDetector:
        """Load a detector and check that it scores as it did when it was saved.

        Args:
            folder: as `save=` wrote it.
            weights: the backbone's checkpoint, where it is not where it was, nor in the folder.
            device: auto, cpu, cuda, cuda:N or mps.
            batch_size: images a pass through the backbone.
            trust: modules of your own whose classes the detector may be made of.

        Raises:
            UserError: the folder is damaged, or the weights are missing or others.
        """
        path = Path(folder).expanduser()
        if batch_size < 1:
            raise UserError(f"batch_size must be at least 1, not {batch_size}")
        facts, arrays = read_folder(path)
        try:
            check_facts(facts)
            scorer: Scorer = decode(facts["scorer"], arrays, trust, Scorer, "scorer")
        except UserError as error:
            raise UserError(f"{path / FACTS}: {error}") from error
        named = weights or weights_beside(path)
        if named is not None:
            scorer = replace(scorer, backbone=_with_weights(scorer.backbone, named))
        detector = cls(scorer=scorer, about=facts["about"], device=device, batch_size=batch_size)
        detector._check(facts["features"], path)
        return detector

    def __repr__(self) -> str:
        """Say what it was fitted on and how it decides; what it holds would fill pages."""
        of = f"{self.about['category']}, {self.about['backbone']}"
        return f"<Detector of {of}: {self.scorer.rule.told}>"

    @property
    def encoder(self) -> Encoder:
        """What makes features of the images."""
        return Encoder(
            backbone=self.scorer.backbone,
            runtime=self.scorer.runtime,
            device=self.device,
            batch_size=self.batch_size,
            models=self.models,
        )

    def predict(
        self,
        images: Image | Sequence[Image],
        *,
        threshold: float | None = None,
        heat_maps: bool = True,
        skip_unreadable: bool = False,
    ) -> Predictions:
        """Score images.

        Args:
            images: files, files' contents, or arrays uint8 [height, width, 3] RGB of any size.
            threshold: the score beyond which an image is called anomalous; None for the
                detector's own, where it has one: see `DecisionRule`.
            heat_maps: give them where the run localised. They cost a second pass through the
                backbone, but for a detector on patches.
            skip_unreadable: pass over files that cannot be read, and say which, in place of
                raising the first one's error.

        Raises:
            UserError: an image cannot be read or is no such array, the threshold is NaN, or a score
                is not finite.
        """
        if threshold is not None and math.isnan(threshold):
            raise UserError("threshold=nan is no number: leave it out for the detector's own")
        several = _as_list(images)
        names = [_name(number, image) for number, image in enumerate(several)]
        reading = _Reading(self.scorer.backbone.image_size(), skip_unreadable)
        readers = [partial(reading, name, own) for name, own in zip(names, several, strict=True)]
        blocks, scores, p_values, heat = self._judge(readers, heat_maps)
        read = np.array([name not in reading.unreadable for name in names], bool)
        scores, p_values = scores[read], None if p_values is None else p_values[read]
        _require_finite(scores)
        own = self.scorer.rule.decisions(scores, p_values)
        return Predictions(
            images=[name for name, known in zip(names, read, strict=True) if known],
            blocks=dict(zip(self.scorer.blocks, blocks[read].T, strict=True)),
            scores=scores,
            p_values=p_values,
            threshold=self.scorer.rule.threshold if threshold is None else threshold,
            anomalous=own if threshold is None else np.asarray(scores > threshold),
            heat_maps=heat and replace(heat, grids=heat.grids[read]),
            unreadable=reading.unreadable,
        )

    def _judge(
        self, readers: Sequence[partial[Pixels]], heat_maps: bool
    ) -> tuple[Matrix, Vector, Vector | None, HeatMaps | None]:
        """Return the blocks' scores [images, blocks], the images', their p-values and heat maps."""
        model = self.scorer.model
        if isinstance(model, FittedPatchDetector):
            found, p_values = self._score_patches(model, readers)
            heat = model.heat_maps(found.grids, self.scorer.backbone.image_size())
            blocks = np.empty((len(readers), 0))
            return blocks, found.images, p_values, heat if heat_maps else None
        heat_of = self._heat_maps(readers) if heat_maps else None
        return (*self._score(model, readers), heat_of)

    def _score_patches(
        self, model: FittedPatchDetector, readers: Sequence[partial[Pixels]]
    ) -> tuple[PatchScores, Vector | None]:
        """Score maps in the precision in which those that were fitted are stored."""
        rule, blocks = self.scorer.rule, model.embedding.blocks
        storage = MapStorage(precision=self.scorer.precision)
        scored = [PatchScores(grids=np.empty((0, 1, 1)), images=np.empty(0))][: not readers]
        p_values = [np.empty(0)]
        for batch in extract(readers, maps_work(self.encoder, blocks)):
            rounded = [storage.rounded(*pair) for pair in zip(batch, blocks, strict=True)]
            maps = dict(zip(blocks, rounded, strict=True))
            with one_thread():
                scored.append(model.score(maps))
                found = rule.p_values(scored[-1].images, maps)
            p_values += [] if found is None else [found]
        joined = PatchScores(
            grids=np.concatenate([part.grids for part in scored]),
            images=np.concatenate([part.images for part in scored]),
        )
        return joined, np.concatenate(p_values) if rule.calibration else None

    def _score(
        self, model: FittedModel, readers: Sequence[partial[Pixels]]
    ) -> tuple[Matrix, Vector, Vector | None]:
        rule = self.scorer.rule
        blocks, scores = [np.empty((0, len(model.blocks)))], [np.empty(0)]
        p_values = [np.empty(0)]
        for batch in self._features(readers):
            with one_thread():
                of_blocks, of_images = model.score(batch)
                found = rule.p_values(of_images, batch)
            blocks.append(of_blocks)
            scores.append(of_images)
            p_values += [] if found is None else [found]
        known = np.concatenate(p_values) if rule.calibration else None
        return np.concatenate(blocks), np.concatenate(scores), known

    def _heat_maps(self, readers: Sequence[partial[Pixels]]) -> HeatMaps | None:
        scorer = self.scorer
        if scorer.localisation is None:
            return None
        source = LocalSource(encoder=self.encoder, blocks=scorer.blocks)
        return scorer.localisation.heat_maps(source, readers)

    def _features(self, readers: Sequence[partial[Pixels]]) -> Iterator[dict[int, Matrix]]:
        """Yield the features of images by block, a batch at a time."""
        wanted = self.scorer.blocks
        work = Work(encoder=self.encoder, deepest=max(wanted))
        for batch in extract(readers, work):
            yield {block: batch[block].astype(np.float64) for block in wanted}

    def _check(self, saved: Mapping[str, Any], folder: Path) -> None:
        """Compare the facts that change a feature with those of the run that fitted."""
        scorer = self.scorer
        own = scorer.blocks or getattr(scorer.model, "embedding", scorer).blocks
        blocks = [*own, *getattr(scorer.localisation, "blocks", ())]
        if max(blocks) >= scorer.backbone.block_count():
            raise UserError(
                f"{folder} scores block {max(blocks)}, which the backbone does not have"
            )
        own = {"reading": READING, **dict(scorer.backbone.facts())}
        for key, value in {"reading": saved["reading"], **saved["backbone"]}.items():
            if own.get(key) != value:
                raise UserError(
                    f"{folder} was fitted with {key}={value}, and here it is {own.get(key)}: "
                    "scores would be others; give the same weights with weights=PATH"
                )
        runtime = dict(scorer.runtime.facts(self.device))
        if runtime != saved["runtime"]:
            told = ("/".join(facts.values()) for facts in (saved["runtime"], runtime))
            log.warning("fitted on %s, scoring on %s: scores differ by rounding", *told)


@dataclass
class _Reading:
    """Reads images, and keeps in mind those that cannot be read."""

    size: Size
    skip: bool
    unreadable: dict[str, str] = field(default_factory=dict)

    def __call__(self, name: str, image: Image) -> Pixels:
        try:
            if isinstance(image, np.ndarray):
                return resize_input(_checked(name, image), self.size)
            if isinstance(image, bytes):
                return resize_input(decode_image(image, f"image {name}"), self.size)
            return read_input(str(image), self.size)
        except UserError as error:
            if not self.skip:
                raise
            self.unreadable[name] = str(error)
            shape = (*height_and_width(self.size), 3)
            return np.zeros(shape, np.uint8)  # holds its place in the batch


def _checked(name: str, image: NDArray[Any]) -> Pixels:
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3 or image.size == 0:
        raise UserError(
            f"image {name} is {image.dtype} {list(image.shape)}, not uint8 [height, width, 3]"
        )
    return cast("Pixels", image)


def _require_finite(scores: Vector) -> None:
    """Refuse what would be called good, for no comparison with NaN holds."""
    wrong = np.count_nonzero(~np.isfinite(scores))
    if wrong:
        raise UserError(
            f"the scores of {wrong} of {len(scores)} images are not finite: the detector holds "
            "numbers too large to reckon with; fit and save it again"
        )


def _as_list(images: Image | Sequence[Image]) -> list[Image]:
    if isinstance(images, str | Path | bytes) or (
        isinstance(images, np.ndarray) and images.ndim == 3
    ):
        return [images]
    return list(cast("Sequence[Image]", images))


def _name(number: int, image: Image) -> str:
    return str(image) if isinstance(image, str | Path) else str(number)


def _with_weights(backbone: Backbone, weights: str | Path) -> Backbone:
    if isinstance(backbone, TiledBackbone):
        return replace(backbone, backbone=_with_weights(backbone.backbone, weights))
    if not hasattr(backbone, "weights"):
        raise UserError(f"backbone {backbone.name} has no weights: leave weights={weights} out")
    return cast("Backbone", replace(cast("Any", backbone), weights=str(weights), pretrained=True))
