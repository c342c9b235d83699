"""One run, top to bottom: images, features, Gaussians, scores, metrics, record."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from omegaconf import DictConfig

from gad_bench.base.process import Stopwatch, import_libraries
from gad_bench.config import check
from gad_bench.deploy.cost import check_measurable, measure_cost
from gad_bench.deploy.save import Fitted, check_savable, save_detector
from gad_bench.deploy.serving import served_model
from gad_bench.steps.advice import advise_on_input
from gad_bench.steps.cross_fitting import cross_fit
from gad_bench.steps.evidence import obtain_evidence
from gad_bench.steps.identity import describe, result_key, run_tags
from gad_bench.steps.parts import Parts
from gad_bench.steps.results import Results, announce, announce_restored, point_the_way
from gad_bench.steps.selecting import mean_of_folds, paint_copies


def run(  # noqa: PLR0915 - the stages stand on one page
    config: DictConfig, output: Path, sweep: str | None, watch: Stopwatch
) -> Mapping[str, Any]:
    """Carry out one run and leave its files in the output folder.

    Args:
        config: the composed config.
        output: the folder, made by Hydra.
        sweep: the name of the sweep that the run is a job of; None for a run on its own.
        watch: measures the stages.

    Returns:
        The metrics by name.

    Raises:
        UserError: the config asks for something impossible.
    """
    check(config)
    parts = Parts.build(config)
    watch.lap("imports")
    catalog = parts.dataset.catalog(config.category)
    parts = parts.for_images(catalog)
    splits = parts.splits(config, catalog)
    cross = parts.cross_fits(catalog, splits)
    parts.require_possible(splits, cross)
    tags = run_tags(config, parts)
    source = parts.feature_source(config, tags)
    images = source.fingerprint(list(catalog["path"]))
    key = result_key(config, parts, catalog, splits, source, images)
    check_savable(config, parts.detector, splits, key)
    check_measurable(config, parts.detector)
    copies = paint_copies(config, parts, catalog, splits, source, images)
    description = describe(config, tags, sweep, key)
    watch.lap("images")
    import_libraries(_libraries(config, parts))
    watch.lap("imports")
    if config.resume and parts.tracking.restore(description, output):
        return announce_restored(description.name, output)

    with parts.tracking.run(description) as tracked:
        watch.lap("tracking store")
        evidence = obtain_evidence(config, parts, catalog, splits, source, images)
        watch.lap("features")
        outcomes, synthetic = [], []
        for split in splits:
            model = evidence.fit(split)
            outcomes.append(evidence.score(model, split))
            watch.lap("fit")
            synthetic.append(copies.aurocs(model, split, outcomes[-1].scores))
            if synthetic[-1]:
                watch.lap("selection")
        fits = cross_fit(evidence, parts.threshold, cross)
        if cross:
            watch.lap("calibration")
        localised = evidence.localise(splits, outcomes)
        if localised:
            watch.lap("localisation")
        cost = measure_cost(config, parts, evidence, splits[-1], catalog, model)
        if cost:
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
            curves=[outcome.curves for outcome in outcomes if outcome.curves],
            seconds_fit=watch.seconds["fit"],
            cost=cost,
            copies=copies,
            synthetic=mean_of_folds(synthetic),
        )
        metrics = results.write(output)
        watch.lap("metrics")
        results.draw(output, metrics)
        watch.lap("figures")
        if config.save:
            fitted = Fitted(model, outcomes[0].scores, fits, localised)
            folder = save_detector(config, parts, source, fitted, description.tags)
            tracked.log_model(served_model(folder))
        tracked.log(metrics, results.images, output, results.named_curves)
        watch.lap("record")
    announce(description.name, metrics, outcomes[0].scores)
    if sweep is None:
        advise_on_input(parts.backbone, catalog)
        point_the_way(output, evidence.stored.path, metrics, watch, parts.tracking.viewer)
    return metrics


def _libraries(config: DictConfig, parts: Parts) -> list[str]:
    """Return what a run on stored features uses beside the components' own modules."""
    figures = ["gad_bench.figures.run_figures"] if config.figures else []
    always = ("filelock", "safetensors.numpy", "scipy.linalg", "scipy.special", "threadpoolctl")
    return [*always, *figures, *parts.tracking.libraries]
