"""bpf(2), thin and typed: maps, programs and links.

Numbers and structures are those of include/uapi/linux/bpf.h (Linux 6.18). Every call is one function, takes
and returns ints, bytes and enums, and raises OSError naming the command, or one of `backend.errors`.
RLIMIT_MEMLOCK is left alone: since 5.11 maps are charged to the cgroup, and root inside a container often may
not raise it.

Not here: what this kernel and this user may do (`bpf_features`), which maps and programs a D program needs
(`dlang`), patching of map references (`backend.uprobes.loader`), what to attach where
(`backend.uprobes.attach`), and reading records (`backend.linux.ring_buffer`).
"""

from __future__ import annotations

import ctypes
import errno
import functools
import os
import struct
from collections.abc import Callable, Iterator, Sequence
from enum import IntEnum, IntFlag

from backend.errors import VerifierRejected
from backend.linux import bpf_attr
from backend.linux.libc import libc

SYS_BPF = 321  # x86-64
# The kernel's internal "operation is not supported", let out by uprobes; not in the errno module.
ENOTSUPP = 524
MAX_LOG_BYTES = 16 << 20
# One batch call must hold the largest hash bucket; this many elements a call keeps the buffers below a few
# megabytes.
BATCH_ELEMENTS = 4096
# MAX_BPF_FUNC_ARGS: bpf_prog_test_run_raw_tp refuses a longer context with EINVAL
MAX_TEST_RUN_ARGUMENTS = 12


class Command(IntEnum):
    """enum bpf_cmd, the commands used here."""

    MAP_CREATE = 0
    MAP_LOOKUP_ELEM = 1
    MAP_UPDATE_ELEM = 2
    MAP_DELETE_ELEM = 3
    MAP_GET_NEXT_KEY = 4
    PROG_LOAD = 5
    PROG_TEST_RUN = 10
    RAW_TRACEPOINT_OPEN = 17
    MAP_LOOKUP_AND_DELETE_ELEM = 21
    MAP_FREEZE = 22
    MAP_LOOKUP_BATCH = 24
    MAP_LOOKUP_AND_DELETE_BATCH = 25
    LINK_CREATE = 28


class MapKind(IntEnum):
    """enum bpf_map_type, the kinds that dtrap uses."""

    HASH = 1
    ARRAY = 2
    PERCPU_HASH = 5
    PERCPU_ARRAY = 6
    STACK_TRACE = 7
    LRU_HASH = 9
    RINGBUF = 27
    TASK_STORAGE = 29


class MapFlag(IntFlag):
    """BPF_F_* flags of MAP_CREATE."""

    NONE = 0
    NO_PREALLOC = 1 << 0
    RDONLY = 1 << 3
    RDONLY_PROG = 1 << 7
    MMAPABLE = 1 << 10


class Update(IntEnum):
    """Flags of MAP_UPDATE_ELEM: whether the key may or must exist."""

    ANY = 0
    NOEXIST = 1
    EXIST = 2


class ProgramKind(IntEnum):
    """enum bpf_prog_type: uprobes run KPROBE programs; BEGIN, END, tick and sched_switch run RAW_TRACEPOINT
    ones, profile-N PERF_EVENT ones.
    """

    KPROBE = 2
    PERF_EVENT = 7
    RAW_TRACEPOINT = 17


class ProgramFlag(IntFlag):
    """prog_flags of BPF_PROG_LOAD."""

    NONE = 0
    SLEEPABLE = 1 << 4


class AttachType(IntEnum):
    """enum bpf_attach_type; NONE is what programs of the older kinds are loaded with."""

    NONE = 0
    PERF_EVENT = 41
    TRACE_UPROBE_MULTI = 48


@functools.cache
def _syscall() -> Callable[..., int]:
    function = libc()["syscall"]  # a pointer of our own: the prototype differs from call to call
    function.argtypes = (ctypes.c_long, ctypes.c_int, ctypes.c_void_p, ctypes.c_uint)
    function.restype = ctypes.c_long
    return function


def _bpf(command: Command, attributes: ctypes.Structure) -> tuple[int, int]:
    """Return (result, errno) of one bpf(2) call; result is -1 on failure. EAGAIN (the verifier saw a signal)
    is retried.
    """
    while True:
        result = _syscall()(SYS_BPF, command, ctypes.addressof(attributes), ctypes.sizeof(attributes))
        if result >= 0:
            return result, 0
        number = ctypes.get_errno()
        if number != errno.EAGAIN:
            return result, number


def _failure(command: Command, number: int, target: str) -> OSError:
    text = "operation not supported by the kernel" if number == ENOTSUPP else os.strerror(number)
    return OSError(number, f"bpf {command.name} on {target}: {text}")


