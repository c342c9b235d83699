"""Training by Lightning: seeded, stopped early, and resumed after a kill."""

from __future__ import annotations

import contextlib
import logging
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from lightning.fabric.plugins.environments.lightning import LightningEnvironment
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.callbacks import EarlyStopping
from torch import Tensor
from torch.utils.data import DataLoader, DistributedSampler, TensorDataset

from gad_bench.base.errors import UserError
from gad_bench.base.files import whole_file
from gad_bench.evaluation.metrics import auroc
from gad_bench.trained import kept
from gad_bench.trained.schedule import Curves, Lesson, Schedule, Trained
from gad_bench.trained.trainee import Trainee

log = logging.getLogger(__name__)


def fit_network(
    schedule: Schedule, network: Trainee, lesson: Lesson, device: str, folder: Path
) -> Trained:
    """Train a network, or go on with it, or find it done.

    Args:
        schedule: how.
        network: before its training.
        lesson: the images.
        device: where, as `resolve_device` names it.
        folder: what it is kept in.

    Raises:
        UserError: training diverged, or the folder cannot be written.
    """
    from filelock import FileLock

    try:
        folder.mkdir(parents=True, exist_ok=True)
        with FileLock(folder / ".lock"):
            done = kept.read_finished(folder, network)
            return done or _train(schedule, network, lesson, device, folder)
    except OSError as error:
        raise UserError(
            f"the training cannot be kept in {folder} ({error.strerror or error}): "
            "make room or name another folder by cache_dir=PATH or GAD_BENCH_CACHE"
        ) from error


class Fit(LightningModule):
    """A network, its curves so far, and the weights of its best epoch."""

    def __init__(self, network: Trainee, learning_rate: float, seed: int) -> None:
        super().__init__()
        self.network = network
        self.learning_rate = learning_rate
        self.seed = seed
        self.curves: dict[str, list[float]] = {}
        self.best: dict[str, Tensor] = {}
        self.best_epoch = -1
        self._losses: list[Tensor] = []
        self._validated: list[tuple[Tensor, Tensor, Tensor]] = []

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """Return Adam."""
        return torch.optim.Adam(self.network.parameters(), lr=self.learning_rate)

    def on_train_epoch_start(self) -> None:
        """Seed by the epoch, so that one that is resumed draws what it would have drawn."""
        torch.manual_seed(self.seed + self.current_epoch)
        self._losses.clear()

    def training_step(self, batch: tuple[Tensor, Tensor], _: int) -> Tensor:
        """Return the mean loss of a batch."""
        losses, _scores = self.network.judge(*batch)
        self._losses.append(losses.detach())
        return losses.mean()

    def validation_step(self, batch: tuple[Tensor, Tensor], _: int) -> None:
        """Keep losses and scores, which are measured together."""
        self._validated.append((*self.network.judge(*batch), batch[1]))

    def on_validation_epoch_end(self) -> None:
        """Measure, and keep the weights if they are the best so far."""
        columns = zip(*self._validated, strict=True)
        losses, scores, labels = (torch.cat(column).cpu().double().numpy() for column in columns)
        self._validated.clear()
        values = {
            "training_loss": float(torch.cat(self._losses).mean()),
            "validation_loss": float(losses.mean()),
        }
        if len(np.unique(labels)) == 2 and np.isfinite(scores).all():
            values["validation_auroc"] = auroc(labels.astype(int), scores)
        for name, value in values.items():
            self.curves.setdefault(name, []).append(value)
        self._keep_best(values.get(self.network.monitored, float("nan")))

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Add what Lightning does not know of."""
        checkpoint["curves"], checkpoint["best"] = self.curves, self.best
        checkpoint["best_epoch"] = self.best_epoch

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Take that back."""
        self.curves, self.best = checkpoint["curves"], checkpoint["best"]
        self.best_epoch = checkpoint["best_epoch"]

    def _keep_best(self, value: float) -> None:
        self.log(self.network.monitored, value)
        if not np.isfinite(value):
            return
        before = self.curves[self.network.monitored][:-1]
        sign = 1 if self.network.highest else -1
        if all(sign * value > sign * earlier for earlier in before):
            state = self.network.state_dict()
            self.best = {key: tensor.detach().cpu().clone() for key, tensor in state.items()}
            self.best_epoch = self.current_epoch


