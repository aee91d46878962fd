"""Who somebody is: proportions, colours, hair and clothes, drawn at random but the same for a seed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from fabg.errors import InputError
from fabg.social.avatar.body_asset import DETAILS, PEOPLES, SEXES

Colour = tuple[float, float, float]
"""Red, green, blue as a picture stores them (sRGB), 0..1."""

HairStyle = Literal["none", "cropped", "short", "full", "long"]
Neckline = Literal["crew", "scoop"]

FIRST_REPORT_SEED = 1000
"""People below this seed are for fitting, those from it on for reports."""

_AGE_YEARS = {"child": 11.0, "young": 25.0, "old": 78.0}
_SKIN: tuple[Colour, ...] = (
    (0.930, 0.775, 0.690), (0.860, 0.680, 0.565), (0.755, 0.560, 0.435), (0.610, 0.425, 0.315),
    (0.440, 0.290, 0.210), (0.300, 0.190, 0.140),
)  # fmt: skip
_IRIS: dict[str, Colour] = {
    "dark brown": (0.20, 0.115, 0.065), "brown": (0.33, 0.19, 0.10), "hazel": (0.42, 0.32, 0.17),
    "green": (0.36, 0.42, 0.28), "blue": (0.34, 0.49, 0.62), "grey": (0.45, 0.50, 0.53),
}  # fmt: skip
_HAIR: dict[str, Colour] = {
    "black": (0.075, 0.062, 0.058), "dark brown": (0.175, 0.120, 0.090), "brown": (0.290, 0.195, 0.130),
    "blond": (0.640, 0.500, 0.310), "red": (0.450, 0.215, 0.110), "grey": (0.560, 0.550, 0.540),
}  # fmt: skip
_SHIRTS: tuple[Colour, ...] = (
    (0.16, 0.24, 0.42), (0.55, 0.13, 0.14), (0.13, 0.36, 0.25), (0.86, 0.85, 0.82), (0.13, 0.13, 0.15),
    (0.80, 0.58, 0.16), (0.40, 0.22, 0.46), (0.22, 0.52, 0.60), (0.52, 0.50, 0.48), (0.78, 0.42, 0.36),
)  # fmt: skip
_SPREAD = {
    "eye-spacing": 0.20, "eye-opening": 0.25, "mouth-place": 0.25, "chin-prominent": 0.25,
    "head-height": 0.20, "forehead-height": 0.22, "head-triangular": 0.22,
}  # fmt: skip
_DETAIL_SPREAD = 0.33
_DETAIL_LIMIT = 0.85


@dataclass(frozen=True)
class Person:
    """One simulated person. Equal persons look the same; a person may be a dictionary's key.

    Attributes
    ----------
    name
        For people to read, and for messages.
    identity
        Weights of the body's identity shapes (`fabg.social.avatar.body_asset`).
    age_years, male
        What the proportions stand for: years, and 0 (female) to 1 (male).
    skin, lips, iris, hair, brows, shirt, trousers
        Colours.
    hair_style, neckline
        Cut of the hair and of the shirt.
    brow_raise_m, brow_fullness
        Where the resting brows are painted, and how strong they are (1 is average).
    iris_radius_m
        Half the iris' width; hardly varies between people.
    paint_seed
        Fixes freckles, strands and folds.
    """

    name: str
    identity: tuple[tuple[str, float], ...]
    age_years: float
    male: float
    skin: Colour
    lips: Colour
    iris: Colour
    hair: Colour
    brows: Colour
    shirt: Colour
    trousers: Colour
    hair_style: HairStyle
    neckline: Neckline
    brow_raise_m: float
    brow_fullness: float
    iris_radius_m: float
    paint_seed: int

    @classmethod
    def random(cls, seed: int) -> Person:
        """Return the person with this number; the same on every machine.

        About one in eight is a child, one in six is over 60.

        Parameters
        ----------
        seed
            0 to 999 are for fitting, `FIRST_REPORT_SEED` and above for reports: whoever tunes
            anything on the first and reports on the second has not seen those whom the report is about.

        Raises
        ------
        InputError
            For a negative seed or one that is no whole number.
        """
        if isinstance(seed, bool) or not isinstance(seed, int | np.integer) or seed < 0:
            raise InputError(f"seed is {seed!r}: expected a whole number from 0")
        return _drawn(int(seed))


def average_identity() -> dict[str, float]:
    """Return the identity weights of the average adult: young, of all peoples and both sexes."""
    return _identity({p: 1 / len(PEOPLES) for p in PEOPLES}, 0.5, {"young": 1.0}, 0.0)


def _drawn(seed: int) -> Person:
    rng = np.random.default_rng([seed, 0xFAB6])
    age = _age(rng)
    male = float(np.clip(rng.beta(0.7, 0.7), 0.05, 0.95))
    peoples = dict(zip(PEOPLES, (float(p) for p in rng.dirichlet([0.55] * 3)), strict=True))
    identity = _identity(peoples, male, _age_weights(age), float(np.clip(rng.normal(0, 0.45), -1, 1)))
    for name in DETAILS:
        spread = 0.16 if name.startswith("asymmetric") else _SPREAD.get(name, _DETAIL_SPREAD)
        amount = float(np.clip(rng.normal(0, spread), -_DETAIL_LIMIT, _DETAIL_LIMIT))
        identity[f"{name}{'+' if amount > 0 else '-'}"] = abs(amount)

    likely = 0.95 * peoples["african"] + 0.36 * peoples["asian"] + 0.12 * peoples["caucasian"]
    tone = float(np.clip(likely + rng.normal(0, 0.12), 0, 1))
    skin = _along(_SKIN, tone, rng, 0.015)
    red = np.array([0.80 - 0.10 * tone, 0.38 - 0.06 * tone, 0.37 - 0.05 * tone])
    lips = _colour(0.55 * np.array(skin) * [0.92, 0.62, 0.62] + 0.45 * red * (0.45 + 0.55 * np.mean(skin)))
    light_eyes = tone < 0.38 and rng.random() < 0.55
    iris = rng.choice(list(_IRIS)[2:]) if light_eyes else rng.choice(list(_IRIS)[:2])
    fair = peoples["caucasian"] > 0.45 and tone < 0.35
    shade = rng.choice(["black", "dark brown", "brown", "blond", "red"], p=_hair_chances(fair))
    grey = float(np.clip((age - 38) / 30 + rng.normal(0, 0.25), 0, 0.95)) if age > 35 else 0.0
    hair = _colour(np.array(_HAIR[shade]) * (1 - grey) + np.array(_HAIR["grey"]) * grey)
    brows = _colour(np.array(_HAIR[shade]) * 0.75 * (1 - 0.5 * grey) + np.array(_HAIR["grey"]) * 0.4 * grey)
    shirt = _SHIRTS[int(rng.integers(len(_SHIRTS)))]
    return Person(
        name=f"person {seed}",
        identity=tuple(sorted(identity.items())),
        age_years=age,
        male=male,
        skin=skin,
        lips=lips,
        iris=_colour(np.array(_IRIS[iris]) * rng.normal(1, 0.10, 3)),
        hair=hair,
        brows=brows,
        shirt=_colour(np.array(shirt) + rng.normal(0, 0.04, 3)),
        trousers=_colour(np.array([0.16, 0.17, 0.21]) * rng.uniform(0.6, 1.6)),
        hair_style=_style(rng, male, age),
        neckline="scoop" if rng.random() < 0.4 else "crew",
        brow_raise_m=float(np.clip(rng.normal(0, 0.0008), -0.0015, 0.0015)),
        brow_fullness=float(np.clip(rng.normal(0.85 + 0.3 * male, 0.15), 0.5, 1.5)),
        iris_radius_m=float(np.clip(rng.normal(0.00588, 0.00012), 0.0056, 0.0062)),
        paint_seed=int(rng.integers(2**31)),
    )


def _age(rng: np.random.Generator) -> float:
    kind = rng.random()
    if kind < 0.12:
        return float(rng.uniform(8, 15))
    if kind < 0.84:
        return float(rng.uniform(18, 60))
    return float(rng.uniform(60, 82))


def _age_weights(age: float) -> dict[str, float]:
    years = list(_AGE_YEARS.values())
    return {
        name: float(np.interp(age, years, np.eye(len(years))[index])) for index, name in enumerate(_AGE_YEARS)
    }


def _identity(
    peoples: dict[str, float], male: float, ages: dict[str, float], weight: float
) -> dict[str, float]:
    sexes = dict(zip(SEXES, (1 - male, male), strict=True))
    builds = {
        "minweight": max(-weight, 0.0),
        "averageweight": 1 - abs(weight),
        "maxweight": max(weight, 0.0),
    }
    found: dict[str, float] = {}
    for sex, s in sexes.items():
        for age, a in ages.items():
            found |= {f"{p}-{sex}-{age}": s * a * share for p, share in peoples.items()}
            found |= {f"{sex}-{age}-{build}": s * a * share for build, share in builds.items()}
    return {name: share for name, share in found.items() if share > 1e-4}


def _style(rng: np.random.Generator, male: float, age: float) -> HairStyle:
    if male > 0.5:
        bald = 0.04 if age < 40 else 0.18
        return _chosen(rng, {"none": bald, "cropped": 0.36, "short": 0.36, "full": 0.20, "long": 0.04})
    return _chosen(rng, {"cropped": 0.08, "short": 0.20, "full": 0.27, "long": 0.45})


def _chosen(rng: np.random.Generator, chances: dict[HairStyle, float]) -> HairStyle:
    limits = np.cumsum(list(chances.values()))
    return list(chances)[int(np.searchsorted(limits, rng.random() * limits[-1]))]


def _hair_chances(fair: bool) -> list[float]:
    return [0.08, 0.24, 0.34, 0.26, 0.08] if fair else [0.52, 0.36, 0.12, 0.0, 0.0]


def _along(stops: tuple[Colour, ...], place: float, rng: np.random.Generator, spread: float) -> Colour:
    grid = np.linspace(0, 1, len(stops))
    mixed = [np.interp(place, grid, channel) for channel in zip(*stops, strict=True)]
    return _colour(np.array(mixed) * (1 + rng.normal(0, spread, 3)))


def _colour(values: np.ndarray) -> Colour:
    red, green, blue = (float(v) for v in np.clip(values, 0.02, 0.97))
    return red, green, blue
