# /// script
# requires-python = ">=3.11,<3.13"
# dependencies = ["focus-validator==1.0.0", "multimethod<2", "pandas<3"]
# ///
"""The FinOps Foundation's validator reports where a CSV file breaks FOCUS 1.0. `finops_validator.py FILE`

It prints a line of JSON: the number of rules that the file passes, and each rule that it breaks with its first value.
Version 1.0 is the newest that the validator knows. Some of its rules have other names for columns than the
specification has, so these columns are renamed for it.
"""

import csv
import json
import os
import sys
import tempfile
from pathlib import Path

import focus_validator
from focus_validator.validator import Validator

NAMES = {
    "InvoiceIssuerName": "InvoiceIssuer",
    "ProviderName": "Provider",
    "PublisherName": "Publisher",
    "ResourceId": "ResourceID",
}
# the rule that a usage has a SkuPriceId reads the column by its name in FOCUS 0.5
COPIED = {"ChargeCategory": "ChargeType"}


def for_validator(source: Path, copy: Path) -> None:
    """Writes a copy of the file with the validator's names of columns."""
    with source.open(newline="") as file, copy.open("w", newline="") as renamed:
        writer = csv.writer(renamed)
        names, *rows = csv.reader(file)
        places = [names.index(name) for name in COPIED if name in names]
        writer.writerow([*(NAMES.get(name, name) for name in names), *(COPIED[names[place]] for place in places)])
        writer.writerows([*row, *(row[place] for place in places)] for row in rows)


def main(file: Path) -> None:
    with tempfile.TemporaryDirectory() as folder:
        for_validator(file, copy := Path(folder).resolve() / "focus.csv")
        # the validator opens its list of currencies by a relative path
        os.chdir(Path(focus_validator.__file__).parent.parent)
        validator = Validator(str(copy), output_destination=None, output_type="console", rules_version="1.0")
        validator.load()
        result = validator.spec_rules.validate(validator.focus_data)
    statuses = [check.status.value for check in result.checklist.values()]
    broken = {}
    if result.failure_cases is not None:
        for case in result.failure_cases.to_dict("records"):
            broken.setdefault(case["Check Name"], str(case["Values"]))
    # a rule that could not be checked has no failure case
    assert statuses.count("failed") == len(broken) and set(statuses) <= {"passed", "failed"}, statuses
    print(json.dumps({"passed": statuses.count("passed"), "broken": broken}))


if __name__ == "__main__":
    main(Path(sys.argv[1]).resolve())
