"""bpf(2): structures as C lays them out, maps read whole, programs run, refusals in the kernel's words."""

import ctypes
import errno
import mmap
import os
import struct
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from backend.errors import MissingPackage, VerifierRejected
from backend.linux import bpf, bpf_attr, bpf_features, libbcc
from backend.linux.bpf import MapFlag, MapKind, ProgramKind, Update
from tests.harness.ordinary_user import CHECKOUT, as_nobody
from tests.uprobes import bpf_assembler as asm

MAP_UPDATE_ELEM, GET_CURRENT_PID_TGID, GET_SMP_PROCESSOR_ID = 2, 14, 8


@contextmanager
def a_map(
    kind: MapKind, key_size: int, value_size: int, entries: int, flags: MapFlag = MapFlag.NONE
) -> Iterator[int]:
    fd = bpf.map_create(kind, key_size, value_size, entries, flags, "test")
    yield fd
    os.close(fd)


@contextmanager
def a_program(code: bytes, kind: ProgramKind = ProgramKind.RAW_TRACEPOINT) -> Iterator[int]:
    fd = bpf.prog_load(kind, code, "test")
    yield fd
    os.close(fd)


def run(code: bytes, *context: int) -> int:
    with a_program(code) as fd:
        return bpf.prog_test_run(fd, context)


def key(number: int) -> bytes:
    return struct.pack("<I", number)


# Structures and numbers

STRUCTURES = (
    (bpf_attr.MapCreate, ""),
    (bpf_attr.MapElement, ""),
    (bpf_attr.MapBatch, "batch."),
    (bpf_attr.ProgramLoad, ""),
    (bpf_attr.ProgramTestRun, "test."),
    (bpf_attr.RawTracepointOpen, "raw_tracepoint."),
)
NUMBERS = (
    (bpf.Command, "BPF_"),
    (bpf.MapKind, "BPF_MAP_TYPE_"),
    (bpf.MapFlag, "BPF_F_"),
    (bpf.Update, "BPF_"),
    (bpf.ProgramKind, "BPF_PROG_TYPE_"),
)
NOT_IN_C = {"BPF_F_NONE"}


def test_structures_and_numbers_are_those_of_the_c_header(tmp_path: Path) -> None:
    fields = [
        (f"{member}{name}", getattr(structure, name))
        for structure, member in STRUCTURES
        for name, *_ in structure._fields_
    ]
    constants = [(f"{prefix}{value.name}", int(value)) for enum, prefix in NUMBERS for value in enum]
    constants = [(name, value) for name, value in constants if name not in NOT_IN_C]
    source = tmp_path / "layout.c"
    source.write_text(
        "#include <stddef.h>\n#include <stdio.h>\n#include <linux/bpf.h>\n"
        "static union bpf_attr a;\nint main(void)\n{\n"
        + "".join(
            f'\tprintf("%zu %zu\\n", offsetof(union bpf_attr, {path}), sizeof a.{path});\n'
            for path, _ in fields
        )
        + "".join(f'\tprintf("%lld\\n", (long long)({name}));\n' for name, _ in constants)
        + "\treturn 0;\n}\n"
    )
    subprocess.run(["gcc", "-o", str(tmp_path / "layout"), str(source)], check=True)
    lines = subprocess.run([str(tmp_path / "layout")], check=True, capture_output=True, text=True).stdout
    expected = [f"{field.offset} {field.size}" for _, field in fields] + [str(v) for _, v in constants]
    assert lines.splitlines() == expected


def test_uprobe_multi_link_is_laid_out_as_in_linux_6_6() -> None:
    """In numbers, because Debian 12's header does not have it. Source: include/uapi/linux/bpf.h of 6.6."""
    link = bpf_attr.LinkUprobeMulti
    offsets = {name: getattr(link, name).offset for name, _ in link._fields_}
    assert offsets == {
        "prog_fd": 0,
        "target_fd": 4,
        "attach_type": 8,
        "flags": 12,
        "path": 16,
        "offsets": 24,
        "ref_ctr_offsets": 32,
        "cookies": 40,
        "cnt": 48,
        "uprobe_flags": 52,
        "pid": 56,
    }
    assert ctypes.sizeof(link) == 64


@pytest.mark.parametrize(("cpu_list", "count"), [("0\n", 1), ("0-1\n", 2), ("0-3,8,10-11\n", 7)])
def test_cpu_lists_are_counted(cpu_list: str, count: int) -> None:
    assert bpf.count_cpus(cpu_list) == count


def test_per_cpu_values_are_one_for_each_possible_cpu_and_rounded_up_to_8_bytes() -> None:
    assert bpf.user_value_size(MapKind.PERCPU_HASH, 12) == 16 * bpf.possible_cpus()
    assert bpf.user_value_size(MapKind.HASH, 12) == 12


