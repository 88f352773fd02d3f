"""What a hit's clauses see and leave behind: registers, memory and facts of another process, shared memory.

ASSERTION: clauses read the stopped thread and its process, never the one that they run in; and several
processes, killed at any moment, can run them over one memory. The stopped process is a fork of the test that
has changed what it inherited, so that reading the wrong one shows.
"""

from __future__ import annotations

import ctypes
import mmap
import os
import pickle
import select
import signal
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from io import BytesIO
from itertools import count

import capstone
import pytest
from elftools.elf.elffile import ELFFile

from backend.fasttrap.program import Clauses, Descriptors, NativeOptions, NativeProgram
from backend.fasttrap.regions import HEADER_FIRINGS
from backend.fasttrap.runtime import Where
from backend.fasttrap.target import Layout, NativeMachine, NativeSizes
from backend.linux.libc import libc
from backend.linux.native_call import native_function
from dlang.aggregation_store import DeleteKeys
from dlang.builtins import REGISTER_NUMBER
from dlang.items import Row
from dlang.notices import Drop, Fault
from dlang.records import FaultReport
from tests.fasttrap.plans import FIRST_SITE, Hit, Registers, arguments, decoded, lost, process_plan, traced

DEFAULT_SIZES = NativeOptions()

# --- the other process --------------------------------------------------------------------------------------


class Buffer:
    """Two pages of memory, the second of which can be taken away. A fork has its own at the same address."""

    def __init__(self) -> None:
        self._map = mmap.mmap(-1, 2 * mmap.PAGESIZE, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
        self.address = ctypes.addressof(ctypes.c_char.from_buffer(self._map))

    def write(self, contents: bytes, offset: int = 0) -> None:
        self._map[offset : offset + len(contents)] = contents

    def lose_second_page(self) -> None:
        address = ctypes.c_void_p(self.address + mmap.PAGESIZE)
        assert libc().mprotect(address, ctypes.c_size_t(mmap.PAGESIZE), mmap.PROT_READ * 0) == 0


@contextmanager
def process(prepare: Callable[[], None] = lambda: None) -> Iterator[int]:
    """A fork that has done `prepare` and waits; its pid."""
    ready, tell = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            prepare()
            os.write(tell, b"!")
            signal.pause()
        finally:
            os._exit(1)
    os.close(tell)
    try:
        assert os.read(ready, 1) == b"!"
        yield pid
    finally:
        os.close(ready)
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)


@contextmanager
def compiled(
    text: str,
    sites: int = 1,
    options: NativeOptions = DEFAULT_SIZES,
    pid: int | None = None,
) -> Iterator[NativeProgram]:
    plan = process_plan(text, sites)
    with Descriptors.open() as descriptors, NativeProgram(plan, pid, options, descriptors) as program:
        yield program


def rows(program: NativeProgram) -> list[Row | FaultReport]:
    return decoded(program._plan, program.drain(1 << 20))


def results(text: str, hit: Hit) -> list[int | bytes]:
    """What a program with one clause traced at one hit."""
    with compiled(text) as program:
        hit.on(program)
        (row,) = rows(program)
        return traced(row)


def cells(program: NativeProgram, name: str = "_") -> dict[tuple[int | bytes, ...], tuple[int, ...]]:
    (aggregation,) = [each for each in program._plan.program.aggregations if each.name == name]
    return program.snapshot(aggregation)


# --- registers and memory -----------------------------------------------------------------------------------


def test_registers_have_their_numbers() -> None:
    numbers = range(21)
    text = "BEGIN {" + "".join(f"trace(uregs[{number}]);" for number in numbers) + "}"
    registers = {number: 1000 + number for number in range(27)}
    assert results(text, Hit(1, 1, registers=registers)) == [1000 + number for number in numbers]


def test_rip_and_a_register_named_by_a_constant() -> None:
    text = "inline int n = R_RBX; BEGIN { trace(uregs[R_RIP]); trace(uregs[n]); }"
    registers = {REGISTER_NUMBER["RIP"]: 0x401000, REGISTER_NUMBER["RBX"]: 77}
    assert results(text, Hit(1, 1, registers=registers)) == [0x401000, 77]


