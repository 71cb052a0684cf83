"""What all tests of an installed machine have."""
import time

import pytest

from steps import run


@pytest.fixture(autouse=True)
def journal():
    """Shown beside a test that fails."""
    began = int(time.time())
    yield
    print(run("journalctl", "--no-pager", "--since", f"@{began}"))
