"""Fit what `fabg.perception` knows about faces on rendered people: head pose, irises, gaze.

    python -m fabg.evaluation.fit_face --out src/fabg/perception/data

People below 1000 serve to fit, never those of the reports. How much is shrunk is chosen, and the error told,
by cross-validation in which no person is on both sides; what is written is fitted on all. (The networks for
the eyes learn from four fifths of the people, and their error is told of the others.)
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fabg.errors import UsageError
from fabg.evaluation.face_samples import FaceRanges, FaceSamples, sample_faces
from fabg.evaluation.fit_iris import (
    as_document,
    eyes_of,
    look_error,
    mark_error,
    train_looks,
    train_marks,
    with_irises,
)
from fabg.expression import INDEX
from fabg.perception.facefit import GazeFit, PoseFit, rotation_from_vector
from fabg.perception.pose import geometric_pose
from fabg.perception.readout import Readout
from fabg.social.avatar import FIRST_REPORT_SEED

Array = NDArray[np.float64]

FOLDS = 5
RIDGES = (1e-4, 1e-3, 1e-2, 1e-1, 1.0)
"""Shrinkage that is tried, as a share of the number of samples."""


@dataclass(frozen=True, kw_only=True)
class Size:
    """How large a read-out is: principal components, and how many of them take part in products."""

    components: int
    crossed: int


RANGES = FaceRanges(distance_m=(0.4, 2.2), yaw_deg=40.0, pitch_deg=25.0, roll_deg=25.0, gaze_deg=25.0)
"""Somewhat wider than what is promised, so that nothing promised lies at the edge."""

MARK_ROUNDS, LOOK_ROUNDS = 24, 60
"""How often the networks see every eye."""
POSE_SIZE = Size(components=80, crossed=8)
GAZE_SIZE = Size(components=80, crossed=6)


@dataclass(frozen=True)
class Task:
    """What is to be read from what.

    Attributes
    ----------
    inputs, contexts, targets
        Shapes (n, d), (n, 4), (n, m).
    groups
        Person of each sample, shape (n,): folds never divide a person.
    weights
        Of each sample and output, shape (n, m).
    """

    inputs: Array
    contexts: Array
    targets: Array
    groups: NDArray[np.int64]
    weights: Array

    def where(self, mask: NDArray[np.bool_]) -> Task:
        """Return the samples for which `mask` is True."""
        return Task(*(getattr(self, name)[mask] for name in self.__dataclass_fields__))


@dataclass(frozen=True)
class _Basis:
    """A read-out without weights, and the features of the samples that it was made for."""

    blank: Readout
    features: Array
    near: float


def _basis(task: Task, size: Size) -> _Basis:
    mean = task.inputs.mean(axis=0)
    _, spread, directions = np.linalg.svd(task.inputs - mean, full_matrices=False)
    kept = slice(0, size.components)
    blank = Readout(
        mean=mean,
        basis=directions[kept] / (spread[kept, None] / np.sqrt(len(task.inputs))),
        context_mean=task.contexts.mean(axis=0),
        context_scale=task.contexts.std(axis=0),
        crossed=size.crossed,
        weights=np.zeros((0, 0)),
        limits=np.abs(task.targets).max(axis=0),
        near=1.0,
        far=2.0,
    )
    components = blank.components(task.inputs)
    near = float(np.percentile(np.square(components).mean(axis=1), 99))
    return _Basis(blank, blank.features(components, task.contexts), near)


def _weighted(basis: _Basis, task: Task, ridge: Array) -> Readout:
    """Return the read-out with the least squared error, shrunk by `ridge` for each output, shape (m,)."""
    features = basis.features
    weights = np.empty((features.shape[1], task.targets.shape[1]))
    # The constant, which comes first, is not shrunk.
    shrink = np.ones(features.shape[1])
    shrink[0] = 0.0
    for i, strength in enumerate(ridge):
        w = task.weights[:, i : i + 1]
        gram = features.T @ (w * features) + np.diag(shrink * strength * w.sum())
        weights[:, i] = np.linalg.solve(gram, features.T @ (w[:, 0] * task.targets[:, i]))
    return replace(basis.blank, weights=weights, near=basis.near, far=3.0 * basis.near)


def fit_readout(task: Task, size: Size, ridge: Array) -> Readout:
    """Return the read-out with the least squared error, shrunk by `ridge` for each output, shape (m,)."""
    return _weighted(_basis(task, size), task, ridge)


def folds_of(groups: NDArray[np.int64], count: int = FOLDS) -> NDArray[np.int64]:
    """Return the fold of each sample, shape (n,): all of a person are in one."""
    people = np.unique(groups)
    return np.asarray(np.searchsorted(people, groups) % count)


def out_of_fold(task: Task, size: Size, *ridges: Array) -> Array:
    """Return what read-outs fitted without a sample's person say of it, shape (len(ridges), n, m)."""
    fold, found = folds_of(task.groups), np.empty((len(ridges), *task.targets.shape))
    for k in range(FOLDS):
        part, rest = task.where(fold != k), fold == k
        basis = _basis(part, size)
        for i, ridge in enumerate(ridges):
            found[i, rest] = _weighted(basis, part, ridge)(task.inputs[rest], task.contexts[rest])[0]
    return found