def test_arguments_beyond_six_are_on_the_stack_of_the_process() -> None:
    buffer = Buffer()
    stack = b"".join(number.to_bytes(8, "little") for number in (0xDEAD, 60, 70, 80, 90))
    text = "BEGIN {" + "".join(f"trace(arg{number});" for number in range(10)) + "}"
    with process(lambda: buffer.write(stack)) as pid:
        registers = arguments(0, 1, 2, 3, 4, -5) | {REGISTER_NUMBER["RSP"]: buffer.address}
        found = results(text, Hit(pid, pid, registers=registers))
    assert found == [0, 1, 2, 3, 4, -5, 60, 70, 80, 90]


def test_stack_argument_that_cannot_be_read_is_zero() -> None:
    with process() as pid:
        assert results("BEGIN { trace(arg7); }", Hit(pid, pid)) == [0]


def test_string_is_the_processes_own() -> None:
    buffer = Buffer()
    buffer.write(b"ours\0")
    with process(lambda: buffer.write(b"theirs\0garbage")) as pid:
        hit = Hit(pid, pid, registers=arguments(buffer.address))
        assert results("BEGIN { trace(copyinstr(arg0)); }", hit) == [b"theirs"]


def test_string_that_ends_with_the_last_readable_byte() -> None:
    buffer = Buffer()
    text = b"at the end\0"

    def prepare() -> None:
        buffer.write(text, mmap.PAGESIZE - len(text))
        buffer.lose_second_page()

    with process(prepare) as pid:
        hit = Hit(pid, pid, registers=arguments(buffer.address + mmap.PAGESIZE - len(text)))
        assert results("BEGIN { trace(copyinstr(arg0)); }", hit) == [b"at the end"]


def test_string_over_two_pages_is_cut_at_its_limit() -> None:
    buffer = Buffer()
    with process(lambda: buffer.write(b"x" * 400, mmap.PAGESIZE - 100)) as pid:
        hit = Hit(pid, pid, registers=arguments(buffer.address + mmap.PAGESIZE - 100))
        program = "BEGIN { trace(copyinstr(arg0)); trace(copyinstr(arg0, 120)); trace(copyinstr(arg0, 3)); }"
        assert results(program, hit) == [b"x" * 255, b"x" * 119, b"xx"]


def test_string_without_an_end_before_unreadable_memory_is_a_fault() -> None:
    buffer = Buffer()

    def prepare() -> None:
        buffer.write(b"x" * 8, mmap.PAGESIZE - 8)
        buffer.lose_second_page()

    with process(prepare) as pid, compiled("string s; BEGIN { s = copyinstr(arg0); }") as program:
        address = buffer.address + mmap.PAGESIZE - 8
        Hit(pid, pid, registers=arguments(address)).on(program)
        (report,) = rows(program)
    assert isinstance(report, FaultReport)
    assert (report.fault, report.address) == (Fault.BADADDR, address)


@pytest.mark.parametrize("address", [0, 1 << 47, (1 << 64) - 1, 0xFFFFFFFF_FF600000])
def test_address_that_is_none_of_the_processes_is_a_fault(address: int) -> None:
    with process() as pid, compiled("BEGIN { trace(copyinstr(arg0)); }") as program:
        Hit(pid, pid, registers=arguments(address)).on(program)
        (report,) = rows(program)
    assert isinstance(report, FaultReport)
    assert report.fault == Fault.BADADDR


def test_what_lies_behind_a_string_is_no_part_of_it() -> None:
    buffer = Buffer()
    with process(lambda: buffer.write(b"same\0one\0same\0\0two\0")) as pid:
        hit = Hit(pid, pid, registers=arguments(buffer.address, buffer.address + 9))
        assert results("BEGIN { trace(copyinstr(arg0) == copyinstr(arg1)); }", hit) == [1]


def test_memory_is_copied_in_whole() -> None:
    buffer = Buffer()
    program = "BEGIN { this->p = (int64_t *)copyin(arg0, 16); trace(this->p[0]); trace(this->p[1]); }"
    contents = (11).to_bytes(8, "little") + (22).to_bytes(8, "little")
    with process(lambda: buffer.write(contents, mmap.PAGESIZE - 8)) as pid:
        hit = Hit(pid, pid, registers=arguments(buffer.address + mmap.PAGESIZE - 8))
        assert results(program, hit) == [11, 22]


