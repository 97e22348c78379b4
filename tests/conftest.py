"""What every suite shares. Fixtures of one suite live in that suite's own conftest."""

from hypothesis import HealthCheck, settings

pytest_plugins = ["tests.postgres.fixtures", "tests.postgres.pairs", "tests.postgres.serving"]

# A shared machine is slow at times; a slow example is no failure, a wrong one is.
settings.register_profile(
    "default", deadline=None, suppress_health_check=[HealthCheck.too_slow], print_blob=True
)
settings.load_profile("default")