# Maps


@pytest.mark.requires_uprobes
def test_hash_map_stores_finds_and_deletes() -> None:
    with a_map(MapKind.HASH, 4, 8, 10) as fd:
        assert bpf.map_lookup(fd, key(1), 8) is None
        bpf.map_update(fd, key(1), b"eightbyt")
        assert bpf.map_lookup(fd, key(1), 8) == b"eightbyt"
        assert bpf.map_lookup_and_delete(fd, key(1), 8) == b"eightbyt"
        assert bpf.map_lookup_and_delete(fd, key(1), 8) is None
        bpf.map_update(fd, key(2), bytes(8))
        assert bpf.map_delete(fd, key(2))
        assert not bpf.map_delete(fd, key(2))


@pytest.mark.requires_uprobes
def test_update_can_demand_that_the_key_is_new() -> None:
    with a_map(MapKind.HASH, 4, 8, 10) as fd:
        bpf.map_update(fd, key(1), bytes(8), Update.NOEXIST)
        with pytest.raises(FileExistsError, match="bpf MAP_UPDATE_ELEM on map fd"):
            bpf.map_update(fd, key(1), bytes(8), Update.NOEXIST)


@pytest.mark.requires_uprobes
def test_full_hash_map_refuses_another_key() -> None:
    with a_map(MapKind.HASH, 4, 8, 2) as fd:
        bpf.map_update(fd, key(1), bytes(8))
        bpf.map_update(fd, key(2), bytes(8))
        with pytest.raises(OSError, match="MAP_UPDATE_ELEM") as raised:
            bpf.map_update(fd, key(3), bytes(8))
        assert raised.value.errno == errno.E2BIG


