"""The table of verbs: help, completions, the manual page, the documents."""
import functools
import os
import pathlib
import re
import shutil
import subprocess
import tempfile

from leat import ROOT, Skip, fact, program

SHELLS = ("bash", "zsh", "fish")


def run(*args, env=None, **options):
    return subprocess.run([program("leat"), *args], capture_output=True,
                          text=True, timeout=20, env=env, **options)


@functools.cache
def candidates(*words):
    """What can stand for the last of `words`: {text: what it means}."""
    done = run("--complete", *words)
    assert done.returncode == 0 and done.stderr == "", done
    return dict(line.partition("\t")[::2]
                for line in done.stdout.splitlines())


@functools.cache
def verbs():
    """{name: arguments} of all verbs, from leat help alone."""
    found = {}
    for line in run("help").stdout.splitlines():
        if m := re.match(r"  leat ([a-z]+(?: [a-z]+)?)((?: \S+)*?)(?:  |$)",
                         line):
            found[m[1]] = m[2].strip()
    assert len(found) > 5, found
    return found


@functools.cache
def help_of(verb):
    done = run(*verb.split(), "--help")
    assert done.returncode == 0 and done.stderr == "", done
    return done.stdout


def options(verb):
    """The names of the verb's own options, from its --help."""
    return [option for option in
            re.findall(r"^  (--[a-z-]+)", help_of(verb), re.M)
            if option != "--config"]


def words(text):
    """Without the line breaks and the blanks between two sentences."""
    return re.sub(r"\s+", " ", text)


def code_of(page):
    """The blocks of code of a page, and the code in its lines."""
    blocks = re.findall(r"^ *```.*?^ *```", page, re.M | re.S)
    prose = re.sub(r"^ *```.*?^ *```", "", page, flags=re.M | re.S)
    return "\n".join(re.findall(r"`leat [^`]*`", prose) + blocks)


def test_every_verb_has_help_with_examples_that_it_takes():
    checked = 0
    for verb, arguments in verbs().items():
        text = help_of(verb)
        assert text.startswith(f"usage: leat {verb} {arguments}".rstrip())
        assert run("help", *verb.split()).stdout == text
        assert max(map(len, text.splitlines())) <= 80, text
        examples = re.findall(r"^  (\S.*)\n      \S",
                              text.split("Examples:\n", 1)[1], re.M)
        assert examples, text
        for example in examples:
            checked += 1
            (command,) = re.findall(r"\bleat ([^|>)]*)", example)
            assert command.startswith(verb), example
            for option in re.findall(r" (--[a-z-]+)", command):
                assert option in text, (example, option)
    fact(f"{checked} examples")


def test_wrong_command_lines_are_refused_with_the_usage():
    for verb, arguments in verbs().items():
        for args in (["--nonsense"], ["a"] * 9):
            done = run(*verb.split(), *args)
            assert done.returncode == 2 and done.stdout == "", done
            assert f"usage: leat {verb}" in done.stderr, done
        if arguments and not arguments.startswith("["):
            done = run(*verb.split())
            assert done.returncode == 2, done
            assert "too few arguments" in done.stderr, done


def test_the_documents_agree_with_the_table():
    page = (ROOT / "docs/operations.md").read_text()
    section = re.search(r"^## The command\n(.*?)^## ", page, re.M | re.S)[1]
    listed = dict(re.findall(r"^\| `leat ([^`]+)` \| (.+) \|$", section, re.M))
    there = {}
    for verb, arguments in verbs().items():
        summary = words(help_of(verb).split("\n\n")[1])
        there[f"{verb} {arguments}".strip().replace("|", "\\|")] = summary
    assert listed == there, (listed, there)
    listed_verbs = verbs()
    # Each command in the pages is one of the table, with its options.
    checked = 0
    for path in [ROOT / "README.md", *(ROOT / "docs").glob("*.md")]:
        for command in re.findall(
                r"(?:`|^(?:    |\$ )?(?:\S*/)?)leat ([a-z][^`\n]*)(?:`|$)",
                code_of(path.read_text()), re.M):
            verb = next((v for v in listed_verbs if
                         re.match(rf"{v}\b", command)), None)
            assert verb or command in {v.split()[0] for v in listed_verbs}, \
                (path.name, command)
            for option in re.findall(r" (--[a-z-]+)", command):
                assert option in help_of(verb), (path.name, command)
            checked += 1
    fact(f"{checked} commands")


def test_candidates_agree_with_the_table():
    first = candidates("")
    assert set(first) == {v.split()[0] for v in verbs()}, first
    for verb in verbs():
        noun, *name = verb.split()
        if name:
            assert name[0] in candidates(noun, ""), verb
        assert set(options(verb)) <= set(candidates(*verb.split(), "--")), verb
        assert candidates("help", *verb.split()[:-1], verb.split()[-1])
    assert list(candidates("log", "ver")) == ["verify"]
    assert list(candidates("completion", "z")) == ["zsh"]
    assert list(candidates("log", "verify", "--dir", "")) == [":files"]
    for nothing in ((), ("nonsense", ""), ("status", "x", "y", "z")):
        candidates(*nothing)


