"""Run one test function of one file: run_one.py FILE FUNCTION.

Exit status 0 passed, 1 failed, 77 skipped (the reason is the last line).
"""
import faulthandler
import importlib.util
import pathlib
import re
import signal
import sys
import traceback

HERE = pathlib.Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent / "integration")]

from leat import Skip  # noqa: E402  (the path comes first)


def main():
    faulthandler.register(signal.SIGUSR1, all_threads=True, chain=True)
    # Lets `with` blocks end, and so stops what was started.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    file, function = sys.argv[1:]
    name = pathlib.Path(file).stem
    spec = importlib.util.spec_from_file_location(name, file)
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # so that worker processes find functions
    try:
        spec.loader.exec_module(module)
        getattr(module, function)()
    except Skip as why:
        print("\n" + " ".join(re.sub(r"\x1b\[[0-9;]*m", "", str(why)).split()))
        return 77
    except BaseException:
        traceback.print_exc()
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