def test_process_that_is_gone_is_a_fault() -> None:
    with process() as pid:
        pass
    with compiled(
        "BEGIN { trace(copyinstr(arg0)); } BEGIN { trace(execname); trace(cpu); trace(uid); }"
    ) as program:
        Hit(pid, pid, registers=arguments(4096)).on(program)
        report, facts = rows(program)
    assert isinstance(report, FaultReport)
    assert traced(facts) == [b"", 0, 0]


# --- facts --------------------------------------------------------------------------------------------------


_PR_SET_NAME = 15


def _become(name: bytes, uid: int, gid: int) -> None:
    assert libc().prctl(_PR_SET_NAME, ctypes.c_char_p(name), 0, 0, 0) == 0
    os.setresgid(gid, 0, 0)
    os.setresuid(uid, 0, 0)


@pytest.mark.parametrize("name", [b"a", b"", b"blank ) S 1 2", b"fifteen letters", b"two\nlines", b"x" * 16])
def test_facts_are_the_threads_own(name: bytes) -> None:
    text = "BEGIN { trace(pid); trace(tid); trace(uid); trace(gid); trace(ppid); trace(execname); }"
    with process(lambda: _become(name, 1234, 56789)) as pid, compiled(text, pid=pid) as program:
        Hit(pid, pid).on(program)
        (row,) = rows(program)
    assert traced(row) == [pid, pid, 1234, 56789, os.getpid(), name[:15]]
    assert isinstance(row, Row)
    assert row.tid == pid


@pytest.mark.parametrize("cpu", sorted(os.sched_getaffinity(0)))
def test_processor_is_that_of_the_thread(cpu: int) -> None:
    def prepare() -> None:
        _become(b") 7 8 9 (", 0, 0)
        os.sched_setaffinity(0, {cpu})

    with process(prepare) as pid:
        assert results("BEGIN { trace(cpu); }", Hit(pid, pid)) == [cpu]


def test_virtual_time_is_what_the_thread_has_used() -> None:
    with process() as pid:
        with open(f"/proc/{pid}/schedstat", encoding="ascii") as file:
            used_ns = int(file.read().split()[0])
        (found,) = results("BEGIN { trace(vtimestamp); }", Hit(pid, pid))
    assert isinstance(found, int)
    # It may have been on its way to sleep.
    assert used_ns <= found < used_ns + 1_000_000_000


# --- sites --------------------------------------------------------------------------------------------------


def test_each_site_runs_its_own_clauses() -> None:
    plan = process_plan("BEGIN { @a[probefunc] = count(); s = probefunc; trace(s); }", sites=3)
    options = NativeOptions()
    with Descriptors.open() as descriptors, NativeProgram(plan, None, options, descriptors) as program:
        for site in (FIRST_SITE, FIRST_SITE + 2, FIRST_SITE + 2, 1, 0):
            Hit(1, 1, site).on(program)
        assert cells(program, "a") == {(b"f0",): (1,), (b"f2",): (2,)}
        assert [traced(row) for row in rows(program)] == [[b"f0"], [b"f2"], [b"f2"]]


@pytest.mark.parametrize(
    ("text", "whole"),
    [
        ("@ = count();", False),
        ("@[pid] = sum(timestamp);", False),
        ("@ = sum(arg0);", True),
        ("@ = sum(uregs[R_SP]);", True),
    ],
)
def test_registers_are_asked_for_only_where_clauses_read_them(text: str, whole: bool) -> None:
    with compiled(f"BEGIN {{ {text} }}") as program:
        assert program.clauses.whole_registers is whole


def test_code_uses_general_registers_only() -> None:
    text = "BEGIN { @[copyinstr(arg0), execname] = quantize(arg1); self->s = probefunc; trace(execname); }"
    with compiled(text) as program:
        section = ELFFile(BytesIO(program.image.code)).get_section_by_name(".text")
        assert section is not None
        decoder = capstone.Cs(capstone.CS_ARCH_X86, capstone.CS_MODE_64)
        instructions = list(decoder.disasm(section.data(), 0))
    assert sum(instruction.size for instruction in instructions) == section["sh_size"]
    used = " ".join(instruction.op_str for instruction in instructions)
    assert not any(register in used for register in ("xmm", "ymm", "mm0", "st("))


