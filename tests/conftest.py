"""Where nothing may be left out, as in CI, a skipped test fails the whole."""

from __future__ import annotations

import os
import signal

import pytest
from hypothesis import HealthCheck, settings

# How fast an example is says nothing of it; where a run decides, it decides the same again.
NOTHING_LEFT_OUT = os.environ.get("OUTLAY_TESTS_SKIP") == "never"
settings.register_profile(
    "outlay", deadline=None, derandomize=NOTHING_LEFT_OUT, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("outlay")

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # so it is in a shell's background, and children would inherit it
    signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_sessionfinish(session: pytest.Session) -> None:
    if not NOTHING_LEFT_OUT:
        return
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    if reporter and reporter.stats.get("skipped") and session.exitstatus == pytest.ExitCode.OK:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED
        reporter.write_line("\ntests were skipped, and OUTLAY_TESTS_SKIP=never says that none may be", red=True)
