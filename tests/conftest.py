"""What all tests share: options, markers, and the rule that CI does not skip what it is there to run."""

import os
from collections.abc import Generator
from pathlib import Path

import pytest
from hypothesis import settings

from tests.harness.triggers import Triggers

IN_CI = bool(os.environ.get("CI"))

# No deadline: examples take as long as a shared machine makes them. In CI the examples are the same ones each
# time, so that a submission fails for what it changed; elsewhere they are new ones.
settings.register_profile("dtrap", deadline=None, derandomize=IN_CI)
settings.load_profile("dtrap")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--accept", action="store_true", help="rewrite the expected results (.r) of data-driven cases"
    )


@pytest.fixture
def accept(pytestconfig: pytest.Config) -> bool:
    """Whether expectations are to be rewritten."""
    return bool(pytestconfig.getoption("--accept"))


@pytest.fixture(scope="session")
def triggers(tmp_path_factory: pytest.TempPathFactory) -> Triggers:
    """The programs of tests/triggers, compiled when asked for."""
    return Triggers(tmp_path_factory.mktemp("triggers"))


def pytest_runtest_setup(item: pytest.Item) -> None:
    if item.get_closest_marker("requires_uprobes") is not None:
        reason = missing_for_uprobes()
        if reason is not None and IN_CI:
            pytest.fail(f"CI must be able to run this: {reason}", pytrace=False)
        if reason is not None:
            pytest.skip(reason)


def missing_for_uprobes() -> str | None:
    """What keeps this machine or user from uprobes and BPF, or None."""
    if not Path("/sys/bus/event_source/devices/uprobe/type").exists():
        return "needs a kernel with uprobes"
    if os.geteuid() != 0:
        return "needs root, to load BPF programs"
    return None


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Say below each failure how to run that test alone; in CI a skip of a marked test is a failure."""
    report = yield
    if report.skipped and IN_CI and item.get_closest_marker("requires_uprobes") is not None:
        report.outcome = "failed"
        report.longrepr = f"CI must not skip this: {report.longrepr}"
    if report.failed:
        report.sections.append(("run this alone", f".venv/bin/python -m pytest '{item.nodeid}'"))
    return report
