"""What README.md and its companions tell a reader to type works as it stands there."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import click
import nbformat
import numpy as np
import pytest

from fer_repro import claims, cli, data, paper

ROOT = Path(__file__).resolve().parent.parent
README = (ROOT / "README.md").read_text()
PAGES = {
    name: (ROOT / name).read_text()
    for name in ("README.md", "CONTRIBUTING.md", "book/running.md", "book/teaching.md", "book/intro.md")
}


def commands(program: str) -> list[tuple[str, str]]:
    """Every call of a program on the pages, as (page, command): console lines, and code within a sentence."""
    found = set()
    for page, text in PAGES.items():
        lines = re.findall(r"^\s*\$ (.+)$", text, re.MULTILINE) + re.findall(r"(?<!`)`([^`]+)`(?!`)", text)
        found |= {(page, " ".join(line.split())) for line in lines if line.strip().startswith(program + " ")}
    return sorted(found)


@pytest.fixture
def a_readers_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A checkout's folder with the files that the pages' commands name beside it."""
    for name in ("notebooks", "plans", "results"):
        if (ROOT / name).exists():
            (tmp_path / name).symlink_to(ROOT / name)
    (tmp_path / "faces" / "fer2013").mkdir(parents=True)
    (tmp_path / "photo.jpg").touch()
    monkeypatch.chdir(tmp_path)
    return tmp_path


def parse(command: click.Command, arguments: list[str], parent: click.Context | None = None) -> None:
    """Parse a command line to its end with all checks of values, and run nothing."""
    context = command.make_context(command.name, list(arguments), parent=parent)
    if isinstance(command, click.Group):
        rest = [*context._protected_args, *context.args]
        _, child, rest = command.resolve_command(context, rest)
        assert child is not None
        parse(child, rest, context)


def test_the_pages_name_commands() -> None:
    """The search itself finds what it must, so that the tests below are not empty."""
    found = [line for page, line in commands("fer-repro") if page == "README.md"]
    for sub in ("train", "evaluate", "predict", "sweep", "data", "ledger", "book", "handout"):
        assert any(line.split()[1] == sub for line in found), sub


@pytest.mark.parametrize(("page", "line"), commands("fer-repro"))
def test_each_fer_repro_command_parses(page: str, line: str, a_readers_folder: Path) -> None:
    words = shlex.split(line)[1:]
    if len(words) == 1:  # a command named in a sentence, without its arguments
        assert words[0] in cli.main.commands, page
    else:
        parse(cli.main, words)


@pytest.mark.parametrize("words", [["trane"], ["train", "--recepi", "quick"], ["train", "--recipe", "quikc"]])
def test_a_command_misspelt_would_be_noticed(words: list[str], a_readers_folder: Path) -> None:
    with pytest.raises(click.UsageError):
        parse(cli.main, words)


@pytest.mark.parametrize(("page", "line"), commands("make"))
def test_each_make_target_is_there(page: str, line: str) -> None:
    makefile = (ROOT / "Makefile").read_text()
    for word in shlex.split(line)[1:]:
        if "=" in word:
            assert re.search(rf"^{word.split('=')[0]}\s*\?=", makefile, re.MULTILINE), (page, word)
        else:
            assert re.search(rf"^{word}:", makefile, re.MULTILINE), (page, word)


def test_torchrun_starts_a_module_that_runs() -> None:
    (line,) = {line for _, line in commands("torchrun")}
    assert "-m fer_repro.cli train" in line
    shown = subprocess.run([sys.executable, "-m", "fer_repro.cli", "train", "--help"], capture_output=True, text=True)
    assert shown.returncode == 0
    assert "--recipe" in shown.stdout
    parse(cli.main, shlex.split(line.split("fer_repro.cli ")[1]))


def test_links_lead_somewhere() -> None:
    for page in ("README.md", "CONTRIBUTING.md"):
        for target in re.findall(r"\]\(([^)#]+)\)", PAGES[page]):
            assert target.startswith("https://") or (ROOT / target).is_file(), (page, target)


def test_the_picture_is_a_drawing_with_a_text_for_those_who_do_not_see_it() -> None:
    alternative, target = re.findall(r"!\[([^\]]+)\]\(([^)]+)\)", README)[0]
    drawing = (ROOT / target).read_text()
    assert len(alternative) > 40
    assert "<title" in drawing
    assert "<desc" in drawing
    assert "<image" not in drawing, "no raster picture within"


def test_the_findings_have_their_place() -> None:
    """`fer-repro ledger --write` finds its two markers, once each, and the end after the beginning."""
    assert README.count(claims.BEGIN) == README.count(claims.END) == 1
    assert README.index(claims.BEGIN) < README.index(claims.END)


def write_fer2013_csv(path: Path, count: int) -> None:
    """Write drawn faces in the form of fer2013.csv, so that no real one is needed."""
    faces = data.load("synthetic", seed=0)
    faces = faces[np.random.default_rng(0).permutation(len(faces))[:count]]
    usage = {"train": "Training", "val": "PublicTest", "test": "PrivateTest"}
    rows = ["emotion,pixels,Usage"]
    for image, label, split in zip(faces.images, faces.labels, faces.split, strict=True):
        rows.append(f"{label},{' '.join(map(str, image.ravel()))},{usage[split]}")
    path.write_text("\n".join(rows) + "\n")


def test_the_readmes_papermill_command_runs_as_it_stands(a_readers_folder: Path) -> None:
    """The very lines of the README, on drawn faces written as a fer2013.csv."""
    lines = [next(line for page, line in commands(tool) if page == "README.md") for tool in ("jupytext", "papermill")]
    write_fer2013_csv(a_readers_folder / "faces" / "fer2013" / "fer2013.csv", 600)
    environment = {
        **os.environ,
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "FER_REPRO_CACHE": str(a_readers_folder / "cache"),
    }
    for line in lines:
        done = subprocess.run(line.split(), env=environment, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr[-3000:]
    notebook = nbformat.read(a_readers_folder / lines[1].split()[2], as_version=4)
    injected = [cell for cell in notebook.cells if "injected-parameters" in cell.metadata.get("tags", [])]
    assert 'dataset = "fer2013"' in injected[0].source
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert all(cell.execution_count for cell in code)
    assert any(output.output_type == "display_data" for cell in code for output in cell.outputs)


def test_counts_and_times_that_the_first_pages_name_are_those_of_the_book() -> None:
    minutes = [int(n) for path in ROOT.glob("notebooks/*.py") for n in re.findall(r"minutes=(\d+)", path.read_text())]
    assert f"some {round(sum(minutes) / 60)} hours" in " ".join(PAGES["book/teaching.md"].split())
    intro = PAGES["book/intro.md"]
    assert f"*{paper.QUESTIONS[0].id}* to *{paper.QUESTIONS[-1].id}*" in intro
    assert f"*{paper.INCONSISTENCIES[0].id}* to *{paper.INCONSISTENCIES[-1].id}*" in intro
