"""Draw the contact sheet of simulated people that the documentation shows.

python tools/people_sheet.py [docs/media/people.png]
"""

from __future__ import annotations

import sys
from pathlib import Path

from fabg.social.avatar.sheet import write_sheet

if __name__ == "__main__":
    default = Path(__file__).resolve().parents[1] / "docs" / "media" / "people.png"
    print(write_sheet(Path(sys.argv[1]) if len(sys.argv) > 1 else default))
