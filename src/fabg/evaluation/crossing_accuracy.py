"""Whether people keep their ids while they cross."""

from __future__ import annotations

from collections.abc import Callable

from fabg.evaluation.crossing import evaluate_crossing
from fabg.evaluation.report import Section
from fabg.evaluation.rows import number_row


def crossing_section(seconds: float, seed: int, progress: Callable[[int, int], None]) -> Section:
    """Count id switches of three people who cross for `seconds`."""
    found = evaluate_crossing(
        seconds=seconds, seed=seed, progress=lambda share: progress(round(1000 * share), 1000)
    )
    return Section(
        "identity",
        "Identity",
        f"{found.people} rendered people walk past each other for {found.seconds:.0f} s, {found.fps:g} images "
        f"a second; a face was hidden by another one {found.crossings} times. Counted after CLEAR MOT "
        "(Bernardin and Stiefelhagen 2008).",
        (
            number_row("id switches", "", found.id_switches, found.crossings, target=0, at_least=False),
            number_row("ids given", "", found.ids, found.people, note="Ideally one a person."),
            number_row("faces missed", "share", found.missed / max(found.faces, 1), found.faces),
            number_row("MOTA", "", found.mota, found.faces),
        ),
        (),
        {"events": list(found.events), "fragmentations": found.fragmentations},
    )