def best_ridge(task: Task, size: Size) -> tuple[Array, Array]:
    """Return the shrinkage with the least error on people not seen, for each output, and what it says of them.

    Returns
    -------
    Shapes (m,) and (n, m).
    """
    outputs = task.targets.shape[1]
    found = out_of_fold(task, size, *(np.full(outputs, strength) for strength in RIDGES))
    best = np.argmin((task.weights * np.square(found - task.targets)).mean(axis=1), axis=0)
    return np.array(RIDGES)[best], np.stack([found[b, :, i] for i, b in enumerate(best)], axis=1)


def geometric_poses(samples: FaceSamples) -> Array:
    """Return the head poses before any correction, shape (n, 4, 4); all faces must have been found."""
    return np.array(
        [
            geometric_pose(face.landmarks, rotation, (center[0], center[1]), samples.camera)
            for face, rotation, center in zip(samples.faces, samples.rotation, samples.center, strict=True)
            if face is not None
        ]
    )


def vectors_from_rotations(rotations: Array) -> Array:
    """Return rotation vectors (n, 3), rad, of rotations (n, 3, 3) by less than 180 degrees."""
    trace = np.trace(rotations, axis1=1, axis2=2)
    angle = np.arccos(np.clip((trace - 1.0) / 2.0, -1.0, 1.0))
    skew = rotations - np.swapaxes(rotations, 1, 2)
    axis = np.stack([skew[:, 2, 1], skew[:, 0, 2], skew[:, 1, 0]], axis=1)
    scale = np.where(angle < 1e-6, 0.5, angle / np.maximum(2.0 * np.sin(angle), 1e-12))
    return np.asarray(axis * scale[:, None])


def pose_task(samples: FaceSamples, measured: Array) -> Task:
    """Return the task of correcting measured poses (n, 4, 4) to the true ones."""
    inputs, contexts = PoseFit.inputs(samples.landmarks, measured)
    turn = np.swapaxes(measured[:, :3, :3], 1, 2) @ samples.pose[:, :3, :3]
    factor = np.linalg.norm(samples.pose[:, :3, 3], axis=1) / np.linalg.norm(measured[:, :3, 3], axis=1)
    targets = np.column_stack([vectors_from_rotations(turn), np.log(factor)])
    return Task(inputs, contexts, targets, samples.person, np.ones_like(targets))


def corrected(measured: Array, corrections: Array) -> Array:
    """Return poses (n, 4, 4) with corrections (n, 4) applied."""
    found = measured.copy()
    for i, correction in enumerate(corrections):
        found[i, :3, :3] = measured[i, :3, :3] @ rotation_from_vector(correction[:3])
        found[i, :3, 3] *= np.exp(correction[3])
    return found


