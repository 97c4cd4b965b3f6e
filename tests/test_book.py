"""The builder: what is executed, what is left alone, and that a fault never spoils an earlier good book."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import textwrap
import time
from pathlib import Path
from typing import Any

import psutil
import pytest

from fer_repro import book

ROOT = Path(__file__).parents[1]
PARAMETERS = 'profile = "quick"\ndataset = "synthetic"\ndata_dir = None\nseed = 0\ndevice = "auto"\n'


def chapter(title: str, code: str, parameters: str = PARAMETERS) -> str:
    """A notebook's source: a title, its parameters, one cell of code."""
    code = textwrap.dedent(code).strip()
    return f'# %% [markdown]\n# # {title}\n\n# %% tags=["parameters"]\n{parameters}\n# %%\n{code}\n'


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A checkout with this book's own pages and two small chapters."""
    shutil.copytree(ROOT / "book", tmp_path / "book", ignore=shutil.ignore_patterns("notebooks", "__pycache__"))
    shutil.copyfile(ROOT / "_config.yml", tmp_path / "_config.yml")
    (tmp_path / "notebooks").mkdir()
    (tmp_path / "fer_repro").mkdir()
    (tmp_path / "fer_repro" / "part.py").write_text("VALUE = 1\n")
    (tmp_path / "notebooks" / "01_data.py").write_text(chapter("Data", "print('seed', seed, profile)"))
    (tmp_path / "notebooks" / "02_preprocessing.py").write_text(chapter("Preprocessing", "print(6 * 7)"))
    return tmp_path


def build(root: Path, **options: object) -> book.Built:
    lines: list[str] = options.pop("lines", [])  # type: ignore[assignment]
    settings: dict[str, object] = {"root": root, "html": False, "jobs": 1, "echo": lines.append, **options}
    return book.build(**settings)  # type: ignore[arg-type]


def executed(root: Path, name: str) -> dict:
    return json.loads((root / "book" / "notebooks" / f"{name}.ipynb").read_text())


def printed(root: Path, name: str) -> str:
    cells = executed(root, name)["cells"]
    return "".join("".join(output["text"]) for cell in cells for output in cell.get("outputs", []))


# ---------------------------------------------------------------------------------------------------------------------
# What is executed


def test_executes_every_notebook_once_and_then_only_what_changed(checkout: Path) -> None:
    assert build(checkout).executed == ("01_data", "02_preprocessing")
    assert printed(checkout, "02_preprocessing") == "42\n"
    again = build(checkout)
    assert again.executed == ()
    assert again.reused == ("01_data", "02_preprocessing")
    (checkout / "notebooks" / "02_preprocessing.py").write_text(chapter("Preprocessing", "print(6 * 8)"))
    assert build(checkout).executed == ("02_preprocessing",)
    assert printed(checkout, "02_preprocessing") == "48\n"


def test_library_records_and_damage_make_stale(checkout: Path) -> None:
    reading = chapter("Results", "from fer_repro import results\nprint('read')")
    (checkout / "notebooks" / "10_results.py").write_text(reading)
    build(checkout)
    (checkout / "results").mkdir()
    (checkout / "results" / "run.json").write_text("{}")
    assert build(checkout).executed == ("10_results",)  # only the chapter that reads records
    (checkout / "book" / "notebooks" / "01_data.ipynb").write_text("{}")
    assert build(checkout).executed == ("01_data",)
    (checkout / "fer_repro" / "part.py").write_text("VALUE = 2\n")
    assert len(build(checkout).executed) == 3