def _checked(command: Command, attributes: ctypes.Structure, target: str) -> int:
    result, number = _bpf(command, attributes)
    if result < 0:
        raise _failure(command, number, target)
    return result


def _object_name(name: str) -> bytes:
    """Return `name` as the kernel accepts it: letters, digits, `_` and `.`, at most 15 bytes."""
    allowed = (c if c.isascii() and (c.isalnum() or c in "_.") else "_" for c in name)
    return "".join(allowed).encode()[: bpf_attr.OBJ_NAME_LEN - 1]


# Maps


@functools.cache
def possible_cpus() -> int:
    """Return how many values a per-CPU map keeps for each key. Source:
    Documentation/admin-guide/cputopology.rst.

    The kernel copies one value for each *possible* CPU. Their numbers can in theory have holes; the values do
    not.
    """
    with open("/sys/devices/system/cpu/possible", encoding="ascii") as file:
        return count_cpus(file.read())


def count_cpus(cpu_list: str) -> int:
    """Return how many CPUs a kernel CPU list such as `0-3,8` names."""
    total = 0
    for part in cpu_list.strip().split(","):
        first, _, last = part.partition("-")
        total += int(last or first) - int(first) + 1
    return total


def user_value_size(kind: MapKind, value_size: int) -> int:
    """Return how many bytes a lookup yields: per-CPU maps give one value a possible CPU, each rounded up to 8
    bytes.
    """
    if kind in (MapKind.PERCPU_ARRAY, MapKind.PERCPU_HASH):
        return (value_size + 7) // 8 * 8 * possible_cpus()
    return value_size


def map_create(
    kind: MapKind,
    key_size: int,
    value_size: int,
    max_entries: int,
    flags: MapFlag = MapFlag.NONE,
    name: str = "",
) -> int:
    """Return the fd of a new map. Sizes in bytes; RINGBUF has key and value size 0 and its bytes in
    `max_entries`.
    """
    attributes = bpf_attr.MapCreate(kind, key_size, value_size, max_entries, flags, 0, 0, _object_name(name))
    return _checked(Command.MAP_CREATE, attributes, f"{kind.name} map {name!r}")


def map_update(fd: int, key: bytes, value: bytes, update: Update = Update.ANY) -> None:
    """Store `value` (for a per-CPU map: `user_value_size` bytes) at `key`."""
    key_buffer = ctypes.create_string_buffer(key, len(key))
    value_buffer = ctypes.create_string_buffer(value, len(value))
    attributes = bpf_attr.MapElement(fd, ctypes.addressof(key_buffer), ctypes.addressof(value_buffer), update)
    _checked(Command.MAP_UPDATE_ELEM, attributes, f"map fd {fd}")


def map_lookup(fd: int, key: bytes, value_size: int) -> bytes | None:
    """Return the value at `key`, or None. `value_size` is `user_value_size` bytes: the kernel writes that
    many, unchecked.
    """
    return _lookup(Command.MAP_LOOKUP_ELEM, fd, key, value_size)


def map_lookup_and_delete(fd: int, key: bytes, value_size: int) -> bytes | None:
    """Return the value at `key` and remove it in one step, or None. Hash maps: since 5.14."""
    return _lookup(Command.MAP_LOOKUP_AND_DELETE_ELEM, fd, key, value_size)


def _lookup(command: Command, fd: int, key: bytes, value_size: int) -> bytes | None:
    key_buffer = ctypes.create_string_buffer(key, len(key))
    value_buffer = ctypes.create_string_buffer(value_size)
    attributes = bpf_attr.MapElement(fd, ctypes.addressof(key_buffer), ctypes.addressof(value_buffer), 0)
    result, number = _bpf(command, attributes)
    if result == 0:
        return value_buffer.raw
    if number == errno.ENOENT:
        return None
    raise _failure(command, number, f"map fd {fd}")


def map_delete(fd: int, key: bytes) -> bool:
    """Remove `key` from a hash map; False when it was not there."""
    key_buffer = ctypes.create_string_buffer(key, len(key))
    attributes = bpf_attr.MapElement(fd, ctypes.addressof(key_buffer), 0, 0)
    result, number = _bpf(Command.MAP_DELETE_ELEM, attributes)
    if result == 0:
        return True
    if number == errno.ENOENT:
        return False
    raise _failure(Command.MAP_DELETE_ELEM, number, f"map fd {fd}")


def map_next_key(fd: int, key: bytes | None, key_size: int) -> bytes | None:
    """Return the key after `key` (the first one for None), or None at the end.

    A key that has meanwhile been deleted makes a hash map start anew: take whole maps with `map_items`.
    """
    key_buffer = ctypes.create_string_buffer(key, key_size) if key is not None else None
    next_buffer = ctypes.create_string_buffer(key_size)
    address = ctypes.addressof(key_buffer) if key_buffer is not None else 0
    attributes = bpf_attr.MapElement(fd, address, ctypes.addressof(next_buffer), 0)
    result, number = _bpf(Command.MAP_GET_NEXT_KEY, attributes)
    if result == 0:
        return next_buffer.raw
    if number == errno.ENOENT:
        return None
    raise _failure(Command.MAP_GET_NEXT_KEY, number, f"map fd {fd}")


