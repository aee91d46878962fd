#!/usr/bin/env python3
"""Make `.venv` and everything in it. Run by `make setup`; needs nothing but Python.

usage: setup_env.py [--with test] [--with train]

This file is readable by any Python from 3.6, so that an old one can say what is needed.
"""

import os
import shutil
import sys

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
OLDEST = (3, 11)
NEWEST = (3, 13)


def find_python():
    """Return the command of a Python that is new enough, or None."""
    for minor in range(NEWEST[1], OLDEST[1] - 1, -1):
        found = shutil.which(f"python3.{minor}")
        if found:
            return found
    return None


def ensure_python():
    """Go on in another Python when this one does not fit."""
    if OLDEST <= sys.version_info[:2] <= NEWEST:
        return
    found = find_python()
    have = f"{sys.version_info[0]}.{sys.version_info[1]}"
    if found is None or os.environ.get("FABG_SETUP_PYTHON"):
        sys.exit(
            f"setup: Python 3.{OLDEST[1]} to 3.{NEWEST[1]} is needed, and this is {have}. Install one "
            "of them (Debian, Ubuntu: apt-get install python3.12 python3.12-venv python3.12-dev) "
            "and run: make setup PYTHON=python3.12"
        )
    os.environ["FABG_SETUP_PYTHON"] = found
    os.execv(found, [found, os.path.abspath(__file__), *sys.argv[1:]])


def main():
    """Parse the command line and run the setup; return the exit status."""
    import argparse
    from pathlib import Path

    sys.path.insert(0, os.path.join(ROOT, "src"))
    sys.dont_write_bytecode = True
    from fabg.errors import FabgError
    from fabg.setup.environment import EXTRAS, Setup
    from fabg.setup.progress import Progress

    parser = argparse.ArgumentParser(description="Make .venv and everything in it.")
    parser.add_argument("--with", dest="extras", action="append", default=[], choices=EXTRAS)
    arguments = parser.parse_args()
    try:
        with Progress() as progress:
            Setup(Path(ROOT), arguments.extras, progress).run()
    except FabgError as error:
        print(f"setup: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\nsetup: interrupted; the same command goes on from here", file=sys.stderr)
        return 130
    return 0


if __name__ == "__main__":
    ensure_python()
    sys.exit(main())
