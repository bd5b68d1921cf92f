"""The system-call filter of both architectures, run through a small interpreter of classic BPF."""

import struct

import pytest

from sandbox.inside import seccomp

ALLOW, KILL, EPERM, ENOSYS, DONE = 0x7FFF0000, 0x80000000, 0x00050001, 0x00050026, 0x00050000
ARCH = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}


def decide(machine: str, number: int, *arguments: int, arch: int | None = None) -> int:
    """What the kernel would do with this call."""
    padded = [*arguments, *[0] * (6 - len(arguments))]
    data = struct.pack("=IIQ6Q", number, arch or ARCH[machine], 0, *padded)
    program = list(struct.iter_unpack("=HBBI", seccomp.build(machine)))
    assert len(program) < 4096
    at = accumulator = 0
    while True:
        code, on_true, on_false, value = program[at]
        at += 1
        if code == 0x20:
            (accumulator,) = struct.unpack_from("=I", data, value)
        elif code == 0x54:
            accumulator &= value
        elif code == 0x05:
            at += value
        elif code == 0x15:
            at += on_true if accumulator == value else on_false
        elif code == 0x35:
            at += on_true if accumulator >= value else on_false
        else:
            assert code == 0x06
            return int(value)


@pytest.mark.parametrize("machine", ARCH)
def test_every_listed_call_gets_its_answer_and_every_other_is_refused(machine):
    side = list(ARCH).index(machine)
    allowed = {numbers[side] for numbers in seccomp._ALLOWED.values()}
    unknown = {numbers[side] for numbers in seccomp._UNKNOWN_TO_US.values()}
    pointless = {numbers[side] for numbers in seccomp._POINTLESS.values()}
    checked = {numbers[side] for numbers in seccomp._CHECKED}
    groups = [allowed, unknown, pointless, checked]
    assert len(set().union(*groups)) == sum(map(len, groups))
    for number in range(600):
        if number not in checked:
            answers = {ALLOW: allowed, ENOSYS: unknown, DONE: pointless}
            expected = next((answer for answer, numbers in answers.items() if number in numbers), EPERM)
            assert decide(machine, number) == expected, number


@pytest.mark.parametrize(
    ("machine", "clone", "kill", "fcntl"), [("x86_64", 56, 62, 72), ("aarch64", 220, 129, 25)]
)
def test_arguments_decide_where_they_must(machine, clone, kill, fcntl):
    thread = 0x3D0F00
    assert decide(machine, clone, thread) == ALLOW
    assert decide(machine, clone, thread | 0x400000) == ALLOW  # musl's
    own = [thread & ~flag for flag in (0x200, 0x400, 0x10000)]  # a file system view, descriptors or process of its own
    more = [thread | flag for flag in (0x1000, 0x2000, 0x8000, 0x20000, 0x10000000, 0x40000000, 0x80000000)]
    for flags in (17, 0x4111, 0x100, 0x10000, 0x10000000 | 17, 0, *own, *more):
        assert decide(machine, clone, flags) == EPERM
    assert decide(machine, kill, seccomp._PID_MARK, 9) == ALLOW
    for pid in (0, 1, 2**32 - 1, seccomp._PID_MARK + 1):
        assert decide(machine, kill, pid, 9) == EPERM
    assert decide(machine, fcntl, 1, 3) == ALLOW
    assert decide(machine, fcntl, 1, 8) == decide(machine, fcntl, 1, 1031) == EPERM  # F_SETOWN, F_SETPIPE_SZ


@pytest.mark.parametrize("machine", ARCH)
def test_another_architecture_is_killed(machine):
    for arch in {*ARCH.values(), 0x40000003, 0x40000028} - {ARCH[machine]}:
        assert decide(machine, 0, arch=arch) == KILL
    assert decide("x86_64", 0x40000000 | 39) == KILL


def test_addresses_beyond_the_low_half_are_seen():
    assert decide("x86_64", 44, 1, 2, 3, 4, 0) == ALLOW
    assert decide("x86_64", 44, 1, 2, 3, 4, 1 << 32) == decide("x86_64", 44, 1, 2, 3, 4, 1) == EPERM


def test_close_range_may_not_unshare_descriptors_and_mmap_may_not_take_huge_pages():
    assert decide("x86_64", 436, 3, 9, 0) == decide("x86_64", 436, 3, 9, 4) == ALLOW
    assert decide("x86_64", 436, 3, 9, 2) == decide("x86_64", 436, 3, 9, 6) == EPERM
    assert decide("aarch64", 222, 0, 4096, 3, 0x22) == ALLOW
    assert decide("aarch64", 222, 0, 4096, 3, 0x40022) == EPERM
