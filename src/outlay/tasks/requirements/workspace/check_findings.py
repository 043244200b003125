"""Says whether findings.json can be read and in what its form is wrong. It cannot say whether the findings are right."""

import json
import re
import sys
from pathlib import Path

HERE = Path(__file__).parent
KNOWN = {"glossary", *re.findall(r"\*\*(R-\d+)\*\*", "".join(p.read_text() for p in sorted((HERE / "spec").glob("*.md"))))}
KINDS = {"contradiction": 2, "gap": 1, "ambiguity": 1}


def wrong(number, finding):
    if not isinstance(finding, dict) or finding.get("kind") not in KINDS:
        return f"finding {number}: kind must be one of {', '.join(KINDS)}"
    named = finding.get("requirements")
    if not isinstance(named, list) or len(set(map(str, named))) != KINDS[finding["kind"]]:
        return f"finding {number}: a {finding['kind']} names {KINDS[finding['kind']]} of the requirements"
    unknown = [name for name in named if name not in KNOWN]
    if unknown:
        return f"finding {number}: no requirement {unknown[0]}"
    return None if finding.get("why") else f"finding {number}: say why"


def main():
    try:
        findings = json.loads((HERE / "findings.json").read_text())
    except (OSError, ValueError) as error:
        sys.exit(f"findings.json: {error}")
    if not isinstance(findings, list) or not 1 <= len(findings) <= 40:
        sys.exit("findings.json must be a list of 1 to 40 findings")
    found = [problem for number, finding in enumerate(findings) if (problem := wrong(number, finding))]
    print("\n".join(found) or f"{len(findings)} findings, well formed")
    sys.exit(bool(found))


main()
