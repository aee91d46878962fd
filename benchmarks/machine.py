"""What machine a figure was measured on."""

from __future__ import annotations

import argparse
import json
import os
import platform
from pathlib import Path
from typing import Any


def parse(doc: str | None, seconds: float = 60.0) -> argparse.Namespace:
    """Return the arguments that all benchmarks take: `seconds` and `json`."""
    parser = argparse.ArgumentParser(description=doc, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=seconds, help="how long to measure")
    parser.add_argument("--json", type=Path, default=None, help="file for the result")
    return parser.parse_args()


def describe() -> dict[str, Any]:
    """Return processor, cores, memory and versions."""
    cpu = next(
        (line.split(":", 1)[1].strip() for line in _lines("/proc/cpuinfo") if line.startswith("model name")),
        platform.processor(),
    )
    kib = next((int(line.split()[1]) for line in _lines("/proc/meminfo") if line.startswith("MemTotal")), 0)
    return {
        "cpu": cpu,
        "cores": len(os.sched_getaffinity(0)),
        "memory_gib": round(kib / 2**20, 1),
        "system": platform.platform(),
        "python": platform.python_version(),
        "load_1min_before": round(os.getloadavg()[0], 2),
    }


def resident_mib(pid: int) -> float:
    """Return the resident memory of a process, MiB; 0 when it is gone."""
    for line in _lines(f"/proc/{pid}/status"):
        if line.startswith("VmRSS"):
            return int(line.split()[1]) / 1024
    return 0.0


def save(result: dict[str, Any], path: Path | None) -> None:
    """Write a result as JSON, and print it."""
    text = json.dumps(result, indent=2)
    print(text)
    if path is not None:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text + "\n")


def _lines(path: str) -> list[str]:
    try:
        return Path(path).read_text().splitlines()
    except OSError:
        return []
