"""What the documents name exists: files, functions, tests, links."""
import pathlib
import re

from leat import fact

ROOT = pathlib.Path(__file__).resolve().parents[2]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md",
         *sorted((ROOT / "docs").glob("*.md"))]
# Directories whose names begin the path of a file of ours.
TOP = ("batchd", "bench", "docs", "ingestd", "leat", "libbase", "libhttp",
       "libjson", "libproto", "libsink", "scripts", "sinkd-clickhouse",
       "sinkd-dashboard", "sinkd-kafka", "sinkd-postgres", "tests")
# Names that are in the documents and not in the tree.
FOREIGN = {"init_transactions", "pg_hba.conf", "leat/dead-kafka"}


def tree():
    """The paths of all files of the tree."""
    skipped = {"build", "var", ".git"}
    return {str(p.relative_to(ROOT)) for p in ROOT.rglob("*")
            if p.relative_to(ROOT).parts[0] not in skipped}


def prose(page):
    """A page without its blocks of code."""
    return re.sub(r"^ *```.*?^ *```", "", page.read_text(), flags=re.M | re.S)


def spans():
    """(page, text) of each piece of code in a line of prose."""
    for page in PAGES:
        for text in re.findall(r"`([^`\n]+)`", prose(page)):
            yield page.name, text


def test_the_files_that_are_named_exist():
    paths, names = tree(), set()
    for path in paths:
        names.add(path.rpartition("/")[2])
    checked, missing = 0, []
    for page, text in spans():
        path = re.fullmatch(r"([\w./-]+\.(?:c|h|cc|py|md|conf)|(?:%s)/[\w./-]+)"
                            % "|".join(TOP), text)
        # X is for any name.
        if not path or "X" in text or text in FOREIGN or text[0] == "/":
            continue
        checked += 1
        name = path[1].rstrip("/")
        # A file without its directory, or a module without its suffix.
        if not ({name, name + ".c", name + ".h", name + ".py"} &
                (paths if "/" in name else names)):
            missing.append(f"{page}: {text}")
    assert not missing, "\n".join(missing)
    fact(f"{checked} files")


def tests():
    """The names of the tests in each file."""
    functions = {}
    for path in (ROOT / "tests").rglob("test_*"):
        if path.suffix == ".py":
            found = re.findall(r"^def test_(\w+)", path.read_text(), re.M)
        elif path.suffix == ".c":
            found = re.findall(r"^(?:START_TEST|TEST|TEST_LOOP)\((\w+)",
                               path.read_text(), re.M)
        else:
            continue
        functions.setdefault(path.stem, set()).update(found)
    return functions


def test_the_tests_that_are_named_exist():
    functions = tests()
    everything = set.union(*functions.values())
    checked, missing = 0, []
    for page, text in spans():
        test = re.fullmatch(r"(?:unit )?(test_\w+)(?:\.(\w+))?", text)
        if not test:
            continue
        checked += 1
        names = functions.get(test[1])
        if names is None or (test[2] and not any(
                f.startswith(test[2]) for f in names)):
            missing.append(f"{page}: {text}")
    assert not missing, "\n".join(missing)
    # The second of two names is often without its file's.
    for text in re.findall(r"(?<=, )`([a-z]\w+(?:_\w+){3,})`",
                           prose(ROOT / "docs/guarantees.md")):
        if not text.startswith("test_"):
            checked += 1
            assert any(f.startswith(text) for f in everything), text
    fact(f"{checked} tests")


def identifiers():
    """All identifiers of the C and C++ sources."""
    found = set()
    for path in tree():
        if path.endswith((".c", ".h", ".cc")):
            found.update(re.findall(r"[A-Za-z_]\w+",
                                    (ROOT / path).read_text(errors="replace")))
    return found


def test_the_functions_that_are_named_exist():
    """On the two pages that lead into the code."""
    known, sentences = identifiers(), set.union(*tests().values())
    checked, missing = 0, []
    for page in ("architecture.md", "guarantees.md"):
        for text in re.findall(r"`([^`\n]+)`", prose(ROOT / "docs" / page)):
            if not re.fullmatch(r"[a-z][a-z0-9]*(?:_[a-z0-9]+)+", text) or \
                    text.startswith("test_") or text in sentences:
                continue
            checked += 1
            if text not in known and text not in settings() and \
                    text not in FOREIGN:
                missing.append(f"{page}: {text}")
    assert checked > 40 and not missing, "\n".join(missing)
    fact(f"{checked} functions")


def settings():
    return set(re.findall(r"^#? ?([a-z_]+) =", (ROOT / "leat.conf").read_text(),
                          re.M))


def test_the_fuzz_targets_are_listed():
    page = (ROOT / "docs/testing.md").read_text()
    table = re.search(r"^\| target \|.*\n(?:\|.*\n)*", page, re.M)[0]
    listed = re.findall(r"`(\w+)`", "".join(
        line.split("|")[1] for line in table.splitlines()))
    there = [p.stem.removeprefix("fuzz_")
             for p in (ROOT / "tests/fuzz").glob("fuzz_*.c")]
    assert sorted(listed) == sorted(there), (listed, there)


def anchor(title):
    """As GitHub makes the anchor of a heading."""
    kept = "".join(c for c in title.lower() if c.isalnum() or c in " -_")
    return kept.strip().replace(" ", "-")


def test_the_links_lead_somewhere():
    checked, broken = 0, []
    for page in PAGES:
        for target in re.findall(r"\]\(([^)\s]+)\)", prose(page)):
            if "://" in target:
                continue
            checked += 1
            name, _, section = target.partition("#")
            file = (page.parent / name).resolve() if name else page
            if not file.exists():
                broken.append(f"{page.name}: {target}")
                continue
            titles = re.findall(r"^#+ (.+)$", file.read_text(), re.M) \
                if section else []
            if section and section not in map(anchor, titles):
                broken.append(f"{page.name}: {target}")
    assert checked > 20 and not broken, "\n".join(broken)
    fact(f"{checked} links")


def test_architecture_lists_every_file():
    """Its tables have each source file of the product, and no other."""
    page = (ROOT / "docs/architecture.md").read_text()
    listed, section = set(), None
    for line in page.splitlines():
        if title := re.match(r"### `([\w-]+)`", line):
            section = title[1]
        elif line.startswith("#"):
            section = None
        elif section and line.startswith("| `"):
            for name in re.findall(r"`([\w.-]+)`", line.split("|")[1]):
                listed.add(f"{section}/{name}")
    there = set()
    for path in tree():
        directory, _, name = path.partition("/")
        if directory in TOP and directory not in ("bench", "docs", "scripts",
                                                  "tests"):
            if name.endswith((".c", ".h", ".cc")):
                there.add(f"{directory}/{name.rpartition('.')[0]}")
    assert listed == there, (sorted(there - listed), sorted(listed - there))
    fact(f"{len(there)} modules")
