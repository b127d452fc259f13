"""Detectors trained for two short epochs, under the Keras backend that this process has.

`python -m tests.brief_training MINE THEIRS` trains every family into the folder MINE, and shows its
windows to the networks that another backend has trained into the folder THEIRS.
"""

import sys
import traceback
from dataclasses import replace
from pathlib import Path

import keras
import numpy as np

from datasets.faults import FAULTS
from nas import DETECTORS
from nas.candidate import default_candidate
from nas.checkpoint import Checkpoint
from nas.detectors.detector import build_detector, outputs_of
from nas.plan import TrainingPlan
from nas.train import Trainer
from nas.windows import Augmentation, Damaged, TrainingWindows

LSB_MV = 1 / 64
CLASSES = ("NORM", "MI", "STTC", "CD")
SHAPE = (250, 1)


def example_windows(shape, n_windows=16):
    """Return windows with a spike a second on noise, each of one class or two."""
    rng = np.random.default_rng(0)
    signal = rng.normal(0, 2, (n_windows, *shape))
    signal[:, 30::100] += rng.uniform(30, 90, (n_windows, 1, shape[1]))
    codes = signal.astype(np.int8)
    labels = np.eye(len(CLASSES), dtype=bool)[np.arange(n_windows) % len(CLASSES)]
    labels[rng.random(labels.shape) < 0.2] = True

    def damaged(seed):
        noise = np.random.default_rng(seed).normal(0, 30, codes.shape)
        noisy = (codes + noise).clip(-128, 127).astype(np.int8)
        return Damaged(noisy, np.eye(len(FAULTS), dtype=bool)[np.arange(n_windows) % len(FAULTS)])

    augmentation = Augmentation(gain=0.1, noise_mv=0.02)
    return TrainingWindows(codes, LSB_MV, labels, CLASSES, augmentation, damaged)


def briefly_trained(name, folder, seed=0, **fields):
    """Return a family's network, but for `fields` the default one, after training; its scoring."""
    keras.utils.set_random_seed(seed)
    candidate, windows = default_candidate(name), example_windows(SHAPE)
    params = replace(candidate.params, **fields)
    model = build_detector(candidate.module, params, windows.shape)
    trainer = Trainer(TrainingPlan(epochs=2), seed, len(windows), Checkpoint(folder, {}))
    return model, candidate.module.fit(params, model, windows, trainer)


def train_all(folder):
    """Write every family's network and its outputs into `folder`; in place of them, what failed."""
    for name in DETECTORS:
        try:
            model, _ = briefly_trained(name, folder / f"{name}.checkpoint")
            model.save(folder / f"{name}.keras")
            np.save(folder / f"{name}.npy", outputs_of(model, example_windows(SHAPE)))
        except Exception:
            (folder / f"{name}.failed").write_text(traceback.format_exc())


def show_to_all(mine, theirs):
    """Write into `mine` what the networks of the folder `theirs` give here."""
    for path in theirs.glob("*.keras"):
        model = keras.models.load_model(path)
        np.save(mine / f"{path.stem}.theirs.npy", outputs_of(model, example_windows(SHAPE)))


if __name__ == "__main__":
    folders = [Path(argument) for argument in sys.argv[1:]]
    train_all(folders[0])
    show_to_all(*folders)