def gaze_task(samples: FaceSamples, poses: Array) -> Task:
    """Return the task of reading gaze and lids of faces with given poses (n, 4, 4)."""
    inputs, contexts = GazeFit.inputs(samples.landmarks, samples.blendshapes, poses)
    in_head = np.einsum("nji,nj->ni", poses[:, :3, :3], samples.gaze)
    yaw = np.arctan2(in_head[:, 1], in_head[:, 0])
    pitch = np.arcsin(np.clip(-in_head[:, 2], -1.0, 1.0))
    closed = samples.shapes[:, [INDEX["eyeBlinkLeft"], INDEX["eyeBlinkRight"]]]
    targets = np.column_stack([yaw, pitch, closed])
    weights = np.ones_like(targets)
    # Eyes that are nearly shut show no iris to learn from.
    weights[:, :2] = np.clip(1.5 - 2.0 * closed.mean(axis=1), 0.01, 1.0)[:, None]
    return Task(inputs, contexts, targets, samples.person, weights)


def eye_origin(samples: FaceSamples) -> Array:
    """Return the mean place of the middle between the eyeballs in the head frame, m, shape (3,)."""
    offset = samples.gaze_origin - samples.pose[:, :3, 3]
    return np.asarray(np.einsum("nji,nj->ni", samples.pose[:, :3, :3], offset).mean(axis=0))


@dataclass(frozen=True)
class Fit:
    """A read-out fitted on all samples, and what one of its kind says of people whom it has not seen."""

    readout: Readout
    unseen: Array
    ridge: Array


def fitted(task: Task, size: Size) -> Fit:
    """Fit one task."""
    ridge, unseen = best_ridge(task, size)
    return Fit(fit_readout(task, size, ridge), unseen, ridge)


def pose_errors(task: Task, found: Array) -> dict[str, float]:
    """Return mean errors of corrections (n, 4): degrees about each axis of the head, and % of the distance."""
    errors = np.abs(found - task.targets)
    degrees = np.degrees(errors[:, :3]).mean(axis=0)
    # About the head's x, y and z axis: for a small error these are roll, pitch and yaw.
    return {
        "yaw_deg": float(degrees[2]),
        "pitch_deg": float(degrees[1]),
        "roll_deg": float(degrees[0]),
        "distance_percent": float(100.0 * np.expm1(errors[:, 3]).mean()),
    }


def gaze_errors(task: Task, found: Array) -> dict[str, float]:
    """Return mean errors of eyes read (n, 4): degrees between directions (open eyes alone), and closure."""
    open_ = task.targets[:, 2:].mean(axis=1) < 0.3
    said, true = (_directions(angles[open_, :2]) for angles in (found, task.targets))
    cross = np.linalg.norm(np.cross(said, true), axis=1)
    angle = np.arctan2(cross, (said * true).sum(axis=1))
    closed = np.abs(np.clip(found[:, 2:], 0.0, 1.0) - task.targets[:, 2:])
    return {"gaze_deg": float(np.degrees(angle).mean()), "closure": float(closed.mean())}


def _directions(angles: Array) -> Array:
    yaw, pitch = angles.T
    return np.column_stack([np.cos(yaw) * np.cos(pitch), np.sin(yaw) * np.cos(pitch), -np.sin(pitch)])


def document(readout: Readout, made: dict[str, Any], **more: Any) -> str:
    """Return a read-out as JSON with 4 significant digits (the basis 3), one row of numbers a line."""
    values: dict[str, Any] = {"made": made}
    for name in Readout.__dataclass_fields__:
        value = getattr(readout, name)
        values[name] = (
            _rounded(value, 3 if name == "basis" else 4) if isinstance(value, np.ndarray) else value
        )
    return as_json(values | more)


def as_json(values: dict[str, Any]) -> str:
    """Return a JSON object with one row of numbers a line."""
    lines = []
    for name, value in values.items():
        if isinstance(value, list) and value and isinstance(value[0], list):
            text = "[\n" + ",\n".join(json.dumps(row) for row in value) + "\n]"
        else:
            text = json.dumps(value)
        lines.append(f"{json.dumps(name)}: {text}")
    return "{\n" + ",\n".join(lines) + "\n}\n"


def _rounded(values: Array, digits: int = 4) -> Any:
    if values.ndim > 1:
        return [_rounded(row, digits) for row in values]
    return [float(f"{value:.{digits}g}") for value in values]


