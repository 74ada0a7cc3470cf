"""The whole cutover of the bundled application, at full size."""

from pathlib import Path

import pytest

from playbook.config import load_application
from playbook.contracts import CheckContext
from playbook.phases import CutoverParameters, apply_phase, find_phase
from playbook.workspace import Workspace

pytestmark = [pytest.mark.long, pytest.mark.integration, pytest.mark.timeout(3600)]


def test_the_cutover_at_full_size(tmp_path: Path) -> None:
    application, phase = load_application(), find_phase("06_cutover")
    workspace = Workspace(tmp_path, application)
    apply_phase(phase, workspace)
    parameters = CutoverParameters(full=True)
    context = CheckContext(application, workspace.path, tmp_path, tmp_path / "work", parameters=parameters)
    failed = [result for result in (check(context) for check in phase.checks) if not result.ok]
    assert failed == []
