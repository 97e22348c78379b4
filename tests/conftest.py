"""What every suite shares. Fixtures of one suite live in that suite's own conftest."""

import sys
from collections.abc import Callable
from contextlib import nullcontext

import pytest
from hypothesis import HealthCheck, settings

pytest_plugins = ["tests.postgres.fixtures", "tests.postgres.pairs", "tests.postgres.serving"]

# A shared machine is slow at times; a slow example is no failure, a wrong one is.
settings.register_profile(
    "default", deadline=None, suppress_health_check=[HealthCheck.too_slow], print_blob=True
)
settings.load_profile("default")


@pytest.fixture(scope="session")
def progress(pytestconfig: pytest.Config) -> Callable[[str], None]:
    """Says a line aloud, past the capture, for what takes longer than a reader waits."""
    capture = pytestconfig.pluginmanager.getplugin("capturemanager")

    def say(line: str) -> None:
        with capture.global_and_fixture_disabled() if capture else nullcontext():
            sys.stderr.write(f"\n{line}")
            sys.stderr.flush()

    return say
