"""One run, top to bottom: images, features, Gaussians, scores, metrics, record."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from omegaconf import DictConfig

from gad_bench.base.process import Stopwatch, import_libraries
from gad_bench.config import check
from gad_bench.data.split import Split
from gad_bench.features.source import FeatureSource
from gad_bench.steps.advice import advise_on_input
from gad_bench.steps.cross_fitting import CrossFits, cross_fit
from gad_bench.steps.ending import End, end_here
from gad_bench.steps.evidence import obtain_evidence
from gad_bench.steps.identity import describe, result_key, run_tags
from gad_bench.steps.last_words import announce, announce_restored, point_the_way
from gad_bench.steps.parts import Parts
from gad_bench.steps.results import Results, write_metrics
from gad_bench.steps.selecting import Beside, paint_copies
from gad_bench.tracking import DatasetInput, TrackedRun, aside


def run(  # noqa: PLR0915 - the stages stand on one page
    config: DictConfig, output: Path, sweep: str | None, watch: Stopwatch, end: End = end_here
) -> Mapping[str, Any]:
    """Carry out one run and leave its files in the output folder.

    Args:
        config: the composed config.
        output: the folder, made by Hydra.
        sweep: the name of the sweep that the run is a job of; None for a run on its own.
        watch: measures the stages.
        end: draws and records, perhaps after this has returned.

    Returns:
        The metrics by name.

    Raises:
        UserError: the config asks for something impossible.
    """
    check(config)
    parts = Parts.build(config)
    tracking = aside(parts.tracking)
    watch.lap("imports")
    parts = parts.with_local_images(config)
    catalog = parts.dataset.catalog(config.category)
    parts = parts.for_images(catalog)
    splits = parts.splits(config, catalog)
    cross = parts.cross_fits(catalog, splits)
    parts.require_possible(splits, cross)
    tags = run_tags(config, parts)
    source = parts.feature_source(config, tags)
    images = source.fingerprint(list(catalog["path"]))
    key = result_key(config, parts, catalog, splits, source, images)
    _require_savable(config, parts, splits, key)
    _require_measurable(config, parts)
    copies = paint_copies(config, parts, catalog, splits, source, images)
    description = describe(config, tags, sweep, key)
    watch.lap("images")
    import_libraries([*_libraries(config), *tracking.libraries])
    watch.lap("imports")
    if config.resume and tracking.restore(description, output):
        return announce_restored(description.name, output)

    with ExitStack() as recording:
        tracked = recording.enter_context(tracking.run(description))
        watch.lap("tracking store")
        source = replace(source, before=tracked.require_open)
        evidence = obtain_evidence(config, parts, catalog, splits, source, images)
        watch.lap("features")
        outcomes, beside = [], list[Beside]()
        for split in splits:
            model = evidence.fit(split)
            outcomes.append(evidence.score(model, split))
            watch.lap("fit")
            if copies:
                beside.append(copies.score(model, split, outcomes[-1].scores))
                watch.lap("selection")
        fits = cross_fit(evidence, parts.threshold, cross)
        if cross:
            watch.lap("calibration")
        localised = evidence.localise(splits, outcomes)
        if localised:
            watch.lap("localisation")
        attributed = evidence.attribute(model, splits[-1])
        if attributed:
            watch.lap("attribution")
        cost: Mapping[str, float] = {}
        if config.cost:
            from gad_bench.deploy.cost import measure_cost

            cost = measure_cost(config, parts, evidence, splits[-1], catalog, model)
            watch.lap("cost")
        results = Results(
            name=description.name,
            config=config,
            parts=parts,
            catalog=catalog,
            splits=splits,
            evidence=evidence,
            model=model,
            scores=[outcome.scores for outcome in outcomes],
            calibrating=fits.scores,
            localised=localised,
            attributed=attributed,
            curves=[outcome.curves for outcome in outcomes if outcome.curves],
            seconds_fit=watch.seconds["fit"],
            cost=cost,
            copies=copies,
            synthetic=copies.measure(beside, config.seed) if copies else {},
        )
        metrics = results.measure(output)
        watch.lap("metrics")
        results.draw_evidence(output)
        watch.lap("figures")
        if config.save is not None:
            _save(results, fits, source, tracked, description.tags)
            watch.lap("record")
        recorded = metrics, results.images, output, results.named_curves
        record = partial(_record, watch, tracked, *recorded)
        end(recording, results.figures(output, metrics), record, tracked.wait)
    watch.lap("record")
    announce(description.name, metrics, outcomes[0].scores)
    if sweep is None:
        advise_on_input(parts.backbone, catalog)
        point_the_way(output, evidence.stored.path, metrics, watch, tracking.viewer)
    return metrics


def _require_savable(config: DictConfig, parts: Parts, splits: Sequence[Split], key: str) -> None:
    """Refuse what cannot be saved, where that is asked for, before anything is extracted."""
    if config.save is not None:
        from gad_bench.deploy.save import check_savable

        check_savable(config, parts.detector, splits, key)


def _require_measurable(config: DictConfig, parts: Parts) -> None:
    """Refuse what has no cost that is known how to measure, where that is asked for."""
    if config.cost:
        from gad_bench.deploy.cost import check_measurable

        check_measurable(parts.detector)


def _save(
    results: Results,
    fits: CrossFits,
    source: FeatureSource,
    tracked: TrackedRun,
    tags: Mapping[str, str],
) -> None:
    """Save the detector, and record it as a model that can be served."""
    from gad_bench.deploy.save import Fitted, save_detector
    from gad_bench.deploy.serving import served_model

    fitted = Fitted(results.model, results.scores[0], fits, results.localised)
    folder = save_detector(results.config, results.parts, source, fitted, tags)
    tracked.log_model(served_model(folder))


def _record(
    watch: Stopwatch,
    tracked: TrackedRun,
    metrics: Mapping[str, Any],
    images: DatasetInput,
    output: Path,
    curves: Mapping[str, Sequence[float]],
) -> None:
    """Record a run that has all its other files."""
    watch.lap("figures")
    write_metrics(output, metrics)
    tracked.log(metrics, images, output, curves)


def _libraries(config: DictConfig) -> list[str]:
    """Return what a run on stored features uses beside the components' own modules."""
    figures = ["gad_bench.figures.run_figures"] if config.figures else []
    always = ("filelock", "safetensors.numpy", "scipy.linalg", "scipy.special", "threadpoolctl")
    return [*always, *figures]
