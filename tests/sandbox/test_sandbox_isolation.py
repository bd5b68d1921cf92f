"""Programs that reach for host, network, other processes or more rights (cases 39 to 49), in every tier."""

import pytest

MACHINE_CODE = """
import ctypes, mmap
def execute(code):
    memory = mmap.mmap(-1, 4096, prot=7)
    memory.write(code)
    return ctypes.CFUNCTYPE(ctypes.c_long)(ctypes.addressof(ctypes.c_char.from_buffer(memory)))()
"""
CALL = """
import ctypes, errno, os
libc = ctypes.CDLL(None, use_errno=True)
def call(*arguments):
    if libc.syscall(*arguments) < 0:
        raise OSError(ctypes.get_errno(), "refused")
"""


@pytest.mark.parametrize(
    "attempt",
    [
        "socket.socket()",
        "socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b'x', ('127.0.0.1', 9))",
        "socket.socket(socket.AF_INET6)",
        "socket.socket(socket.AF_UNIX)",
        "socket.socket(40)",  # AF_VSOCK
        "socket.socket(16, 3, 0)",  # AF_NETLINK
        "socket.socket(38, 5, 0)",  # AF_ALG
        "socket.socket(17, 3, 0)",  # AF_PACKET
        "socket.create_connection(('127.0.0.1', 22))",
        "socket.socketpair(socket.AF_INET)",
        "urllib.request.urlopen('http://127.0.0.1')",
        "socket.socketpair()[0].sendmsg([b'x'])",
    ],
)
def test_there_is_no_network(judge, attempt):
    result = judge(f"import socket, urllib.request\n{attempt}\nprint(1)")
    assert result.verdict == "RE"


@pytest.mark.parametrize(
    "attempt",
    [
        "open('/etc/passwd')",
        "open('/etc/hostname')",
        "open('/root/.bashrc')",
        "os.listdir('/home')",
        "os.listdir('/root')",
        "os.listdir('/etc')",
        "os.listdir('/sys')",
        "open('/dev/mem', 'rb')",
        "os.open('/dev/shm', os.O_RDONLY)",
        "open('/usr/bin/env', 'rb')",
        "os.open('/', os.O_TMPFILE | os.O_RDWR)",
        "os.scandir('/var/tmp')",
        "os.chroot('/tmp')",
    ],
)
def test_host_files_cannot_be_read(judge, attempt):
    assert judge(f"import os\n{attempt}\nprint(1)").verdict == "RE"


def test_this_very_test_suite_cannot_be_read(judge):
    assert judge(f"open({__file__!r})").verdict == "RE"


def test_the_sandbox_package_cannot_be_imported_or_found_in_memory(judge):
    assert judge("import sandbox").verdict == "RE"
    assert judge("import inside").verdict == "RE"
    assert judge("import pytest").verdict == "RE"


@pytest.mark.parametrize(
    "attempt",
    [
        "open('/x', 'w')",
        "open('/var/tmp/x', 'w')",
        "open('/dev/shm/x', 'w')",
        "open(os.__file__, 'a')",
        "os.symlink('/etc/passwd', '/tmp/a')",
        "os.link(os.__file__, '/tmp/a')",
        "os.mkdir('/x')",
        "os.unlink(os.__file__)",
        "os.rename(os.__file__, '/tmp/x')",
        "os.truncate(os.__file__, 0)",
        "os.chmod(os.__file__, 0o777)",
        "os.chown('/tmp', 0, 0)",
        "os.utime(os.__file__)",
        "os.mkfifo('/tmp/x')",
        "os.mknod('/tmp/x')",
        "os.setxattr('/tmp', 'user.x', b'')",
    ],
)
def test_nothing_can_be_written_or_linked_outside_tmp(judge, attempt):
    assert judge(f"import os\n{attempt}\nprint(1)").verdict == "RE"


@pytest.mark.parametrize(
    "path",
    ["self/maps", "1/environ", "self/mem", "1/fd/0", "sys/kernel/hostname", "self/root/etc/passwd", "mounts"],
)
def test_there_is_nothing_to_see_in_proc(judge, path):
    assert judge(f"print(open('/proc/{path}', 'rb').read())").verdict == "RE"


def test_the_environment_is_empty_also_in_memory(judge):
    assert judge("import os\nprint(len(os.environ) + 1)").verdict == "AC"
    code = """
import ctypes
libc = ctypes.CDLL(None)
libc.getenv.restype = ctypes.c_char_p
print(1 + sum(libc.getenv(name) is not None for name in (b"PATH", b"HOME", b"HF_TOKEN", b"LC_CTYPE")))
"""
    assert judge(code).verdict == "AC"


@pytest.mark.parametrize("target", ["os.getppid()", "0", "-1", "1", "2"])
@pytest.mark.parametrize("number", [0, 9, 19])
def test_no_other_process_can_be_signalled(judge, target, number):
    assert (
        judge(f"import os\nif {target} == os.getpid(): raise OSError\nos.kill({target}, {number})").verdict
        == "RE"
    )
    assert judge("print(1)").verdict == "AC"


