"""What emotions may be inferred for: a purpose that must be said, and some that are refused.

Article 5(1)(f) of Regulation (EU) 2024/1689 (the AI Act) prohibits inferring the emotions of people at
the workplace and in education institutions, except for medical or safety reasons. Whoever starts the
inference therefore says what it is for; docs/responsible-use.md tells what this gate covers.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from fabg.errors import ConfigError


class Purpose(StrEnum):
    """What emotions are inferred for. What counts is the people who are seen, not who runs it."""

    RESEARCH = "research"
    """A study whose participants have agreed to it."""
    DEMONSTRATION = "demonstration"
    """Showing the system to people who know that it reads their faces."""
    CARE = "care"
    """Support of patients, old or disabled people."""
    ENTERTAINMENT = "entertainment"
    """Games, theatre, art."""
    PERSONAL = "personal"
    """The user's own robot at home."""
    CUSTOMER_SERVICE = "customer_service"
    """Guests and customers. The staff who stand beside them are at their workplace."""
    WORKPLACE = "workplace"
    """People at work, and applicants for work."""
    EDUCATION = "education"
    """Pupils, students and trainees, in classes and in examinations."""


class Grounds(StrEnum):
    """Why emotions may be inferred even at work and in education."""

    MEDICAL = "medical"
    SAFETY = "safety"


PROHIBITED: frozenset[Purpose] = frozenset({Purpose.WORKPLACE, Purpose.EDUCATION})
"""Purposes that are refused without `Grounds`."""


@dataclass(frozen=True)
class Permit:
    """A purpose that has passed the gate, with its grounds where it needs them."""

    purpose: Purpose
    grounds: Grounds | None = None

    def __str__(self) -> str:
        return self.purpose.value + (f" on {self.grounds} grounds" if self.grounds else "")


def permit(purpose: str, grounds: str = "") -> Permit:
    """Return the permit to infer emotions for a purpose.

    Parameters
    ----------
    purpose
        A value of `Purpose`.
    grounds
        A value of `Grounds`, or empty; only `PROHIBITED` purposes need it.

    Raises
    ------
    ConfigError
        When no purpose is given, a word is unknown, or the purpose is prohibited; the message says why.
    """
    if not purpose:
        raise ConfigError(
            f"purpose is empty: say what emotions are inferred for, one of {_words(Purpose)} "
            "(action units and blendshapes need none; see docs/responsible-use.md)"
        )
    if purpose not in _values(Purpose):
        raise ConfigError(f"purpose is {purpose!r}: expected one of {_words(Purpose)}")
    if grounds and grounds not in _values(Grounds):
        raise ConfigError(f"grounds is {grounds!r}: expected one of {_words(Grounds)}, or nothing")
    if purpose in PROHIBITED and not grounds:
        raise ConfigError(
            f"purpose is {purpose!r}: refused, because Article 5(1)(f) of Regulation (EU) 2024/1689 (AI Act) "
            "prohibits inferring emotions at the workplace and in education except for medical or safety "
            f"reasons; if such a reason applies, set grounds to one of {_words(Grounds)}"
        )
    return Permit(Purpose(purpose), Grounds(grounds) if grounds else None)


def _values(kind: type[StrEnum]) -> list[str]:
    return [member.value for member in kind]


def _words(kind: type[StrEnum]) -> str:
    return ", ".join(_values(kind))
