"""Fixtures: those of the integration tests, and npm's packages, which are in BUILD_DIR/interop and
never in the source tree (contrib/check puts them and other peers there)."""
import importlib.util
import os
import pathlib
import sys

import pytest

INTEGRATION = pathlib.Path(__file__).resolve().parents[1] / "integration"
sys.path.insert(0, str(INTEGRATION))

_spec = importlib.util.spec_from_file_location("integration_conftest", INTEGRATION / "conftest.py")
_module = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(_module)
globals().update({name: value for name, value in vars(_module).items() if name[:2] != "__"})

from stack import BUILD_DIR  # noqa: E402


def pytest_configure(config):
    config.addinivalue_line("markers", "long: meets what takes minutes to build")


@pytest.fixture(scope="session")
def node():
    """The environment in which a script of this folder finds its packages, with require()."""
    modules = BUILD_DIR / "interop" / "node_modules"
    if not modules.is_dir():
        pytest.fail(f"{modules} is missing: copy tests/interop/package*.json there and run npm ci")
    return {"PATH": os.environ["PATH"], "NODE_PATH": str(modules)}