def map_freeze(fd: int) -> None:
    """Forbid further writes through bpf(2). With RDONLY_PROG the verifier then folds the contents into
    programs.
    """
    _checked(Command.MAP_FREEZE, bpf_attr.MapElement(fd), f"map fd {fd}")


def map_items(fd: int, key_size: int, value_size: int, max_entries: int) -> Iterator[tuple[bytes, bytes]]:
    """Yield every (key, value) of a hash or array map, in few system calls. `value_size` is
    `user_value_size`.

    A key that stays in the map is yielded exactly once, also while programs write. Kernels without batch
    operations for this kind of map (per-CPU array: before 5.13) are read key by key.
    """
    yield from _batches(Command.MAP_LOOKUP_BATCH, fd, key_size, value_size, max_entries)


def map_take_items(
    fd: int, key_size: int, value_size: int, max_entries: int
) -> Iterator[tuple[bytes, bytes]]:
    """Yield and remove every (key, value) of a hash map.

    An element that a program puts there meanwhile is yielded or stays. But a program that looked a value up
    before it was removed may still add to it afterwards, and that addition is lost: to lose nothing, detach
    first, or let programs turn to another map.
    """
    yield from _batches(Command.MAP_LOOKUP_AND_DELETE_BATCH, fd, key_size, value_size, max_entries)


def _batches(
    command: Command, fd: int, key_size: int, value_size: int, max_entries: int
) -> Iterator[tuple[bytes, bytes]]:
    room = min(BATCH_ELEMENTS, max(max_entries, 1))
    # The cursor is a key for arrays and a 32-bit bucket number for hashes.
    cursor = ctypes.create_string_buffer(max(key_size, 4))
    started = False
    while True:
        keys = ctypes.create_string_buffer(key_size * room)
        values = ctypes.create_string_buffer(value_size * room)
        attributes = bpf_attr.MapBatch(
            ctypes.addressof(cursor) if started else 0,
            ctypes.addressof(cursor),
            ctypes.addressof(keys),
            ctypes.addressof(values),
            room,
            fd,
        )
        result, number = _bpf(command, attributes)
        if result < 0 and number == errno.ENOSPC and room < max_entries:
            room = min(room * 2, max_entries)  # one bucket holds more keys than the buffer
            continue
        if result < 0 and number in (errno.EINVAL, errno.EOPNOTSUPP, ENOTSUPP) and not started:
            yield from one_by_one(command, fd, key_size, value_size)
            return
        if result < 0 and number != errno.ENOENT:
            raise _failure(command, number, f"map fd {fd}")
        key_bytes, value_bytes = keys.raw, values.raw
        for index in range(attributes.count):
            yield (
                key_bytes[index * key_size : (index + 1) * key_size],
                value_bytes[index * value_size : (index + 1) * value_size],
            )
        if result < 0:
            return
        started = True


def one_by_one(command: Command, fd: int, key_size: int, value_size: int) -> Iterator[tuple[bytes, bytes]]:
    """Do what the batch `command` does with a call for each key; keys must not change meanwhile."""
    element = (
        Command.MAP_LOOKUP_AND_DELETE_ELEM
        if command is Command.MAP_LOOKUP_AND_DELETE_BATCH
        else Command.MAP_LOOKUP_ELEM
    )
    keys = []
    key = map_next_key(fd, None, key_size)
    while key is not None:
        keys.append(key)
        key = map_next_key(fd, key, key_size)
    for key in dict.fromkeys(keys):
        value = _lookup(element, fd, key, value_size)
        if value is not None:
            yield key, value


# Programs


