"""Write requirements/constraints.txt from the environment that runs this script.

Run it in an environment made by ``tools/setup_env.py --with test --with train`` in which the tests pass. torch is
left out: its builds have names of their own, and ``train.txt`` pins it.
"""

from __future__ import annotations

import importlib.metadata
import re
import sys
from pathlib import Path

TARGET = Path(__file__).resolve().parents[1] / "requirements" / "constraints.txt"
HEADER = "# Every package of a tested environment. Written by tools/freeze_constraints.py.\n"


def pinned() -> list[str]:
    """Return ``name==version`` for each package that pip installed from an index."""
    pins = set()
    for distribution in importlib.metadata.distributions():
        name = re.sub(r"[-_.]+", "-", distribution.metadata["Name"]).lower()
        from_index = not distribution.read_text("direct_url.json")
        # The ROS wheels bring metadata of their own parts along; only what pip installed has this file.
        by_pip = (distribution.read_text("INSTALLER") or "").strip() == "pip"
        if by_pip and from_index and name not in ("pip", "torch") and not name.startswith("fabg"):
            pins.add(f"{name}=={distribution.version}")
    return sorted(pins)


if __name__ == "__main__":
    if sys.prefix == sys.base_prefix:
        sys.exit("run this with the Python of a virtual environment: .venv/bin/python")
    TARGET.write_text(HEADER + "\n".join(pinned()) + "\n")
    print(TARGET)