def main(arguments: Sequence[str] | None = None) -> int:
    """Render, fit, write; return the exit status."""
    parser = argparse.ArgumentParser(prog="python -m fabg.evaluation.fit_face", description=__doc__)
    parser.add_argument("--out", type=Path, required=True, help="folder for the JSON files")
    parser.add_argument("--people", type=int, default=800, help="how many; their seeds begin at 0")
    parser.add_argument("--pictures", type=int, default=8, help="of each person")
    parser.add_argument("--seed", type=int, default=1, help="of everything else, below 1000")
    given = parser.parse_args(arguments)
    if not (FOLDS <= given.people <= FIRST_REPORT_SEED and 0 <= given.seed < FIRST_REPORT_SEED):
        parser.error(f"people: {FOLDS} to {FIRST_REPORT_SEED}, seed: 0 to {FIRST_REPORT_SEED - 1}")
    begin = time.monotonic()

    def progress(done: int, total: int) -> None:
        if done % 50 == 0 or done == total:
            print(f"\r{done} of {total} pictures, {time.monotonic() - begin:.0f} s", end="", file=sys.stderr)

    try:
        samples = sample_faces(
            range(given.people),
            given.pictures,
            seed=given.seed,
            ranges=RANGES,
            irises=False,
            progress=progress,
        ).found()
    except UsageError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    print(file=sys.stderr)
    made = {
        "command": f"python -m fabg.evaluation.fit_face --people {given.people} --pictures {given.pictures} "
        f"--seed {given.seed}",
        "people": [0, given.people - 1],
        "seed": given.seed,
        "samples": len(samples),
        "ranges": asdict(RANGES),
    }
    write(samples, made, given.out)
    return 0


def write(
    samples: FaceSamples,
    made: dict[str, Any],
    out: Path,
    *,
    marks: int = MARK_ROUNDS,
    looks: int = LOOK_ROUNDS,
) -> None:
    """Fit everything on samples with faces and irises as the landmarker puts them; write it to a folder."""
    out.mkdir(parents=True, exist_ok=True)
    others = folds_of(samples.person) == 0
    learning, held = eyes_of(samples.where(~others)), eyes_of(samples.where(others))
    note = made | {"learnt_from": "four fifths of the people"}
    mark = train_marks(learning, marks, made["seed"], print)
    errors = {"iris_percent_of_eye_width": mark_error(mark, held)}
    print("irises:", errors)
    note |= {"rounds": marks, "error_on_other_people": errors}
    (out / "iris.json").write_text(as_json({"made": note} | as_document(mark.weights)))
    look = train_looks(learning, looks, made["seed"], print)
    errors = {"single_eye_deg": look_error(look, held)}
    print("looks:", errors)
    note |= {"rounds": looks, "error_on_other_people": errors}
    (out / "look.json").write_text(as_json({"made": note} | as_document(look.weights)))
    write_readouts(with_irises(samples, mark, look), made, out)


def write_readouts(samples: FaceSamples, made: dict[str, Any], out: Path) -> None:
    """Fit both read-outs on samples with faces and write them to a folder."""
    measured = geometric_poses(samples)
    task = pose_task(samples, measured)
    head = fitted(task, POSE_SIZE)
    errors = pose_errors(task, head.unseen)
    print("head pose:", pose_errors(task, np.zeros_like(head.unseen)), "->", errors)
    # The eyes are read with the head poses that new people will have.
    eyes_task = gaze_task(samples, corrected(measured, head.unseen))
    eyes = fitted(eyes_task, GAZE_SIZE)
    eye_errors = gaze_errors(eyes_task, eyes.unseen)
    print("eyes:", eye_errors)
    (out / "pose.json").write_text(
        document(head.readout, made | {"ridge": head.ridge.tolist(), "error_on_other_people": errors})
    )
    (out / "gaze.json").write_text(
        document(
            eyes.readout,
            made | {"ridge": eyes.ridge.tolist(), "error_on_other_people": eye_errors},
            origin_m=_rounded(eye_origin(samples)),
        )
    )


if __name__ == "__main__":
    sys.exit(main())
