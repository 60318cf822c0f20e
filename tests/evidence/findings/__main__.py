"""The command ``python -m tests.evidence.findings``: measure pages and write what they include."""

from __future__ import annotations

import argparse
import json

from tests.evidence.findings import COMMAND, FINDINGS, FOLDER, read, texts, write
from tests.helpers.provenance import about


def main() -> None:
    """Measure pages, or draw kept numbers again."""
    parser = argparse.ArgumentParser(COMMAND)
    parser.add_argument("pages", nargs="+", metavar="PAGE", choices=FINDINGS)
    parser.add_argument("--draw", action="store_true", help="draw the kept numbers again")
    given = parser.parse_args()
    where = about()  # as the code is now
    for page in given.pages:
        if not given.draw:
            kept = {"about": where, "found": FINDINGS[page].measure()}
            text = json.dumps(kept, indent=1, ensure_ascii=False)
            (FOLDER / f"{page}.json").write_text(text + "\n", encoding="utf-8")
        write(page, read(page))
        print(f"{page}: {', '.join(texts(page, read(page)))}", flush=True)


if __name__ == "__main__":
    main()
