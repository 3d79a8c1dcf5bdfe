"""What the guide lists is what there is."""

import re
from pathlib import Path

from orchestrator.domain.settling import FailureCode

GUIDE = Path(__file__).parents[2] / "docs" / "guide.md"


def test_the_guide_tells_of_every_code_that_a_job_can_fail_with() -> None:
    section = GUIDE.read_text("utf-8").partition("## When a job fails")[2].partition("\n## ")[0]
    assert re.findall(r"^\| `([a-z_]+)` \|", section, re.MULTILINE) == [code.value for code in FailureCode]