@pytest.mark.requires_uprobes
@pytest.mark.parametrize("kind", [MapKind.HASH, MapKind.PERCPU_HASH])
@pytest.mark.parametrize("flags", [MapFlag.NONE, MapFlag.NO_PREALLOC])
def test_all_items_of_a_hash_map_come_once(kind: MapKind, flags: MapFlag) -> None:
    size = bpf.user_value_size(kind, 8)
    with a_map(kind, 4, 8, 10_000, flags) as fd:
        assert list(bpf.map_items(fd, 4, size, 10_000)) == []
        expected = {key(number): struct.pack("<Q", number) * (size // 8) for number in range(9_000)}
        for each, value in expected.items():
            bpf.map_update(fd, each, value)
        items = list(bpf.map_items(fd, 4, size, 10_000))
        assert len(items) == 9_000
        assert dict(items) == expected


@pytest.mark.requires_uprobes
@pytest.mark.parametrize("entries", [1, 5, bpf.BATCH_ELEMENTS, bpf.BATCH_ELEMENTS + 1])
def test_all_items_of_a_per_cpu_array_come_in_order(entries: int) -> None:
    size = bpf.user_value_size(MapKind.PERCPU_ARRAY, 8)
    with a_map(MapKind.PERCPU_ARRAY, 4, 8, entries) as fd:
        bpf.map_update(fd, key(entries - 1), b"x" * size)
        items = list(bpf.map_items(fd, 4, size, entries))
        assert [each for each, _ in items] == [key(number) for number in range(entries)]
        assert items[-1][1] == b"x" * size
        assert all(value == bytes(size) for _, value in items[:-1])


@pytest.mark.requires_uprobes
def test_bucket_larger_than_the_batch_makes_the_batch_larger(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bpf, "BATCH_ELEMENTS", 1)
    with a_map(MapKind.HASH, 4, 8, 300) as fd:
        for number in range(300):
            bpf.map_update(fd, key(number), struct.pack("<Q", number))
        assert sorted(bpf.map_items(fd, 4, 8, 300)) == sorted(
            (key(number), struct.pack("<Q", number)) for number in range(300)
        )


@pytest.mark.requires_uprobes
def test_map_without_batches_is_read_key_by_key() -> None:
    with a_map(MapKind.STACK_TRACE, 4, 8 * 16, 64) as fd:  # a kind without batches
        assert list(bpf.map_items(fd, 4, 8 * 16, 64)) == []
    with a_map(MapKind.HASH, 4, 8, 64) as fd:
        for number in range(50):
            bpf.map_update(fd, key(number), struct.pack("<Q", number))
        items = list(bpf.one_by_one(bpf.Command.MAP_LOOKUP_BATCH, fd, 4, 8))
        assert sorted(items) == sorted(bpf.map_items(fd, 4, 8, 64))
        assert sorted(bpf.one_by_one(bpf.Command.MAP_LOOKUP_AND_DELETE_BATCH, fd, 4, 8)) == sorted(items)
        assert list(bpf.map_items(fd, 4, 8, 64)) == []


@pytest.mark.requires_uprobes
def test_taking_items_loses_no_update_made_meanwhile() -> None:
    """A program inserts 64 keys over and over while the map is emptied: as many come out."""
    keys, rounds = 64, 2000
    with a_map(MapKind.HASH, 4, 8, 128) as fd:
        lookup_or_insert = (
            asm.load64(asm.R6, asm.R1, 0)
            + asm.instruction(0x63, asm.R10, asm.R6, -4)
            + asm.load_map(asm.R1, fd, asm.MAP_FD)
            + asm.move_register(asm.R2, asm.R10)
            + asm.add(asm.R2, -4)
            + asm.store64_immediate(asm.R10, -16, 1)
            + asm.move_register(asm.R3, asm.R10)
            + asm.add(asm.R3, -16)
            + asm.move(asm.R4, Update.NOEXIST)
            + asm.call(MAP_UPDATE_ELEM)
            + asm.leave()
        )
        with a_program(lookup_or_insert) as program:
            inserted = 0

            def insert() -> None:
                nonlocal inserted
                for _ in range(rounds):
                    for number in range(keys):
                        inserted += bpf.prog_test_run(program, [number]) == 0

            thread = threading.Thread(target=insert)
            thread.start()
            taken = 0
            while thread.is_alive():
                taken += sum(1 for _ in bpf.map_take_items(fd, 4, 8, 128))
            taken += sum(1 for _ in bpf.map_take_items(fd, 4, 8, 128))
    assert taken == inserted
    assert inserted > keys


@pytest.mark.requires_uprobes
def test_frozen_map_cannot_be_written_by_us_and_is_a_constant_to_programs() -> None:
    with a_map(MapKind.ARRAY, 4, 8, 1, MapFlag.RDONLY_PROG) as fd:
        bpf.map_update(fd, key(0), struct.pack("<Q", 4711))
        bpf.map_freeze(fd)
        with pytest.raises(PermissionError):
            bpf.map_update(fd, key(0), bytes(8))
        address = asm.load_map(asm.R1, fd, asm.MAP_VALUE)
        assert run(address + asm.load64(asm.R0, asm.R1, 0) + asm.leave()) == 4711
        with pytest.raises(VerifierRejected, match="write into map forbidden"):
            run(address + asm.store64_immediate(asm.R1, 0, 1) + asm.move(asm.R0, 0) + asm.leave())


@pytest.mark.requires_uprobes
def test_array_in_memory_is_shared_with_programs() -> None:
    with a_map(MapKind.ARRAY, 4, 64, 1, MapFlag.MMAPABLE) as fd, mmap.mmap(fd, mmap.PAGESIZE) as memory:
        memory[0:8] = struct.pack("<Q", 40)
        code = (
            asm.load_map(asm.R1, fd, asm.MAP_VALUE)
            + asm.move(asm.R2, 2)
            + asm.atomic64(asm.R1, 0, asm.R2, asm.ADD | asm.FETCH)
            + asm.move_register(asm.R0, asm.R2)
            + asm.leave()
        )
        assert run(code) == 40
        assert struct.unpack_from("<Q", memory)[0] == 42


# Programs


@pytest.mark.requires_uprobes
def test_program_sees_the_context_it_is_run_with() -> None:
    last = asm.load64(asm.R0, asm.R1, 8 * (bpf.MAX_TEST_RUN_ARGUMENTS - 1)) + asm.leave()
    assert run(last, *range(100, 112)) == 111
    with a_program(last) as fd:
        with pytest.raises(OSError, match="PROG_TEST_RUN"):
            bpf.prog_test_run(fd, range(11))
        with pytest.raises(OSError, match="PROG_TEST_RUN"):
            bpf.prog_test_run(fd, range(13))


@pytest.mark.requires_uprobes
def test_program_runs_as_its_caller_or_on_a_given_cpu() -> None:
    assert run(asm.call(GET_CURRENT_PID_TGID) + asm.leave()) == threading.get_native_id()
    with a_program(asm.call(GET_SMP_PROCESSOR_ID) + asm.leave()) as fd:
        for cpu in os.sched_getaffinity(0):
            assert bpf.prog_test_run(fd, (), cpu) == cpu


@pytest.mark.requires_uprobes
def test_tracepoint_runs_its_program_until_it_is_closed() -> None:
    with a_map(MapKind.ARRAY, 4, 8, 1, MapFlag.MMAPABLE) as fd, mmap.mmap(fd, mmap.PAGESIZE) as memory:
        code = (
            asm.load_map(asm.R1, fd, asm.MAP_VALUE)
            + asm.move(asm.R2, 1)
            + asm.atomic64(asm.R1, 0, asm.R2, asm.ADD)
            + asm.move(asm.R0, 0)
            + asm.leave()
        )
        with a_program(code) as program:
            link = bpf.raw_tracepoint_open("sched_process_exec", program)
            subprocess.run(["true"], check=True)
            os.close(link)
            assert struct.unpack_from("<Q", memory)[0] >= 1
            with pytest.raises(FileNotFoundError, match="tracepoint no_such_tracepoint"):
                bpf.raw_tracepoint_open("no_such_tracepoint", program)


@pytest.mark.requires_uprobes
def test_error_rejected_program_comes_with_the_verifiers_words() -> None:
    with pytest.raises(VerifierRejected, match="R0 !read_ok") as raised:
        bpf.prog_load(ProgramKind.KPROBE, asm.leave(), "no_result")
    assert raised.value.name == "no_result"
    assert raised.value.errno == errno.EACCES


@pytest.mark.requires_uprobes
def test_error_log_longer_than_the_first_buffer_is_kept_whole() -> None:
    """The log of a long program that fails at its last instruction exceeds 64 KiB; its end says why."""
    code = asm.move(asm.R1, 0) + asm.add(asm.R1, 1) * 20_000 + asm.leave()
    with pytest.raises(VerifierRejected) as raised:
        bpf.prog_load(ProgramKind.KPROBE, code, "long")
    assert len(raised.value.log) > 1 << 16
    assert "R0 !read_ok" in raised.value.log


@pytest.mark.requires_uprobes
def test_names_with_odd_characters_are_accepted() -> None:
    os.close(bpf.map_create(MapKind.HASH, 4, 8, 1, name="größer als fünfzehn Zeichen"))


# What may be done here


@pytest.mark.requires_uprobes
def test_root_with_bpf_misses_no_privilege() -> None:
    assert bpf_features.missing_privilege() is None


@pytest.mark.requires_uprobes
def test_privilege_that_is_missing_is_named() -> None:
    code = "from backend.linux.bpf_features import missing_privilege; print(missing_privilege())"
    words = (*as_nobody(), "--bounding-set=-all", "--inh-caps=-all", "/usr/bin/python3", "-c", code)
    result = subprocess.run(words, check=True, capture_output=True, text=True, cwd=CHECKOUT)
    assert result.stdout == "missing CAP_BPF and CAP_PERFMON: run it as root (`sudo dtrap …`)\n"


BPF_ONLY = 1 << bpf_features.CAP_BPF
BOTH = BPF_ONLY | 1 << bpf_features.CAP_PERFMON


@pytest.mark.parametrize(
    ("number", "capabilities", "lockdown", "words"),
    [
        (errno.ENOSYS, BOTH, "", "no bpf(2)"),
        (errno.EINVAL, BOTH, "", "CONFIG_BPF_EVENTS"),
        (errno.EPERM, BPF_ONLY, "", "missing CAP_PERFMON:"),
        (errno.EPERM, BOTH, "none", "user namespace or a seccomp filter"),
        (errno.EPERM, BOTH, "confidentiality", "locked down (confidentiality)"),
        (errno.ENOMEM, BOTH, "", "Cannot allocate memory"),
    ],
)
def test_each_refusal_has_its_explanation(number: int, capabilities: int, lockdown: str, words: str) -> None:
    assert words in bpf_features.explain_refusal(number, capabilities, lockdown)


# libbcc


def test_system_bcc_is_found_by_location_under_no_name_of_its_own() -> None:
    code = (
        "import sys; from backend.linux import libbcc; lib = libbcc.library();"
        "print(hasattr(lib, 'bcc_func_load'), [m for m in sys.modules if m.split('.')[0].endswith('bcc')])"
    )
    result = subprocess.run(
        ["/usr/bin/python3", "-S", "-c", code],
        check=True,
        capture_output=True,
        text=True,
        cwd=Path(__file__).parents[2],
    )
    assert result.stdout == "True []\n"


def test_error_missing_bcc_says_what_to_install(tmp_path: Path) -> None:
    with pytest.raises(MissingPackage, match="apt-get install python3-bpfcc"):
        libbcc.load_from([str(tmp_path)])


def test_error_other_package_named_bcc_is_not_taken_for_it(tmp_path: Path) -> None:
    (tmp_path / "libbcc.py").write_text("lib = object()  # crystals\n")
    with pytest.raises(MissingPackage, match="is not the BPF Compiler Collection's"):
        libbcc.load_from([str(tmp_path)])


def test_error_broken_bcc_is_a_missing_package(tmp_path: Path) -> None:
    (tmp_path / "libbcc.py").write_text("import ctypes\nlib = ctypes.CDLL('libbcc-none.so.0')\n")
    with pytest.raises(MissingPackage, match=r"does not load: libbcc-none\.so\.0"):
        libbcc.load_from([str(tmp_path)])
