"""The report of a run: one page that opens from disk, with video, numbers and plots inside."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from fabg import page
from fabg.perceive.summary import told

_GAP = '<p style="margin: 12px 0"></p>'


def write_report(
    summary: Mapping[str, Any], folder: Path, *, plots: Sequence[tuple[str, Path]], video: Path | None
) -> Path:
    """Write ``report.html`` into `folder`; return its path.

    Parameters
    ----------
    summary
        As in ``summary.json``.
    plots
        Title and PNG file of each plot, the overview first.
    video
        The annotated video in `folder`, if there is one.
    """
    people = summary["people"]
    width, height = summary["image_size"]
    body = [
        page.warnings(summary["warnings"]),
        page.video(video) if video is not None else "",
        f'<section class="tiles">{"".join(_tiles(summary))}</section>',
        "<h2>People</h2>",
        '<p class="soft">Shares are of the time in which the person was seen; ± is the standard deviation over time, '
        "not an error.</p>",
        page.table(
            ("id", "seen, s", "images", "distance, m", "head yaw", "head pitch", "blinks/min"),
            map(_person, people),
            empty="no face was seen",
        ),
    ]
    if any("looks_at" in person for person in people):
        body += [
            _GAP,
            page.table(
                ("id", "looks at", "engagement"),
                [_attention(person) for person in people if "looks_at" in person],
            ),
        ]
    if any("emotion" in person for person in people):
        body += [
            _GAP,
            page.table(
                ("id", "emotion", "smile", "surprise", "valence", "arousal"),
                [_affect(person) for person in people if "emotion" in person],
            ),
        ]
    if hands := list(_hands(summary)):
        body += [
            "<h2>Hands</h2>",
            page.table(("hand", "of", "side", "images", "held out", "distance, m", "gestures"), hands),
        ]
    body.append("<h2>Over time</h2>")
    for title, path in plots:
        source = page.embedded(path.read_bytes(), "image/png")
        body.append(
            '<div class="card picture" style="margin-top: 14px">'
            f'<img alt="{page.escape(title)}" src="{source}"></div>'
        )
    body += [
        "<h2>Where the time goes</h2>",
        page.table(
            ("stage", "p50, ms", "p95, ms"),
            [(name, f"{ms['p50']:.1f}", f"{ms['p95']:.1f}") for name, ms in summary["stages_ms"].items()],
        ),
    ]
    whole = page.page(
        title=_title(people),
        subtitle=f"{summary['input']} · {summary['duration_s']:.1f} s · {width} × {height} px at "
        f"{summary['fps_input']:g} fps · {summary['finished'][:16].replace('T', ' ')}",
        body="\n".join(body),
        footer=page.made_with(summary)
        + "<p>every measurement: faces.parquet, hands.parquet, images.parquet · these figures: summary.json</p>",
    )
    path = folder / "report.html"
    path.write_text(whole, encoding="utf-8")
    return path


def _title(people: Sequence[Mapping[str, Any]]) -> str:
    if not people:
        return "Nobody was seen"
    return "One person was seen" if len(people) == 1 else f"{len(people)} people were seen"


def _tiles(summary: Mapping[str, Any]) -> Iterable[str]:
    images, people = summary["images"], summary["people"]
    worked = images["worked"]
    yield page.tile(str(worked), "images", f"in {summary['duration_s']:.1f} s")
    yield page.tile(f"{summary['speed_fps']:.0f}", "fps", "worked through, drawing included")
    yield page.tile(f"{100 * images['with_face'] / worked:.0f}", "%", "of the images show a face")
    if "hands" in summary["settings"]["stages"]:
        yield page.tile(f"{100 * images['with_hand'] / worked:.0f}", "%", "of the images show a hand")
    if people and "looks_at" in people[0]:
        longest = max(people, key=lambda person: int(person["images"]))
        yield page.tile(
            f"{100 * longest['looks_at'].get('robot', 0.0):.0f}",
            "%",
            f"of the time {longest['id']} looks at the robot",
        )


def _person(person: Mapping[str, Any]) -> Sequence[str]:
    return (
        person["id"],
        f"{person['first_s']:.1f} to {person['last_s']:.1f}",
        str(person["images"]),
        _spread(person.get("distance_m"), 2),
        _spread(person.get("head_yaw_deg"), 0, "°"),
        _spread(person.get("head_pitch_deg"), 0, "°"),
        f"{person['blinks']['per_minute']:.0f}" if "blinks" in person else "-",
    )


def _attention(person: Mapping[str, Any]) -> Sequence[str]:
    return person["id"], told(person["looks_at"]), told(person["engagement"], 4)


def _affect(person: Mapping[str, Any]) -> Sequence[str]:
    return (
        person["id"],
        told(person["emotion"], 4),
        *(_spread(person.get(name), 2) for name in ("smile", "surprise", "valence", "arousal")),
    )


def _hands(summary: Mapping[str, Any]) -> Iterable[Sequence[str]]:
    owned = [(hand, person["id"]) for person in summary["people"] for hand in person["hands"]]
    for hand, owner in [*owned, *((hand, "-") for hand in summary["hands_of_nobody"])]:
        gestures = ", ".join(
            f"{name.replace('_', ' ')} {entry['times']} × ({entry['seconds']:.1f} s)"
            for name, entry in hand["gestures"].items()
        )
        yield (
            hand["id"],
            owner,
            hand["side"],
            str(hand["images"]),
            f"{100 * hand['extended']:.0f} %",
            _spread(hand["distance_m"], 2),
            gestures or "none",
        )


def _spread(entry: Mapping[str, float] | None, digits: int, unit: str = "") -> str:
    if entry is None:
        return "-"
    return f"{entry['mean']:.{digits}f}{unit} ± {entry['sd']:.{digits}f}"