@pytest.mark.parametrize(
    "numbers",
    [(101, 117), (310, 270), (311, 271), (434, 434), (438, 438), (424, 424), (312, 272), (448, 440)],
    ids=[
        "ptrace",
        "process_vm_readv",
        "process_vm_writev",
        "pidfd_open",
        "pidfd_getfd",
        "pidfd_send_signal",
        "kcmp",
        "process_mrelease",
    ],
)
def test_no_other_process_can_be_looked_into(judge, numbers):
    assert judge(f"{CALL}call({_number(numbers)}, os.getppid(), 0, 0, 0, 0, 0)\nprint(1)").verdict == "RE"


def _number(numbers: tuple[int, int]) -> str:
    return f"{numbers[0]} if os.uname().machine == 'x86_64' else {numbers[1]}"


@pytest.mark.parametrize(
    "numbers",
    [
        (272, 97),
        (308, 268),
        (165, 40),
        (161, 51),
        (155, 41),
        (105, 146),
        (117, 147),
        (126, 91),
        (425, 425),
        (321, 280),
        (298, 241),
        (323, 282),
        (250, 219),
        (175, 105),
        (246, 104),
        (135, 92),
        (159, 171),
        (169, 142),
        (430, 430),
        (428, 428),
        (319, 279),
        (29, 194),
        (240, 180),
        (253, 26),
        (300, 262),
    ],
    ids=[
        "unshare",
        "setns",
        "mount",
        "chroot",
        "pivot_root",
        "setuid",
        "setresuid",
        "capset",
        "io_uring_setup",
        "bpf",
        "perf_event_open",
        "userfaultfd",
        "keyctl",
        "init_module",
        "kexec_load",
        "personality",
        "adjtimex",
        "reboot",
        "fsopen",
        "open_tree",
        "memfd_create",
        "shmget",
        "mq_open",
        "inotify_init",
        "fanotify_init",
    ],
)
def test_no_right_can_be_gained(judge, numbers):
    assert judge(f"{CALL}call({_number(numbers)}, 0x10000000, 0, 0, 0, 0)\nprint(1)").verdict == "RE"


@pytest.mark.parametrize(
    "attempt",
    [
        "os.setuid(0)",
        "os.setgid(0)",
        "os.setgroups([0])",
        "os.setsid()",
        "os.nice(-5)",
        "os.sched_setaffinity(0, {0})",
        "os.setpgid(0, 0)",
    ],
)
def test_identity_and_scheduling_cannot_be_changed(judge, attempt):
    assert judge(f"import os\n{attempt}\nprint(1)").verdict == "RE"


@pytest.mark.parametrize(
    "code",
    [
        "b814000000cd80c3",  # mov eax, 20; int 0x80; ret: getpid by the 32-bit call
        "b827000040" + "0f05c3",  # mov eax, 0x40000027; syscall; ret: getpid by the x32 call
    ],
)
def test_system_calls_of_another_architecture_are_a_security_violation(judge, code):
    import platform

    if platform.machine() != "x86_64":
        pytest.skip("x86_64 only")
    result = judge(f"{MACHINE_CODE}execute(bytes.fromhex({code!r}))\nprint(1)")
    assert result.verdict == "SV" and result.signal == 31


def test_a_forbidden_call_that_is_caught_is_no_offence(judge):
    assert judge("import socket\ntry:\n    socket.socket()\nexcept OSError:\n    print(1)").verdict == "AC"


@pytest.mark.parametrize("name", ["CPU", "AS", "FSIZE", "NOFILE", "STACK", "CORE"])
def test_limits_cannot_be_raised(judge, name):
    code = f"import resource as r\nwhich = r.RLIMIT_{name}\nsoft, hard = r.getrlimit(which)\n"
    code += "r.setrlimit(which, (hard + 1, hard + 1))"
    assert judge(code).verdict == "RE"
    assert judge(code.replace("hard + 1", "r.RLIM_INFINITY")).verdict == "RE"


def test_limits_of_other_processes_cannot_be_touched(judge):
    assert (
        judge("import os, resource\nresource.prlimit(os.getppid(), resource.RLIMIT_CPU, (1, 1))").verdict
        == "RE"
    )


@pytest.mark.parametrize("option", [1, 4, 8, 22, 23, 38, 59])
def test_the_death_signal_dumpability_and_filters_stay_as_they_are(judge, option):
    code = f"import ctypes\nif ctypes.CDLL(None).prctl({option}, 0, 0, 0, 0) == -1: raise OSError"
    assert judge(code).verdict == "RE"


def test_a_program_has_no_capability_and_no_way_back_to_root(judge):
    code = """
import ctypes, os
data = (ctypes.c_uint32 * 6)(*[9] * 6)
ctypes.CDLL(None).syscall(125 if os.uname().machine == "x86_64" else 90, None, data)
print(1 if os.geteuid() != 0 else "root")
"""
    assert judge(code).verdict == "AC" or "root" in judge(code).stdout
