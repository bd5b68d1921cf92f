"""Programs that attack the grader gain nothing (cases 12 to 16, 20, 21, 38), in every tier and both modes."""

import pytest

from sandbox import Test

MODES = ["native", "lcb_compat"]

SECRET = "8675309"
SEARCH = """
import gc, sys
SECRET = lambda: "".join(reversed("9035768"))
def find():
    frame = sys._getframe(1)
    while frame:
        if SECRET() in repr(frame.f_locals)[:10**6]:
            return True
        frame = frame.f_back
    kinds = (str, bytes, list, dict, tuple)
    return any(SECRET() in repr(o)[:10000] for o in gc.get_objects() if isinstance(o, kinds))
"""


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("leave", ["import os; os._exit(0)", "import sys; sys.exit(0)", "raise SystemExit"])
def test_leaving_before_the_function_returns_is_a_runtime_error(call, mode, leave):
    assert call(f"def f(x):\n    {leave}", [1], 1, mode).verdict == "RE"
    assert call(leave, [1], 1, mode).verdict == "RE"


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("base", ["object", "int", "list", "dict", "str"])
def test_an_object_that_is_equal_to_everything_is_a_wrong_answer(call, mode, base):
    code = f"class E({base}):\n    def __eq__(self, other): return True\n    __hash__ = None\n"
    code += "def f(x): return E()"
    assert call(code, [1], 17, mode).verdict == "WA"


@pytest.mark.parametrize("mode", MODES)
def test_the_expected_output_is_nowhere_in_the_program_s_process(executor, mode):
    functional = Test(function="f", args=[1], expected=int(SECRET))
    code = SEARCH + "def f(x): return int(SECRET()) if find() else 0"
    assert executor.run(code, [functional], mode=mode).verdict == "WA"
    text = Test(input="", expected=SECRET)
    assert executor.run(SEARCH + "print(SECRET() if find() else 0)", [text], mode=mode).verdict == "WA"
    assert executor.run(SEARCH + "x = [SECRET()]\nprint(find())", [Test(input="", expected="True")]).passed


@pytest.mark.parametrize("mode", MODES)
def test_patched_builtins_and_json_do_not_touch_the_comparison(call, mode):
    code = """
import builtins, json, sys
json.loads = json.dumps = lambda *a, **k: 1
builtins.all = builtins.any = lambda *a: True
builtins.bytes = builtins.zip = None
for module in list(sys.modules.values()):
    for name in ("text_matches", "value_matches", "judge", "compare"):
        if hasattr(module, name):
            setattr(module, name, lambda *a: True)
def f(x): return 2
"""
    assert call(code, [1], 1, mode).verdict in ("WA", "RE")


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("text", ["PASSED", "TEST_PASSED", "AC", '{"verdict": "AC"}', "\\x00klear1"])
def test_printing_a_verdict_is_a_wrong_answer(judge, mode, text):
    assert judge(f"print('{text}')", mode=mode).verdict == "WA"


FORGE = """
import os, struct
def frame(payload, token): return payload + struct.pack('<Q16s7s', len(payload), token, b'\\0klear1')
"""


def test_a_forged_frame_and_an_early_exit_fail(call):
    guess = "def f(x):\n    os.write(1, frame(b'1', bytes(16)))\n    os._exit(0)"
    assert call(FORGE + guess, [1], 1).verdict == "RE"
    # Even with the token, which its process cannot be denied, a program states a value, and it is compared.
    stolen = "def f(x):\n    os.write(1, frame(b'2', os.pread(0, 16, 0)))\n    os._exit(0)"
    assert call(FORGE + stolen, [1], 1).verdict == "WA"


def test_a_frame_followed_by_more_output_is_no_frame(call):
    code = "import os, struct\nos.write(1, b'junk' * 10)\nold = os.fork\ndef f(x): return 1"
    assert call(code, [1], 1).verdict == "AC"
    late = "import atexit, os\natexit.register(lambda: os.write(1, b'late'))\ndef f(x): return 1"
    assert call(late, [1], 1).verdict == "AC"  # handlers run before the value is sealed


@pytest.mark.parametrize(
    "value",
    [
        "[" * 200_000 + "]" * 200_000,
        "[" + "[]," * 2_000_000 + "1]",
        '{"int":"0x' + "f" * 1_000_000 + '"}',
        '{"nothing":1}',
        '{"tuple":1}',
        '{"set":[[1]]}',
        '{"int":"1","float":"nan"}',
        "NaN",
        "1e999",
        "\\xff",
        '{"bytes":1}',
        '{"complex":[1,2,3]}',
        '{"dict":[1]}',
        '{"float":"1"}',
        "9" * 10_000,
    ],
)
def test_a_hostile_frame_is_a_wrong_answer_in_bounded_time(call, value):
    code = (
        FORGE
        + f"value = {value[:1]!r}\n"
        + "def f(x):\n    os.write(1, frame(V, os.pread(0, 16, 0)))\n    os._exit(0)"
    )
    payload = f"eval({_compact(value)!r})"
    assert call(code.replace("V,", f"{payload},"), [1], 1).verdict == "WA"


def _compact(value: str) -> str:
    """Source of an expression for the bytes of `value`, short also for long repetitive ones."""
    if len(value) > 5_000:
        for unit in ("[", "[],", "f", "9"):
            count = value.count(unit)
            if count > 1_000:
                head, _, tail = value.partition(unit * count)
                return f"({head!r} + {unit!r} * {count} + {tail!r}).encode('latin1')"
    return f"b'{value}'"


@pytest.mark.parametrize(
    "output", ["'sNaN'", "'1' * 30_000_000", "'1 ' * 10_000_000", "'1e999999999'", "'\\n' * 10_000_000 + '1'"]
)
@pytest.mark.parametrize("mode", MODES)
def test_output_made_to_stall_the_comparison_does_not(judge, mode, output):
    assert judge(f"print({output}, 'x')", "1.5 2", mode=mode).verdict == "WA"


def test_inherited_descriptors_are_closed(judge):
    code = """
import os
bad = 0
for descriptor in range(3, 300):
    try:
        os.write(descriptor, b'x')
    except OSError as error:
        bad += error.errno == 9
print(bad)
"""
    assert judge(code, "297").verdict == "AC"


def test_the_input_cannot_be_changed_and_own_output_cannot_be_taken_back_from_the_judge(judge):
    assert judge("import os\nos.pwrite(0, b'2', 0)").verdict == "RE"
    assert (
        judge("import os\nos.write(1, b'2')\nos.ftruncate(1, 0)\nos.lseek(1, 0, 0)\nprint(1)").verdict == "AC"
    )


def test_a_program_that_replaces_the_harness_s_hooks_still_fails(judge):
    assert judge("import sys\nsys.excepthook = lambda *a: None\nprint(1)\n1 / 0").verdict == "RE"
    assert judge("import sys\nsys.stdout = None\n").verdict == "WA"
    assert judge("import sys\nsys.stdout.close()\n").verdict in ("WA", "RE")
    code = "import os\nos._exit = os.write = os.lseek = None\nprint(2)"
    assert judge(code).verdict in ("WA", "RE")
