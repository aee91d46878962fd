"""Which parts of the recipe matter.

    python benchmarks/studies/ablations.py --json ablations.json --plot ablations.png

One change at a time, the same data and steps. Errors on held-out episodes are set beside the closed loop, because they
can disagree: a policy that sees its own joints predicts demonstrations better, and may then go on with what it does.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from common import (
    DELAYS,
    Extent,
    Line,
    Panel,
    Row,
    cells,
    demonstrations,
    parser,
    played,
    plot,
    save,
    summary,
    trained,
)

BASE = "base"
CHANGES: Mapping[str, Mapping[str, Any]] = {
    BASE: {},
    "transformer-alone": {"model.reflex": 0},
    "sees-itself-half": {"model.proprioception": 0.5},
    "sees-itself": {"model.proprioception": 1.0},
    "style": {"model.latent": 16},
    "no-prefix": {"samples.prefix": 0.0},
    "people-shuffled": {"samples.shuffle_people": True},
    "no-drops": {"samples.drop_moments": 0.0},
}
"""What is changed in each variant."""
VALIDATION = ("val_loss", "gaze_deg@100", "shape@100")


def panels(variants: list[Row], overall: list[Row]) -> list[Panel]:
    """Return the error on held-out episodes, success, lags and jerk of each variant."""
    names = [row["variant"] for row in variants]
    places = [float(k) for k in range(len(names))]
    ticks = dict(zip(places, names, strict=True))
    losses = [{"mean": row["val_loss"], "low": None, "high": None} for row in variants]
    found = [
        Panel(
            "Error on held-out episodes",
            "",
            "spreads",
            [Line("held out", places, losses)],
            ticks,
            joined=False,
        )
    ]
    for metric, title, unit in (
        ("success", "Answered", "%"),
        ("gaze_lag_ms", "Gaze behind the expert", "ms"),
        ("expression_lag_ms", "Face behind the expert", "ms"),
        ("response_vs_expert_ms", "Response behind the expert", "ms"),
        ("command_jerk", "Jerk of commands", "rad/s³"),
    ):
        lines = []
        for delay in DELAYS:
            at = {row["variant"]: row.get(metric) for row in overall if row["delay"] == delay}
            lines.append(Line(f"delay {delay} ms", places, [at.get(name) for name in names]))
        found.append(
            Panel(title, "", unit, lines, ticks, zero=unit == "ms", percent=unit == "%", joined=False)
        )
    return found


def main() -> None:
    """Train, play, tell."""
    made = parser(__doc__)
    made.add_argument("--variants", nargs="+", choices=list(CHANGES), help="some of them; all when left out")
    arguments = made.parse_args()
    extent = Extent.of(arguments)
    data = demonstrations(arguments)
    names = arguments.variants or list(CHANGES)[: 2 if arguments.quick else None]
    variants: list[Row] = []
    rows: list[Row] = []
    for variant in names:
        name = extent.named(variant)
        made = trained(name, data, extent.steps, CHANGES[variant])
        errors = {key: float(f"{made.measured[key]:.5g}") for key in VALIDATION if key in made.measured}
        variants.append({"variant": variant, "change": dict(CHANGES[variant]), **errors})
        rows += [{"variant": variant, **row} for row in played(name, made.model, extent, cells(extent))]
    overall = summary(rows, ("variant", "delay"))
    tasks = summary(rows, ("variant", "task", "delay"))
    save("ablations", arguments, extent, {"variants": variants, "overall": overall, "tasks": tasks})
    plot(panels(variants, overall), arguments.plot)


if __name__ == "__main__":
    main()
