"""What each way of execution makes of delays from 0 to 400 ms: constant, jittered, in bursts.

    python benchmarks/studies/sweep.py --json sweep.json --plot sweep.png

One model, the tasks affective and tracking. A constant delay is shared out over all stages; jitter (standard deviation
30 % of the mean) and bursts (a fifth of the images comes with twice the mean, in runs of five) are those of sensing.
"""

from __future__ import annotations

from common import Extent, Line, Panel, Row, cells, chosen, parser, played, plot, save, summary

from fabg.social.bench.latency import REPLAY

METHODS = ("offset:3", "ensemble", "adaptive", "adaptive_ensemble", "prefix", REPLAY)
TASKS = ("affective", "tracking")
METRICS = ("success", "gaze_lag_ms", "expression_lag_ms", "command_jerk")
LONGEST_MS = 400


def delays(step_ms: int) -> dict[str, dict[str, int]]:
    """Return the delays of each kind, and their means, ms: constant ones `step_ms` apart, others twice that."""
    steady, others = (range(first, LONGEST_MS + 1, first or step_ms) for first in (0, 2 * step_ms))
    return {
        "constant": {f"{ms}": ms for ms in steady},
        "jittered": {f"jitter:{ms},{0.3 * ms:g}": ms for ms in others},
        "bursty": {f"burst:{0.75 * ms:g},{2 * ms},0.05,0.2": ms for ms in others},
    }


def panels(result: list[Row]) -> list[Panel]:
    """Return each metric over the mean delay, kinds of delay beside each other."""
    found = []
    for metric, title, unit in (
        ("gaze_lag_ms", "Gaze behind the expert", "ms"),
        ("expression_lag_ms", "Face behind the expert", "ms"),
        ("success", "Answered", "%"),
        ("command_jerk", "Jerk of commands", "rad/s³"),
    ):
        for kind in dict.fromkeys(row["kind"] for row in result):
            lines = []
            for method in METHODS:
                rows = [row for row in result if row["kind"] == kind and row["method"] == method]
                lines.append(
                    Line(method, [row["mean_ms"] for row in rows], [row.get(metric) for row in rows])
                )
            found.append(
                Panel(
                    f"{title}, {kind}", "mean delay, ms", unit, lines, zero=unit == "ms", percent=unit == "%"
                )
            )
    return found


def main() -> None:
    """Play, tell."""
    made = parser(__doc__, policy=True)
    made.add_argument("--step", type=int, default=50, help="ms from one constant delay to the next")
    arguments = made.parse_args()
    extent = Extent.of(arguments)
    name, policy = chosen(arguments)
    kinds = delays(200 if arguments.quick else arguments.step)
    texts = [text for kind in kinds.values() for text in kind]
    which = cells(extent, tasks=TASKS, methods=METHODS, delays=texts)
    rows: list[Row] = played(f"sweep-{name}", policy, extent, which)
    known = {
        text: {"kind": kind, "mean_ms": ms} for kind, group in kinds.items() for text, ms in group.items()
    }
    result = summary(
        [{**row, **known[row["delay"]]} for row in rows], ("kind", "mean_ms", "delay", "method"), METRICS
    )
    save("sweep", arguments, extent, {"overall": result})
    plot(panels(result), arguments.plot)


if __name__ == "__main__":
    main()
