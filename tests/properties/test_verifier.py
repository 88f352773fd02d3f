"""What the checker accepts, the kernel's verifier accepts: generated programs, compiled and loaded.

Each clause is loaded twice: as fired by the consumer (BEGIN and its like) and as fired by a thread on a uprobe, which
may sleep. Nothing is attached.
"""

from typing import Final

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from backend.engine import Plan
from dlang.source import Source
from tests.properties.pipeline import compiled, generated, loaded
from tests.properties.programs import programs

pytestmark = [pytest.mark.requires_uprobes, pytest.mark.timeout(120)]

KNOWN_AT_COMPILE_TIME: Final = ("D_DIV_ZERO", "D_REGS_IDX", "D_ALLOCA_SIZE")
"""What a generated program may be refused for: operands that turn out to be constants."""
STRING_SIZES: Final = (256, 16, 2, 100, 1024)


@settings(max_examples=70, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(programs(), st.sampled_from(STRING_SIZES))
def test_a_well_typed_program_loads(text: str, string_size: int) -> None:
    accept(text, string_size)


@settings(max_examples=15, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(programs(most_clauses=2, depth=3))
def test_a_program_with_deep_expressions_loads(text: str) -> None:
    accept(text, 256)


def accept(text: str, string_size: int) -> None:
    plan = compiled(Source(text), string_size)
    if not isinstance(plan, Plan):
        assert plan.tag in KNOWN_AT_COMPILE_TIME, plan
        return
    with loaded(generated(plan)):
        pass
