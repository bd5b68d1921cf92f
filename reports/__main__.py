"""`python -m reports RUN_DIR`: write the report of a run folder and print where it is."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path


def main(arguments: Sequence[str] | None = None) -> int:
    """Command line; 0 when the report was written, 1 when it could not be stored, 2 for a bad folder."""
    parser = argparse.ArgumentParser(
        prog="python -m reports", description="Write the report of a run folder."
    )
    parser.add_argument("run_dir", type=Path, metavar="RUN_DIR", help="a run folder (docs/run-folder.md)")
    run_dir = parser.parse_args(arguments).run_dir

    from reports.load import NotARunFolder
    from reports.render import write_report

    try:
        page = write_report(run_dir)
    except NotARunFolder as error:
        print(f"reports: {error}", file=sys.stderr)
        return 2
    except OSError as error:
        print(f"reports: the report cannot be written: {error}", file=sys.stderr)
        return 1
    print(page)
    return 0


if __name__ == "__main__":
    sys.exit(main())