def prog_load(
    kind: ProgramKind,
    instructions: bytes,
    name: str = "",
    expected_attach_type: AttachType = AttachType.NONE,
    license_name: str = "GPL",
    flags: ProgramFlag = ProgramFlag.NONE,
) -> int:
    """Return the fd of a verified program.

    `instructions` are 8-byte struct bpf_insn. Loaded without a log first, which is faster; a refused program
    is loaded again for the verifier's words. Raises VerifierRejected(name, log, errno), or OSError where the
    verifier did not say anything.
    """
    attributes = bpf_attr.ProgramLoad()
    code = ctypes.create_string_buffer(instructions, len(instructions))
    license_buffer = ctypes.create_string_buffer(license_name.encode())
    attributes.prog_type = kind
    attributes.insn_cnt = len(instructions) // 8
    attributes.insns = ctypes.addressof(code)
    attributes.license = ctypes.addressof(license_buffer)
    attributes.prog_name = _object_name(name)
    attributes.expected_attach_type = expected_attach_type
    attributes.prog_flags = flags
    fd, number = _bpf(Command.PROG_LOAD, attributes)
    size = 1 << 16
    log = b""
    while fd < 0 and number not in (errno.EPERM, errno.ENOSYS) and size <= MAX_LOG_BYTES:
        buffer = ctypes.create_string_buffer(size)
        attributes.log_level = 1
        attributes.log_size = size
        attributes.log_buf = ctypes.addressof(buffer)
        fd, number = _bpf(Command.PROG_LOAD, attributes)
        log = buffer.value
        if number != errno.ENOSPC:
            break
        size *= 4
    if fd >= 0:
        return fd
    if log:
        raise VerifierRejected(name, log.decode(errors="replace"), number)
    raise _failure(Command.PROG_LOAD, number, f"program {name!r} of {len(instructions) // 8} instructions")


def prog_test_run(fd: int, context: Sequence[int] = (), cpu: int | None = None) -> int:
    """Run a RAW_TRACEPOINT program once in the calling thread, or on `cpu`, and return its 32-bit result.

    `context` is the array of u64 that the program's r1 points to: at most MAX_TEST_RUN_ARGUMENTS; the program
    may not read more than it is given (EINVAL). Current process, pid and comm are those of the caller when
    `cpu` is None.
    """
    arguments = struct.pack(f"={len(context)}Q", *context)
    buffer = ctypes.create_string_buffer(arguments, len(arguments)) if arguments else None
    attributes = bpf_attr.ProgramTestRun(fd)
    if buffer is not None:
        attributes.ctx_size_in = len(arguments)
        attributes.ctx_in = ctypes.addressof(buffer)
    if cpu is not None:
        attributes.flags = 1  # BPF_F_TEST_RUN_ON_CPU
        attributes.cpu = cpu
    _checked(Command.PROG_TEST_RUN, attributes, f"program fd {fd}")
    return int(attributes.retval)


def raw_tracepoint_open(name: str, prog_fd: int) -> int:
    """Return the fd of a link that runs a RAW_TRACEPOINT program at tracepoint `name` until it is closed."""
    buffer = ctypes.create_string_buffer(name.encode())
    attributes = bpf_attr.RawTracepointOpen(ctypes.addressof(buffer), prog_fd)
    return _checked(Command.RAW_TRACEPOINT_OPEN, attributes, f"tracepoint {name}")


def perf_event_link(prog_fd: int, event_fd: int, cookie: int) -> int:
    """Return the fd of a link that runs a PERF_EVENT program at each overflow of a perf event until it is closed.

    `cookie` is what bpf_get_attach_cookie gives there. Since Linux 5.15.
    """
    attributes = bpf_attr.LinkPerfEvent(prog_fd, event_fd, AttachType.PERF_EVENT, 0, cookie)
    return _checked(Command.LINK_CREATE, attributes, "a sampling timer")


def uprobe_multi_link(
    prog_fd: int,
    path: str | bytes,
    offsets: Sequence[int],
    cookies: Sequence[int],
    pid: int | None,
    *,
    returns: bool = False,
) -> int:
    """Return the fd of one link that attaches a program to many places of a file; closing it detaches them
    all.

    `offsets` are FILE offsets, `cookies` what bpf_get_attach_cookie gives there. `path` is followed now
    (magic links of /proc as well) and need not exist later. `pid` is a thread group leader in our pid
    namespace, None means every process. With `returns` the program runs where the functions that begin there
    return (BPF_F_UPROBE_MULTI_RETURN). The program must be KPROBE with expected_attach_type
    TRACE_UPROBE_MULTI. All or nothing: one refused place fails the call, with ENOTSUPP for an instruction the
    kernel will not probe, and only if some process maps the file.
    """
    assert len(offsets) == len(cookies), (len(offsets), len(cookies))
    name = os.fsencode(path)
    path_buffer = ctypes.create_string_buffer(name)
    offset_array = (ctypes.c_uint64 * len(offsets))(*offsets)
    cookie_array = (ctypes.c_uint64 * len(cookies))(*cookies)
    attributes = bpf_attr.LinkUprobeMulti(
        prog_fd=prog_fd,
        attach_type=AttachType.TRACE_UPROBE_MULTI,
        path=ctypes.addressof(path_buffer),
        offsets=ctypes.addressof(offset_array),
        cookies=ctypes.addressof(cookie_array),
        cnt=len(offsets),
        uprobe_flags=int(returns),
        pid=pid or 0,
    )
    return _checked(Command.LINK_CREATE, attributes, f"{len(offsets)} uprobes of {os.fsdecode(name)}")