def test_memory_of_a_firing_has_a_limit() -> None:
    plan = process_plan("BEGIN { trace(1); }")
    layout = Layout(plan.program, {}, NativeSizes(1, 1, shared=False, ring=4096, aggregations=0, dynamic=0))
    machine = NativeMachine(layout, Where.OUTSIDE)
    machine.need_scratch(1 << 20)
    layout.regions()
    machine.need_scratch((1 << 20) + 8)
    with pytest.raises(OSError, match="clauses need 1048584 bytes of memory for a firing"):
        layout.regions()


# --- variables and hashes -----------------------------------------------------------------------------------


def test_each_thread_has_its_own_variables() -> None:
    with compiled("self int64_t n; BEGIN { self->n += arg0; @[tid] = max(self->n); }") as program:
        for tid, value in ((1, 5), (2, 7), (1, 5)):
            Hit(9, tid, registers=arguments(value)).on(program)
        assert cells(program) == {(1,): (1, 10), (2,): (1, 7)}


def test_variables_that_are_all_zero_take_no_room() -> None:
    options = NativeOptions(dynamic_size=24 * 10)
    with compiled("BEGIN { self->n = 1; @ = sum(self->n); self->n = 0; }", options=options) as program:
        for tid in range(5000):
            Hit(1, tid).on(program)
        assert cells(program) == {(): (1, 5000)}
        assert lost(program, Drop.DYNAMIC) == 0


def test_threads_without_room_for_variables_are_counted() -> None:
    options = NativeOptions(dynamic_size=24 * 10)
    with compiled("BEGIN { self->n = arg0; @ = sum(self->n); }", options=options) as program:
        for tid in range(25):
            Hit(1, tid, registers=arguments(1)).on(program)
        assert (cells(program), lost(program, Drop.DYNAMIC)) == ({(): (1, 10)}, 15)
        for tid in range(25):
            Hit(1, tid, registers=arguments(0)).on(program)
        for tid in range(100, 108):
            Hit(1, tid, registers=arguments(1)).on(program)
        assert (cells(program), lost(program, Drop.DYNAMIC)) == ({(): (1, 18)}, 15)


def test_deleted_keys_make_room_for_ever_new_ones() -> None:
    options = NativeOptions(aggregation_size=32 * 50)
    with compiled("BEGIN { @[arg0] = count(); }", options=options) as program:
        (aggregation,) = program._plan.program.aggregations
        numbers = count()
        for _ in range(60):
            keys = [next(numbers) for _ in range(50)]
            for key in keys:
                Hit(1, 1, registers=arguments(key)).on(program)
            assert cells(program) == {(key,): (1,) for key in keys}
            program.carry_out(DeleteKeys(aggregation, tuple((key,) for key in keys)))
        assert lost(program, Drop.AGGREGATION) == 0


def test_entry_deleted_during_a_hit_is_not_given_to_another_key_before_its_end() -> None:
    options = NativeOptions(aggregation_size=32)
    with compiled("BEGIN { @[arg0] = count(); }", options=options) as program:
        (aggregation,) = program._plan.program.aggregations
        Hit(1, 1, registers=arguments(1)).on(program)
        program.clauses.memory.words[HEADER_FIRINGS >> 3] += 1  # a hit begins in the tracer
        program.carry_out(DeleteKeys(aggregation, ((1,),)))
        assert cells(program) == {}
        program.clauses.memory.words[HEADER_FIRINGS >> 3] += 2  # it ends; the next begins
        assert cells(program) == {}
        Hit(1, 1, registers=arguments(2)).on(program)
        assert cells(program) == {(2,): (1,)}
        program.carry_out(DeleteKeys(aggregation, ((2,),)))
        Hit(1, 1, registers=arguments(3)).on(program)
        assert (cells(program), lost(program, Drop.AGGREGATION)) == ({}, 1)


# --- several processes --------------------------------------------------------------------------------------


def readable(*fds: int) -> select.poll:
    """What waits until one of these can be read."""
    poll = select.poll()
    for fd in fds:
        poll.register(fd, select.POLLIN)
    return poll


def forked(works: Sequence[Callable[[], None]]) -> None:
    """Do all of these at once, each in a process of its own."""
    pids = []
    for work in works:
        pid = os.fork()
        if pid == 0:
            try:
                work()
                os._exit(0)
            finally:
                os._exit(1)
        pids.append(pid)
    assert [os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) for pid in pids] == [0] * len(pids)