class KeepCheckpoint(Callback):
    """Write each epoch's checkpoint whole or not at all, but for the last epoch's.

    It comes after `EarlyStopping`, which knows by then whether the epoch is the last.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:  # noqa: ARG002
        """Write the checkpoint."""
        if trainer.should_stop or trainer.current_epoch + 1 == trainer.max_epochs:
            return
        with whole_file(self.path) as temporary:
            trainer.save_checkpoint(temporary)


def _train(
    schedule: Schedule, network: Trainee, lesson: Lesson, device: str, folder: Path
) -> Trained:
    fit = Fit(network, schedule.learning_rate, schedule.seed)
    earlier = kept.read_checkpoint(folder)
    log.info("training on %d images, %d epochs at most", len(lesson.train), schedule.epochs)
    if earlier is not None:
        fit.on_load_checkpoint(earlier)
        log.info("going on with a training: %d epochs are done", _epochs(fit))
    _run(schedule, fit, lesson, device, folder, goes_on=earlier is not None)
    if not fit.best:
        raise UserError(
            f"training diverged: {network.monitored} was never finite in {_epochs(fit)} epochs; "
            f"lower detector.learning_rate={schedule.learning_rate:g}"
        )
    curves = Curves(values=fit.curves, best_epoch=fit.best_epoch)
    kept.finish(folder, fit.best, curves)
    network.load_state_dict(fit.best)
    return Trained(network=network.cpu().eval(), curves=curves)


def _run(
    schedule: Schedule,
    fit: Fit,
    lesson: Lesson,
    device: str,
    folder: Path,
    *,
    goes_on: bool,
) -> None:
    """Let Lightning train, from the folder's checkpoint where it goes on."""
    checkpoint = folder / kept.CHECKPOINT
    kind, _, index = device.partition(":")
    early = EarlyStopping(
        fit.network.monitored,
        mode="max" if fit.network.highest else "min",
        patience=schedule.patience,
        check_on_train_epoch_end=True,
    )
    with _quietly(), torch.random.fork_rng():
        trainer = Trainer(
            accelerator={"cuda": "gpu"}.get(kind, kind),
            devices=[int(index or 0)] if kind == "cuda" else 1,
            max_epochs=schedule.epochs,
            callbacks=[early, KeepCheckpoint(checkpoint)],
            plugins=[LightningEnvironment()],  # a Slurm job of a sweep trains by itself
            logger=False,
            enable_checkpointing=False,
            enable_model_summary=False,
            enable_progress_bar=sys.stderr.isatty(),
            num_sanity_val_steps=0,
            default_root_dir=folder,
        )
        try:
            loaders = _loaders(schedule, lesson)
            earlier = checkpoint if goes_on else None
            trainer.fit(fit, *loaders, ckpt_path=earlier, weights_only=True)
        except SystemExit as end:  # so does Lightning end where it is interrupted
            raise KeyboardInterrupt from end


def _loaders(schedule: Schedule, lesson: Lesson) -> tuple[DataLoader[Any], DataLoader[Any]]:
    """Return batches of training images, in an order of each epoch's own, and of the others."""
    train = _data(lesson.train, lesson.train_labels)
    validation = _data(lesson.validation, lesson.validation_labels)
    size = schedule.batch_size
    lonely = len(train) > size and len(train) % size == 1  # which has no batch statistics
    order: DistributedSampler[Any] = DistributedSampler(
        train, num_replicas=1, rank=0, seed=schedule.seed
    )
    return (
        DataLoader(train, size, sampler=order, drop_last=lonely),
        DataLoader(validation, size),
    )


def _data(pixels: Any, labels: Any) -> TensorDataset:  # noqa: ANN401 - arrays
    return TensorDataset(torch.from_numpy(pixels), torch.from_numpy(np.asarray(labels, np.float32)))


def _epochs(fit: Fit) -> int:
    return len(fit.curves.get("training_loss", ()))


@contextlib.contextmanager
def _quietly() -> Iterator[None]:
    """Keep Lightning from telling what it found, and from advice on how to load images."""
    names = ("lightning.pytorch", "lightning.fabric")
    levels = {name: logging.getLogger(name).level for name in names}
    for name in names:
        logging.getLogger(name).setLevel(logging.ERROR)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", module="lightning")
        warnings.filterwarnings("ignore", module="torch")
        try:
            yield
        finally:
            for name, level in levels.items():
                logging.getLogger(name).setLevel(level)
