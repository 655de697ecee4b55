"""Building: what is missing is named, and a warm make is quick."""
import os
import pathlib
import re
import shutil
import subprocess
import tempfile

from leat import ROOT, Skip, build_tree

# Besides the compilers and pkg-config.
USED = ["sh", "bash", "make", "mkdir", "touch", "find", "grep", "rm", "ar",
        "cc1", "nproc", "sed", "install", "env", "cat"]
PKG_CONFIG = """#!/bin/sh
echo "$*" >>{calls}
case "$*" in "--exists libuv"|"--exists rdkafka") exit 1 ;; esac
exec {real} "$@"
"""


def tools(directory, *names):
    """A directory for PATH with these alone."""
    path = pathlib.Path(directory) / "tools"
    path.mkdir()
    for name in names:
        real = shutil.which(name)
        if real:
            (path / name).symlink_to(real)
    return path


def make(path, *args):
    return subprocess.run(
        [shutil.which("make"), "--no-print-directory", *args], cwd=ROOT,
        env={"PATH": str(path), "HOME": "/nonexistent"}, capture_output=True,
        text=True, timeout=100)


def test_missing_tools_and_libraries_are_named():
    with tempfile.TemporaryDirectory(prefix="leat-build-") as directory:
        path = tools(directory, *USED)
        done = make(path, "-j2", f"BUILD={directory}/build")
        lines = done.stderr.splitlines()
        assert done.returncode == 2, done
        assert lines[0].startswith(
            "make: missing: cc g++ pkg-config; run `make deps`"), lines
        assert len(lines) == 2 and "***" in lines[1], lines  # make's own
        assert done.stdout == "", done.stdout
        # Libraries.
        for name in ("cc", "g++"):
            (path / name).symlink_to(shutil.which(name))
        fake = path / "pkg-config"
        fake.write_text(PKG_CONFIG.format(
            calls="/dev/null", real=shutil.which("pkg-config")))
        fake.chmod(0o755)
        done = make(path, "-j2", f"BUILD={directory}/build")
        lines = done.stderr.splitlines()
        assert lines[0].startswith(
            "make: missing: libuv rdkafka; run `make deps`"), lines
        assert len(lines) == 2 and done.stdout == "", done


def test_a_warm_make_asks_for_nothing():
    """What is built is not looked for again."""
    with tempfile.TemporaryDirectory(prefix="leat-build-") as directory:
        path = tools(directory, *USED, "cc", "g++", "gcc", "as", "ld")
        calls = pathlib.Path(directory) / "calls"
        fake = path / "pkg-config"
        fake.write_text(PKG_CONFIG.format(
            calls=calls, real=shutil.which("pkg-config")))
        fake.chmod(0o755)
        tree = build_tree("release")
        for what in ("bin/batchd", "libbase.a"):
            done = make(path, "-q", "MODE=release", f"BUILD={tree.parent}",
                        f"{tree}/{what}")
            assert done.returncode == 0 and done.stderr == "", done
        assert not calls.exists(), calls.read_text()


def test_other_flags_compile_again_and_the_same_do_not():
    tree = build_tree("release")
    for flags, status in (("", 0), ("-DOTHER", 1), ("", 0)):
        done = make(os.environ["PATH"], "-q", "MODE=release",
                    f"BUILD={tree.parent}", f"CFLAGS={flags}",
                    f"{tree}/libbase.a")
        assert done.returncode == status, (flags, done)


def test_help_lists_the_targets():
    done = make(os.environ["PATH"], "help")
    listed = {line.split()[0] for line in done.stdout.splitlines()}
    assert listed >= {"all", "deps", "unit", "test", "demo", "lint"}, done
    for target in listed:
        dry = make(os.environ["PATH"], "-n", "MAKE=true", target)
        assert dry.returncode == 0, (target, dry.stderr)


def test_unit_tests_install_nothing():
    for target, installs in (("unit", False), ("test", True), ("demo", True)):
        done = make(os.environ["PATH"], "-n", "MAKE=true", target)
        assert ("scripts/install-deps" in done.stdout) == installs, done.stdout


def release():
    for line in pathlib.Path("/etc/os-release").read_text().splitlines():
        if line.startswith("VERSION_ID="):
            return line.split("=")[1].strip('"')
    return ""


def packages_in_the_readme(version):
    """The packages that README lists as needed at run time."""
    text = (ROOT / "README.md").read_text()
    found = re.search(rf"^# Debian {version}\napt-get install "
                      r"((?:.*\\\n)*.*)\n", text, re.M)
    assert found, f"README lists no packages for Debian {version}"
    return set(found[1].replace("\\", " ").split())


def test_the_packages_in_the_readme():
    """They are those whose libraries the programs are linked with."""
    version = release()
    if version not in ("12", "13"):
        raise Skip(f"this is neither Debian 12 nor 13: {version}")
    needed = set()
    for path in (build_tree("release") / "bin").iterdir():
        if not (ROOT / path.name / f"{path.name}.c").exists():
            continue  # of the bench
        dynamic = subprocess.run(["readelf", "-d", path], check=True,
                                 capture_output=True, text=True).stdout
        loaded = subprocess.run(["ldd", path], check=True,
                                capture_output=True, text=True).stdout
        for name in re.findall(r"\(NEEDED\).*\[(.*)\]", dynamic):
            file = re.search(rf"{re.escape(name)} => (\S+)", loaded)
            if file:
                needed.add(os.path.realpath(file[1]))
    owners = set()
    for file in needed:
        done = subprocess.run(["dpkg", "-S", f"*-linux-gnu/{os.path.basename(file)}"],
                              capture_output=True, text=True)
        assert done.returncode == 0, (file, done.stderr)
        owners |= {line.split(":")[0] for line in done.stdout.splitlines()}
    # Every Debian has these.
    owners -= {"libc6", "libgcc-s1", "libstdc++6", "zlib1g"}
    assert packages_in_the_readme(version) == owners | {"supervisor", "curl"}, \
        owners
