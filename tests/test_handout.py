"""Handing out: no solution is left, everything else is, and nobody's work is overwritten."""

from __future__ import annotations

import re
from pathlib import Path

import jupytext
import pytest
from click.testing import CliRunner

from fer_repro import book, cli, handout

ROOT = Path(__file__).resolve().parent.parent
SOURCES = sorted((ROOT / "notebooks").glob("*.py"))


@pytest.mark.parametrize("source", SOURCES, ids=lambda path: path.stem)
def test_each_exercise_stays_and_each_solution_goes(source: Path) -> None:
    whole = source.read_text(encoding="utf-8")
    left = handout.without_solutions(whole)
    exercises = re.findall(r"\{exercise\}.*\n# :label: (\S+)", whole)
    assert re.findall(r"\{exercise\}.*\n# :label: (\S+)", left) == exercises
    assert left.count(handout.PLACE) == whole.count("{solution-start}") == len(exercises) > 0
    assert "{solution-" not in left
    solutions = "".join(re.findall(r"(?s)\{solution-start\}.*?\{solution-end\}", whole))
    lost = [line for line in whole.splitlines() if line not in left.splitlines() and line not in solutions.splitlines()]
    assert all("{solution-start}" in line or "{solution-end}" in line for line in lost)
    assert compile(left, str(source), "exec")


def test_notebooks_are_written_and_never_over_another(tmp_path: Path) -> None:
    call = ["handout", "bilstm", "03", "--to", str(tmp_path / "for class")]
    done = CliRunner().invoke(cli.main, call)
    assert done.exit_code == 0, done.output
    paths = [Path(line) for line in done.output.splitlines()]
    assert [path.name for path in paths] == ["05_bilstm.ipynb", "03_center_loss.ipynb"]
    cells = jupytext.read(paths[0]).cells
    assert any(handout.PLACE in cell.source for cell in cells if cell.cell_type == "markdown")
    assert any("parameters" in cell.metadata.get("tags", []) for cell in cells)  # papermill finds them
    paths[0].write_text("a student's")
    again = CliRunner().invoke(cli.main, call)
    assert again.exit_code == 1
    assert "left alone" in again.output
    assert paths[0].read_text() == "a student's"


def test_a_full_disk_leaves_no_half_of_a_notebook(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(self: Path, text: str, **_: object) -> None:
        self.touch()
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(Path, "write_text", full)
        with pytest.raises(OSError, match=r"03_center_loss\.ipynb: cannot be written"):
            handout.write(tmp_path, "03")
    assert not list(tmp_path.iterdir())
    assert handout.write(tmp_path, "03")


def test_what_cannot_be_handed_out_is_refused(tmp_path: Path) -> None:
    with pytest.raises(book.BookError, match="no notebook named 'nothing'"):
        handout.write(tmp_path / "to", "nothing")
    with pytest.raises(book.BookError, match=r"without its other end: .solution-start. ex-a"):
        handout.without_solutions("# ```{solution-start} ex-a\n# :class: dropdown\n# ```\n# told\n")
    assert not (tmp_path / "to").exists()