def test_a_stopped_build_begins_no_further_chapter(checkout: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    begun: list[str] = []

    def execute(edition: book.Edition, name: str, *others: Any) -> Any:
        begun.append(name)
        raise KeyboardInterrupt  # as Ctrl-C does, while the first chapter runs

    for number in range(3, 9):
        (checkout / "notebooks" / f"0{number}_more.py").write_text(chapter("More", "1"))
    monkeypatch.setattr(book, "_execute", execute)
    with pytest.raises(KeyboardInterrupt):
        build(checkout, jobs=1)
    assert len(begun) < 8


def test_chapters_under_way_at_once_have_a_folder_each_and_leave_the_process_where_it_was(checkout: Path) -> None:
    where = "import os, time\ntime.sleep({})\nprint(os.path.relpath(os.getcwd(), '../..'))"
    (checkout / "notebooks" / "01_data.py").write_text(chapter("Data", where.format(3)))
    (checkout / "notebooks" / "02_preprocessing.py").write_text(chapter("Preprocessing", where.format(0)))
    here = Path.cwd()
    build(checkout, jobs=2)
    assert Path.cwd() == here
    assert [printed(checkout, name) for name in ("01_data", "02_preprocessing")] == [
        "01_data/here\n",
        "02_preprocessing/here\n",
    ]


def test_an_interrupted_build_ends_its_kernels_and_keeps_what_had_ended(checkout: Path) -> None:
    (checkout / "notebooks" / "02_preprocessing.py").write_text(
        chapter("Preprocessing", "import time\ntime.sleep(600)")
    )
    lines: list[str] = []

    def interrupt(line: str) -> None:  # when the first chapter has been told as done, the second is under way
        lines.append(line)
        if "01_data" in line:
            deadline = time.monotonic() + 60
            while not any(c for c in psutil.Process().children() if "ipykernel_launcher" in c.cmdline()):
                assert time.monotonic() < deadline
                time.sleep(0.1)
            raise KeyboardInterrupt

    started, here = time.monotonic(), Path.cwd()
    with pytest.raises(KeyboardInterrupt):
        build(checkout, jobs=2, echo=interrupt)
    assert Path.cwd() == here
    assert time.monotonic() - started < 120
    assert not any("ipykernel_launcher" in child.cmdline() for child in psutil.Process().children())
    assert (checkout / "book" / "notebooks" / "01_data.ipynb").is_file()
    (checkout / "notebooks" / "02_preprocessing.py").write_text(chapter("Preprocessing", "print(6 * 7)"))
    assert build(checkout).executed == ("02_preprocessing",)


def test_a_damaged_note_and_a_page_that_has_left_the_book(checkout: Path) -> None:
    edition = book.Edition(checkout, seed=3)
    (checkout / "book" / "extra.md").write_text("# Extra\n")
    book._copy_sources(edition)
    assert (edition.sources / "extra.md").is_file()
    (checkout / "book" / "extra.md").unlink()
    book._copy_sources(edition)
    assert not (edition.sources / "extra.md").exists()
    assert (edition.sources / "intro.md").is_file()
    edition.cache.mkdir(parents=True)
    (edition.cache / "pages.json").write_bytes(b"\xff{")
    assert book._note(edition, "pages") == {}


def test_executing_twice_gives_the_same_bytes(checkout: Path) -> None:
    build(checkout)
    before = (checkout / "book" / "notebooks" / "01_data.ipynb").read_bytes()
    build(checkout, force=True)
    assert (checkout / "book" / "notebooks" / "01_data.ipynb").read_bytes() == before
    assert str(checkout).encode() not in before


def test_only_executes_what_is_named_and_names_what_there_is(checkout: Path) -> None:
    assert build(checkout, only="preprocessing").executed == ("02_preprocessing",)
    assert build(checkout, only=["01"]).executed == ("01_data",)
    with pytest.raises(book.BookError, match=r"no notebook named 'nothing'; there are 01_data, 02_preprocessing"):
        build(checkout, only="nothing")


def test_notebooks_see_the_parameters_but_no_real_faces(checkout: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FER_REPRO_DATA", str(checkout))
    code = "import os\nprint(seed, data_dir, os.environ.get('FER_REPRO_DATA'), os.environ['OMP_NUM_THREADS'])"
    (checkout / "notebooks" / "01_data.py").write_text(chapter("Data", code))
    build(checkout, only="01_data")
    assert printed(checkout, "01_data") == f"0 None None {os.cpu_count()}\n"
    assert os.environ["FER_REPRO_DATA"] == str(checkout)


def test_an_edition_with_real_data_keeps_apart_from_the_published_one(checkout: Path, tmp_path: Path) -> None:
    faces = tmp_path / "faces"
    faces.mkdir()
    (faces / "a.csv").write_text("1")
    options = {"profile": "native48", "dataset": "fer2013", "data_dir": faces}
    assert build(checkout, **options).executed == ("01_data", "02_preprocessing")
    source = checkout / "_build" / "fer2013-native48" / "source"
    assert (source / "notebooks" / "01_data.ipynb").is_file()
    assert (source / "intro.md").is_file()
    assert not (checkout / "book" / "notebooks").exists()
    assert build(checkout, **options).executed == ()
    (faces / "a.csv").write_text("12")
    assert len(build(checkout, **options).executed) == 2


# ---------------------------------------------------------------------------------------------------------------------
# What fails


def test_a_failing_notebook_is_named_with_its_cell_and_error_and_the_earlier_one_stays(checkout: Path) -> None:
    build(checkout)
    before = (checkout / "book" / "notebooks" / "02_preprocessing.ipynb").read_bytes()
    wrong = chapter("Preprocessing", "first = 1\n\n# %%\nraise ValueError('kernel 4 is even')")
    (checkout / "notebooks" / "02_preprocessing.py").write_text(wrong)
    with pytest.raises(book.BookError, match="kernel 4 is even") as caught:
        build(checkout)
    message = str(caught.value)
    assert "02_preprocessing failed in cell" in message
    assert "ValueError" in message
    assert "| raise ValueError" in message
    assert (checkout / "book" / "notebooks" / "02_preprocessing.ipynb").read_bytes() == before
    partial = checkout / "_build" / "failed" / "published" / "02_preprocessing.ipynb"
    assert str(partial) in message
    assert "kernel 4 is even" in partial.read_text()


def test_the_other_notebooks_go_on_when_one_fails(checkout: Path) -> None:
    (checkout / "notebooks" / "01_data.py").write_text(chapter("Data", "1 / 0"))
    with pytest.raises(book.BookError, match="01_data failed in cell"):
        build(checkout)
    assert printed(checkout, "02_preprocessing") == "42\n"


def test_a_killed_kernel_is_noticed_although_every_cell_says_completed(checkout: Path) -> None:
    code = "print('fine')\n\n# %%\nimport os, signal\nos.kill(os.getpid(), signal.SIGKILL)\n\n# %%\nprint('never')"
    (checkout / "notebooks" / "01_data.py").write_text(chapter("Data", code))
    with pytest.raises(book.BookError, match="the kernel died") as caught:
        build(checkout)
    assert "SIGKILL" in str(caught.value)  # the cell it died in
    assert not (checkout / "book" / "notebooks" / "01_data.ipynb").exists()


def test_a_notebook_without_a_parameter_is_refused_before_it_runs(checkout: Path) -> None:
    short = PARAMETERS.replace("seed = 0\n", "")
    (checkout / "notebooks" / "01_data.py").write_text(chapter("Data", "open('ran', 'w')", short))
    with pytest.raises(book.BookError, match=r"lacks seed: wanted profile, dataset, data_dir, seed, device"):
        build(checkout)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"profile": "slow"}, "no profile named 'slow': wanted one of quick, native48, paper128"),
        ({"dataset": "jaffe"}, "no data set named 'jaffe'"),
        ({"dataset": "fer2013"}, "name its folder with --data-dir or FER_REPRO_DATA"),
        ({"dataset": "fer2013", "data_dir": "/no/such/folder"}, "/no/such/folder does not exist"),
        ({"jobs": 0}, "--jobs 0: wanted at least 1"),
        ({"root": "/"}, "wanted a folder with notebooks/ and book/_toc.yml"),
    ],
)
def test_wrong_arguments_say_what_was_wanted(
    checkout: Path, monkeypatch: pytest.MonkeyPatch, options: dict, message: str
) -> None:
    monkeypatch.delenv("FER_REPRO_DATA", raising=False)
    with pytest.raises(book.BookError, match=message):
        build(**{"root": checkout, **options})