def test_candidates_are_the_sinks_of_the_settings():
    sink_verbs = [v for v, arguments in verbs().items()
                  if arguments.split(" ")[0] == "SINK"]
    with tempfile.TemporaryDirectory() as d:
        conf = pathlib.Path(d) / "leat.conf"
        conf.write_text("[batchd]\nsinks = kafka $(reboot) postgres ;x\n"
                        "[sinkd-kafka]\nsinks = no\n")
        for verb in sink_verbs:
            found = candidates(*verb.split(), "--config", str(conf), "")
            assert list(found) == ["kafka", "postgres"], (verb, found)
        # A file that is missing, or is none, has no sinks.
        for path in (d, d + "/none", "/dev/null"):
            for verb in sink_verbs:
                found = candidates(*verb.split(), "--config", path, "")
                assert "kafka" not in found, found


def in_shell(shell, text, cursor_words, directory):
    """Complete a line in a real shell.  Returns the candidates."""
    env = {**os.environ, "HOME": str(directory), "TERM": "dumb",
           "PATH": f"{directory}:{os.environ['PATH']}"}
    link = directory / "leat"
    if not link.exists():
        link.symlink_to(program("leat"))
    if shell == "bash":
        script = ("source <(leat completion bash); COMP_WORDS=(" +
                  " ".join(f"'{w}'" for w in cursor_words) +
                  f"); COMP_CWORD={len(cursor_words) - 1}; _leat; "
                  "printf '%s\\n' \"${COMPREPLY[@]}\"")
    elif shell == "zsh":
        # compadd shows what _describe would offer.
        script = ("autoload -Uz compinit; compinit -u; "
                  "source <(leat completion zsh); "
                  "_describe() { local -a a; a=(${(P)3}); "
                  "print -rl -- ${a%%:*} }; _files() { print :files }; "
                  "words=(" + " ".join(f"'{w}'" for w in cursor_words) +
                  "); CURRENT=$#words; _leat")
    else:
        script = f"leat completion fish | source; complete -C '{text}'"
    done = subprocess.run([shutil.which(shell), *(["--no-config"] if
                           shell == "fish" else []), "-c", script],
                          capture_output=True, text=True, env=env, timeout=60,
                          cwd=directory, input="")
    assert done.returncode == 0 and done.stderr == "", done
    return [line.partition("\t")[0] for line in done.stdout.splitlines()
            if line]


def test_completion_in_real_shells():
    missing = [s for s in SHELLS if not shutil.which(s)]
    for shell in SHELLS:
        if shell in missing:
            continue
        with tempfile.TemporaryDirectory() as d:
            d = pathlib.Path(d)
            (d / "a file").touch()
            for text in ("", "lo", "log v", "tail --u", "completion "):
                line = text.split(" ")
                expected = list(candidates(*line))
                got = in_shell(shell, "leat " + text, ["leat", *line], d)
                assert sorted(got) == sorted(expected), (shell, text, got)
            line = ["log", "verify", "--dir", "a"]
            got = in_shell(shell, "leat " + " ".join(line), ["leat", *line], d)
            assert got in (["a file"], [":files"], ["a\\ file"]), (shell, got)
    if missing:
        raise Skip(f"not installed: {', '.join(missing)}; the others pass")


def test_the_manual_page_agrees_with_the_table():
    done = run("--manual")
    assert done.returncode == 0 and done.stderr == "", done
    page = re.sub(r"\\f[BIR]", "", done.stdout.replace("\\-", "-"))
    parts = re.split(r"^\.SS leat ", page, flags=re.M)[1:]
    assert len(parts) == len(verbs())
    for part, (verb, arguments) in zip(parts, verbs().items()):
        assert part.startswith(f"{verb} {arguments}".strip() + "\n"), part
        for option in options(verb):
            assert re.search(rf"^{option}\b", part, re.M), (verb, option)
    if not shutil.which("mandoc"):
        raise Skip("mandoc, which checks the page, is not installed")
    done = subprocess.run(["mandoc", "-Tlint", "-Wwarning"], text=True,
                          input=run("--manual").stdout, capture_output=True,
                          timeout=20)
    assert done.returncode == 0 and done.stdout == "", done
    text = subprocess.run(["mandoc", "-Tascii"], text=True, timeout=20,
                          input=run("--manual").stdout,
                          capture_output=True).stdout
    assert "EXIT STATUS" in re.sub(".\x08", "", text)


def test_output_that_cannot_be_written_is_a_failure():
    for args in (("help",), ("completion", "bash"), ("--manual",),
                 ("status", "--help")):
        with open("/dev/full", "w") as full:
            done = subprocess.run([program("leat"), *args], stdout=full,
                                  stderr=subprocess.PIPE, text=True, timeout=20)
        assert done.returncode == 1, (args, done)
        assert "cannot write to standard output" in done.stderr, done