def test_counts_of_several_processes_add_up() -> None:
    with compiled("BEGIN { @a = count(); @b[arg0] = sum(arg1); @c[arg0] = quantize(arg1); }") as program:

        def work() -> None:
            for number in range(4000):
                Hit(1, 1, registers=arguments(number % 500, 2)).on(program)

        forked([work] * 4)
        assert cells(program, "a") == {(): (16000,)}
        assert cells(program, "b") == {(key,): (1, 64) for key in range(500)}
        assert {sum(cell[1:]) for cell in cells(program, "c").values()} == {32}


@dataclass(slots=True)
class Taken:
    """Records by the process that made them, in the order in which they came."""

    numbers: dict[int, list[int]]

    def take(self, program: NativeProgram) -> int:
        found = rows(program)
        for row in found:
            tid, number = traced(row)
            assert isinstance(tid, int)
            assert isinstance(number, int)
            self.numbers.setdefault(tid, []).append(number)
        return len(found)


def test_records_of_several_processes_come_whole_and_in_order() -> None:
    options = NativeOptions(buffer_size=4096)
    with compiled("BEGIN { trace(tid); trace(arg0); }", options=options) as program:

        def work(tid: int) -> Callable[[], None]:
            def hits() -> None:
                for number in range(3000):
                    before = lost(program, Drop.PRINCIPAL)
                    Hit(1, tid, registers=arguments(number)).on(program)
                    if lost(program, Drop.PRINCIPAL) != before:
                        os.sched_yield()

            return hits

        taken = Taken({})
        ended = os.fork()
        if ended == 0:
            forked([work(1), work(2)])
            os._exit(0)
        pidfd = os.pidfd_open(ended)
        poll = readable(program.fileno(), pidfd)
        while pidfd not in dict(poll.poll()):
            taken.take(program)
        os.close(pidfd)
        assert os.waitpid(ended, 0)[1] == 0
        while taken.take(program):
            pass
        total = sum(map(len, taken.numbers.values()))
        assert total + lost(program, Drop.PRINCIPAL) == 6000
        assert total > 1000
        for numbers in taken.numbers.values():
            assert numbers == sorted(set(numbers))


def test_consumer_is_woken_by_another_processes_record() -> None:
    with compiled("BEGIN { trace(arg0); }") as program:
        poll = readable(program.fileno())
        for number in range(50):
            assert poll.poll(0) == []
            forked([partial(Hit(1, 1, registers=arguments(number)).on, program)])
            assert poll.poll(10_000) != []
            assert [traced(row) for row in rows(program)] == [[number]]


def test_process_killed_in_the_middle_holds_nobody_up() -> None:
    text = 'BEGIN { @[arg0] = count(); self->n = arg0; printf("%s %d", execname, arg0); }'
    with compiled(text) as program:
        for _ in range(40):
            pid = os.fork()
            if pid == 0:
                for number in count():
                    Hit(1, 1, registers=arguments(number % 300)).on(program)
            assert readable(program.fileno()).poll(10_000)
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
            program.abandon_unfinished()
            rows(program)
            Hit(1, 2, registers=arguments(1234)).on(program)
            last = rows(program)[-1]
            assert traced(last)[-1] == 1234
        assert cells(program)[(1234,)] == (40,)


def test_image_works_in_a_process_that_was_forked_before() -> None:
    plan = process_plan("BEGIN { @[arg0] = count(); trace(arg0); }")
    registers = Registers(arguments(42))
    requests, send = os.pipe()
    with Descriptors.open() as descriptors:

        def hit_by_image() -> None:
            with Clauses(pickle.loads(os.read(requests, 1 << 20))) as clauses:
                native_function(clauses.hit, 4)(FIRST_SITE, registers.address, 1, 1)

        def give_image() -> None:
            with NativeProgram(plan, None, NativeOptions(), descriptors) as program:
                os.write(send, pickle.dumps(program.image))
                readable(program.fileno()).poll()
                assert cells(program) == {(42,): (1,)}
                assert [traced(row) for row in rows(program)] == [[42]]

        forked([hit_by_image, give_image])
    os.close(requests)
    os.close(send)
