"""Which claims do the decisive sweeps decide? Reads those that are finished, and updates the page.

    ikit sweep examples/studies/decisive/*.toml --data tiny33 --scale 0.5 --out sweeps
    python docs/studies/make_decisions.py sweeps

The numbers that the tables are computed from are kept in docs/studies/numbers/.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from studies_claims import CLAIMS
from studies_decided import with_decisions
from studies_measured import measured, minutes
from studies_paired import paired_sample
from studies_power import DECISIVE_ROUND, FIRST_ROUND, Sample, read_samples, write_samples

from interpret_kit.results.load import load_result

HOME = Path(__file__).parent


def main() -> None:
    """Judge the claims, and write what was decided into the page."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("sweeps", type=Path, help="folder of the sweeps")
    parser.add_argument("--out", type=Path, default=HOME, help="folder of the page")
    given = parser.parse_args()
    decisive = decisive_samples(given.sweeps)
    if not decisive:
        parser.error(
            f"{given.sweeps} has no finished sweep of examples/studies/decisive/: "
            f"ikit sweep examples/studies/decisive/*.toml --out {given.sweeps}"
        )
    write_samples(decisive, given.out / DECISIVE_ROUND)
    page = given.out / "README.md"
    first = read_samples(given.out / FIRST_ROUND)
    text = with_decisions(page.read_text(encoding="utf-8"), first, decisive)
    page.write_text(text, encoding="utf-8")


def decisive_samples(sweeps: Path) -> dict[str, Sample]:
    """Evaluate the trials of each decisive sweep that is finished, by the name of the study."""
    samples = {}
    for name in dict.fromkeys(each.study for each in CLAIMS):
        folder = sweeps / f"decide_{name}"
        if (folder / "manifest.json").is_file():
            table = load_result(folder)
            found = measured(table)
            accuracies = found.train.shares, found.val.shares
            samples[name] = paired_sample(table, folder, *accuracies, minutes(table))
    return samples


if __name__ == "__main__":
    main()
