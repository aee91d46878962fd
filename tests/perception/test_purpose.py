"""The gate: which purposes pass, and what is said when one does not."""

from __future__ import annotations

import pytest

from fabg.errors import ConfigError, UsageError
from fabg.perception.emotion import EmotionConfig
from fabg.perception.purpose import PROHIBITED, Grounds, Permit, Purpose, permit


@pytest.mark.parametrize("purpose", sorted(set(Purpose) - PROHIBITED))
def test_purposes_that_are_not_prohibited_pass(purpose):
    assert permit(purpose) == Permit(purpose, None)
    assert EmotionConfig(purpose=purpose).permit == Permit(purpose)


@pytest.mark.parametrize("purpose", ["workplace", "education"])
def test_work_and_education_are_refused_with_the_reason(purpose):
    for make in (permit, lambda p: EmotionConfig(purpose=p)):
        with pytest.raises(UsageError) as caught:
            make(purpose)
        text = str(caught.value)
        assert repr(purpose) in text and "Article 5(1)(f)" in text and "2024/1689" in text
        assert "medical, safety" in text  # the remedy


@pytest.mark.parametrize("purpose", ["workplace", "education"])
@pytest.mark.parametrize("grounds", ["medical", "safety"])
def test_medical_and_safety_grounds_lift_the_prohibition(purpose, grounds):
    given = permit(purpose, grounds)
    assert given == Permit(Purpose(purpose), Grounds(grounds))
    assert str(given) == f"{purpose} on {grounds} grounds"


@pytest.mark.parametrize("grounds", ["Medical", "consent", "research", " "])
def test_other_grounds_lift_nothing(grounds):
    with pytest.raises(ConfigError, match="grounds is"):
        permit("workplace", grounds)


def test_no_purpose_is_refused_with_the_list_of_purposes():
    for make in (lambda: permit(""), EmotionConfig):
        with pytest.raises(ConfigError, match="purpose is empty") as caught:
            make()
        assert all(purpose.value in str(caught.value) for purpose in Purpose)


@pytest.mark.parametrize("purpose", ["Research", "work", "research ", "none"])
def test_an_unknown_purpose_is_quoted(purpose):
    with pytest.raises(ConfigError, match=repr(purpose)):
        permit(purpose)