def test_two_builds_at_once_are_refused(checkout: Path) -> None:
    with book._alone(book.Edition(checkout)), pytest.raises(book.BookError, match="another build"):
        build(checkout)


# ---------------------------------------------------------------------------------------------------------------------
# Contents and pages


def test_contents_hold_the_chapters_that_are_there(checkout: Path) -> None:
    (checkout / "notebooks" / "77_extra.py").write_text(chapter("Extra", "1"))
    build(checkout, only=["02", "77"])
    toc, notes = book.contents(book.Edition(checkout))
    files = [chapter["file"] for part in toc["parts"] for chapter in part["chapters"]]
    assert "notebooks/02_preprocessing" in files
    assert "notebooks/77_extra" in files
    assert "notebooks/01_data" not in files
    assert any("not executed yet: 01_data" in note for note in notes)
    assert any("not in book/_toc.yml" in note and "77_extra" in note for note in notes)


def test_a_removed_chapter_leaves_the_book(checkout: Path) -> None:
    build(checkout)
    (checkout / "notebooks" / "01_data.py").unlink()
    build(checkout)
    assert not (checkout / "book" / "notebooks" / "01_data.ipynb").exists()


def test_pages_are_made_once_and_a_warning_leaves_the_earlier_ones(checkout: Path) -> None:
    first = build(checkout, html=True)
    assert first.pages_written
    assert first.html is not None
    page = (first.html / "notebooks" / "02_preprocessing.html").read_text()
    assert "42" in page
    assert not build(checkout, html=True).pages_written
    code = "1\n\n# %% [markdown]\n# See {numref}`fig-nowhere`."
    (checkout / "notebooks" / "02_preprocessing.py").write_text(chapter("Preprocessing", code))
    with pytest.raises(book.BookError, match="fig-nowhere"):
        build(checkout, html=True)
    assert (first.html / "notebooks" / "02_preprocessing.html").read_text() == page
    assert not list(first.html.parent.glob(".pages-*"))


def test_only_what_a_missing_chapter_defines_may_be_referred_to_in_vain(checkout: Path) -> None:
    def refer(label: str) -> None:
        code = f"1\n\n# %% [markdown]\n# See {{numref}}`{label}`."
        (checkout / "notebooks" / "02_preprocessing.py").write_text(chapter("Preprocessing", code))

    (checkout / "notebooks" / "01_data.py").write_text(chapter("Data", "name = 'fig-there'"))
    refer("fig-there")
    lines: list[str] = []
    assert build(checkout, html=True, only="02", lines=lines).pages_written
    assert any("warning" in line and "fig-there" in line for line in lines)
    refer("fig-nowhere")
    with pytest.raises(book.BookError, match="fig-nowhere"):
        build(checkout, html=True, only="02")


def test_a_check_of_nothing_changed_does_not_import_torch(checkout: Path) -> None:
    build(checkout)
    again = f"book.build(root={str(checkout)!r}, html=False)"
    code = f"import sys; from fer_repro import book; {again}; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "False"


@pytest.mark.parametrize(
    ("code", "tags"),
    [
        ("figures.header_card('Sec. III', [])", ["remove-input"]),
        ("from fer_repro.figures import show_source\nshow_source(f)", ["remove-input"]),
        ("def draw():\n    return 1\n\nfigures.show(draw, 'fig-a', 'b', 'c')", ["hide-input"]),
        ("x = 1\nfigures.say('hello')", []),
        ("x = 1\nfigures.say(\n    'many'\n    'lines'\n)", ["hide-input"]),
        ("if found:\n    figures.say('a')\nelse:\n    figures.say('b')", ["remove-input"]),
        ("if found:\n    x = 1\n    figures.table(x)", ["hide-input"]),
        ("if found:\n    x = 1", []),
        ("%matplotlib inline", []),
        ("print(1)", []),
    ],
)
def test_cells_that_only_set_the_page_are_folded(code: str, tags: list[str]) -> None:
    nbformat = pytest.importorskip("nbformat")
    cell = nbformat.v4.new_code_cell(code)
    assert book._presentation(cell) == tags
    cell.metadata["tags"] = ["show-input"]
    assert book._presentation(cell) == []


def test_the_committed_contents_name_every_notebook() -> None:
    import yaml

    toc = yaml.safe_load((ROOT / "book" / "_toc.yml").read_text())
    listed = {chapter["file"] for part in toc["parts"] for chapter in part["chapters"]}
    sources = {f"notebooks/{path.stem}" for path in (ROOT / "notebooks").glob("[0-9][0-9]_*.py")}
    assert sources <= listed, f"add to book/_toc.yml: {sorted(sources - listed)}"


def test_a_name_that_is_no_text_has_a_hash() -> None:
    assert book._hash(["caf\udce9.jpg"]) != book._hash(["caf\udce8.jpg"])


def test_a_chapter_depends_on_plans_and_on_a_data_file(tmp_path: Path) -> None:
    faces, plan = tmp_path / "faces.csv", tmp_path / "plans" / "p.toml"
    plan.parent.mkdir()

    def key(source: str) -> str:
        return book._Inputs(book.Edition(tmp_path, data_dir=faces)).key(source)

    faces.write_text("a")
    plan.write_text("a")
    before = key("print()"), key("results.load_all()")
    plan.write_text("b")
    assert key("print()") == before[0] and key("results.load_all()") != before[1]
    faces.write_text("longer")
    assert key("print()") != before[0]


@pytest.mark.parametrize(
    "read",
    [
        *("results.load_all()", "claims.ledger(records, found)", "hazards.facts()", "mechanisms.measure(m)"),
        *("sensitivity.missing(records, readings)", "speed.record('growth')", "sweep.outlook(plans, root)"),
        "consistency.human_agreement()",
    ],
)
def test_a_chapter_that_reads_records_depends_on_them(read: str, tmp_path: Path) -> None:
    (tmp_path / "results").mkdir()
    before = book._Inputs(book.Edition(tmp_path))
    (tmp_path / "results" / "a.json").write_text("{}")
    after = book._Inputs(book.Edition(tmp_path))
    assert before.key(f"x = {read}") != after.key(f"x = {read}")
    assert before.key("x = 1") == after.key("x = 1")


def test_a_chapter_depends_on_parameters_packages_and_when_a_data_file_was_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def key(**options: Any) -> str:
        return book._Inputs(book.Edition(tmp_path, **options)).key("print()")

    assert len({key(), key(device="cpu"), key(seed=1), key(profile="native48"), key(dataset="fer2013")}) == 5
    faces = tmp_path / "faces.csv"
    faces.write_text("a")
    os.utime(faces, (1, 1))
    before = key(data_dir=faces)
    os.utime(faces, (2, 2))
    assert key(data_dir=faces) != before
    before = key()
    monkeypatch.setattr(book, "_versions", lambda: ["numpy==9.9"])
    assert key() != before


def test_kernels_share_the_cores_and_find_the_records_of_their_checkout(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(book, "cores", lambda: 8)
    monkeypatch.delenv("FER_REPRO_RESULTS", raising=False)
    before = dict(os.environ)
    for jobs, threads in ((1, "8"), (3, "2"), (16, "1")):
        with book._environment(book.Edition(tmp_path, data_dir=tmp_path), jobs):
            assert {os.environ[f"{n}_NUM_THREADS"] for n in ("OMP", "MKL", "OPENBLAS")} == {threads}
            assert os.environ["FER_REPRO_RESULTS"] == str(tmp_path / "results")
            assert os.environ["FER_REPRO_DATA"] == str(tmp_path)
        assert dict(os.environ) == before
    assert book._jobs(None) == 4


@pytest.mark.parametrize(("timeout", "given"), [(0, None), (7, 7)])
def test_a_cell_may_take_as_long_as_it_is_told(
    checkout: Path, monkeypatch: pytest.MonkeyPatch, timeout: int, given: int | None
) -> None:
    seen: list[Any] = []

    def execute(*_: Any, **options: Any) -> None:
        seen.append(options["execution_timeout"])
        raise ValueError("looked")

    monkeypatch.setattr("papermill.execute_notebook", execute)
    with pytest.raises(book.BookError, match="looked"):
        build(checkout, only="01", timeout=timeout)
    assert seen == [given]


def test_chapters_that_train_begin_first(checkout: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    begun: list[str] = []

    def execute(edition: book.Edition, name: str, *others: Any) -> book.Failure:
        begun.append(name)
        return book.Failure(name, None, "", "not run", None)

    (checkout / "notebooks" / "02_preprocessing.py").write_text(chapter("Preprocessing", "training.train(faces)"))
    monkeypatch.setattr(book, "_execute", execute)
    with pytest.raises(book.BookError, match="2 notebooks failed"):
        build(checkout)
    assert begun == ["02_preprocessing", "01_data"]


def test_pages_depend_on_records_sources_and_contents(checkout: Path) -> None:
    edition, keys = book.Edition(checkout), []
    for change in (None, "results/run.json", "book/more.md", "fer_repro/part.py", "benchmarks/one.py", "_config.yml"):
        if change:
            (checkout / change).parent.mkdir(exist_ok=True)
            (checkout / change).write_text("changed: 1")
        keys.append(book._pages_key(edition, {"parts": []}))
    keys.append(book._pages_key(edition, {"parts": [{"chapters": []}]}))
    assert len(set(keys)) == len(keys) == 7


def test_a_page_that_was_not_written_is_a_problem_and_so_is_each_kind_of_complaint(tmp_path: Path) -> None:
    toc = {"root": "intro", "parts": [{"chapters": [{"file": "notebooks/01_data"}]}]}
    (tmp_path / "intro.html").write_text("")

    def problems(said: str = "", status: int = 0) -> list[str]:
        return book._problems(subprocess.CompletedProcess([], status, said, ""), tmp_path, toc)

    missing = "no page was written for notebooks/01_data"
    assert problems() == [missing]
    (tmp_path / "notebooks").mkdir()
    (tmp_path / "notebooks" / "01_data.html").write_text("")
    assert problems("all is well") == []
    for line in ("a.md:3: WARNING: odd", "a.md:3: ERROR: odd", "Extension error (a)", "ValueError: odd"):
        assert problems(f"fine\n\x1b[31m{line}\x1b[0m\n{line}\n") == [line]
    assert problems("last words", status=2) == ["last words", "exit status 2"]
