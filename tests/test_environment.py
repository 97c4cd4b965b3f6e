"""The set-up: pyproject.toml, requirements.lock and environment.yml name one set; the script that installs it."""

from __future__ import annotations

import ast
import importlib.util
import re
import sys
from importlib import metadata
from pathlib import Path
from types import ModuleType

import pytest
import yaml
from packaging.markers import default_environment
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

try:
    import tomllib
except ModuleNotFoundError:  # Python 3.10
    import tomli as tomllib

ROOT = Path(__file__).resolve().parent.parent
PYTHONS = ("3.10", "3.11", "3.12", "3.13")


def wanted() -> list[str]:
    """The lines of pyproject.toml that the lock and environment.yml must hold: the project's and the tests'."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    return project["dependencies"] + project["optional-dependencies"]["test"]


def lock() -> list[Requirement]:
    lines = (ROOT / "requirements.lock").read_text().splitlines()
    return [Requirement(line) for line in lines if not line.startswith("#")]


def on_python(version: str, **others: str) -> dict[str, str]:
    environment = {**default_environment(), "python_version": version, "python_full_version": f"{version}.5"}
    return {**environment, "sys_platform": "linux", "platform_machine": "x86_64", **others}


def pins(version: str) -> dict[str, str]:
    """The lock's version of each package on one Python."""
    found: dict[str, str] = {}
    for requirement in lock():
        if requirement.marker is None or requirement.marker.evaluate(on_python(version)):
            (pin,) = requirement.specifier
            assert pin.operator == "==", requirement
            name = canonicalize_name(requirement.name)
            assert name not in found, f"{name} stands twice in the lock on Python {version}"
            found[name] = pin.version
    return found


# --- three lists, one set -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("version", PYTHONS)
def test_the_lock_satisfies_pyproject_on_each_python(version: str) -> None:
    pinned = pins(version)
    for line in wanted():
        requirement = Requirement(line)
        if requirement.marker is None or requirement.marker.evaluate(on_python(version)):
            assert pinned[canonicalize_name(requirement.name)] in requirement.specifier, line


def test_the_lock_names_packages_and_nothing_of_a_machine() -> None:
    for line in (ROOT / "requirements.lock").read_text().splitlines():
        assert line.startswith("#") or re.fullmatch(r"[A-Za-z0-9._\[\]-]+==[^\s;/]+( ; [^/]+)?", line), line


def test_one_opencv_only() -> None:
    assert [name for name in pins("3.11") if name.startswith("opencv")] == ["opencv-python"]


def test_the_lock_holds_all_that_its_packages_need() -> None:
    """What an installed package asks for, on this Python, is in the lock at a version that it accepts."""
    version = f"{sys.version_info[0]}.{sys.version_info[1]}"
    pinned = pins(version)
    environment = {**on_python(version), "extra": ""}
    checked = 0
    for name in pinned:
        try:
            needs = metadata.requires(name) or []
        except metadata.PackageNotFoundError:  # opencv-python where its headless build stands in
            continue
        for need in map(Requirement, needs):
            if need.marker is None or need.marker.evaluate(environment):
                assert need.specifier.contains(pinned[canonicalize_name(need.name)], prereleases=True), (name, need)
                checked += 1
    assert checked > 100


def test_conda_gets_the_same_set() -> None:
    environment = yaml.safe_load((ROOT / "environment.yml").read_text())
    (listed,) = [entry["pip"] for entry in environment["dependencies"] if isinstance(entry, dict)]
    assert [line for line in listed if not line.startswith("--")] == wanted()
    assert [line for line in listed if line.startswith("--")] == ["--constraint requirements.lock", "--editable ."]
    python = next(line for line in environment["dependencies"] if isinstance(line, str) and line.startswith("python"))
    assert all(version in Requirement(python).specifier for version in PYTHONS)
    assert not any(version in Requirement(python).specifier for version in ("3.9", "3.14"))


def test_each_dependency_says_why_it_is_there() -> None:
    lines = (ROOT / "pyproject.toml").read_text().splitlines()
    for requirement in wanted():
        (line,) = [line for line in lines if line.startswith(f'  "{requirement}"')]
        assert re.search(r"#\s\S+\s\S+", line), f"no reason beside {requirement}"


def test_what_the_library_imports_is_named() -> None:
    """No package is used that only happens to come along with another."""
    folders = [ROOT / "fer_repro", ROOT / "tests", ROOT / "benchmarks", ROOT / "book" / "_ext"]
    files = [path for folder in folders for path in folder.rglob("*.py")]
    imports = (
        {name for path in files for name in imported(path)} - set(sys.stdlib_module_names) - {"fer_repro", "tomllib"}
    )
    own = {path.stem for path in files} | {path.name for path in folders}
    optional = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    extras = [line for lines in optional.values() for line in lines]
    named = {canonicalize_name(Requirement(line).name) for line in [*wanted(), *extras]}
    named |= {"opencv-python-headless", "distributed"}  # what stands in without libGL; dask[distributed]
    # Python 3.10 knows only what wheels say in top_level.txt, which these two do not.
    distributions = {"sklearn": ["scikit-learn"], "skimage": ["scikit-image"], **metadata.packages_distributions()}
    unnamed = {
        module: distributions.get(module, [])
        for module in imports - own
        if not {canonicalize_name(name) for name in distributions.get(module, [module])} & named
    }
    assert unnamed == {}


def imported(path: Path) -> set[str]:
    """The first names of the modules that a file imports, wherever in it, relative ones left out."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            found.add(node.module.split(".")[0])
    return found


# --- the same commands everywhere ---------------------------------------------------------------------------------


def test_ci_and_the_workflow_call_make() -> None:
    script = (ROOT / ".ci" / "run").read_text()
    workflow = (ROOT / ".github" / "workflows" / "book.yml").read_text()
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    for text in (script, workflow):
        called = set(re.findall(r"\bmake ([a-z]+)", text))
        assert {"test", "book"} <= called <= targets
    jobs = yaml.safe_load(workflow)["jobs"]
    assert tuple(jobs["test"]["strategy"]["matrix"]["python"]) == PYTHONS


def test_pre_commit_runs_what_lint_runs() -> None:
    hooks = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text())["repos"][0]["hooks"]
    lint = (ROOT / "Makefile").read_text().split("lint: ")[1].split("\n\n")[0]
    for hook in hooks:
        assert hook["entry"].split("/")[-1].split()[0] in lint


# --- the set-up script --------------------------------------------------------------------------------------------


@pytest.fixture
def script() -> ModuleType:
    specification = importlib.util.spec_from_file_location("set_up", ROOT / "scripts" / "set_up.py")
    assert specification is not None
    assert specification.loader is not None
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    return module


def fake_python(folder: Path, name: str, version: str, modules: tuple[str, ...] = ("venv", "ensurepip", "pip")) -> Path:
    """A shell script that answers the set-up's questions as an interpreter with these modules would."""
    path = folder / name
    have = " ".join(modules)
    path.write_text(
        f"""#!/bin/sh
case "$2" in
  *version_info*) echo {version} ;;
  import*) for module in $(echo "$2" | tr -d ',' | cut -d' ' -f2-); do
             case " {have} " in *" $module "*) ;; *) exit 1 ;; esac
           done ;;
esac
"""
    )
    path.chmod(0o755)
    return path


def test_a_supported_python_is_found_beside_an_old_one(script, tmp_path, monkeypatch) -> None:
    fake_python(tmp_path, "python3", "3.9")
    wanted_one = fake_python(tmp_path, "python3.12", "3.12")
    monkeypatch.setenv("PATH", f"{tmp_path}:/bin")
    monkeypatch.setattr(script, "CANDIDATES", ("python3", "python3.12"))
    assert script.find_python() == str(wanted_one)


def test_a_python_too_old_is_named_with_what_to_do(script, tmp_path) -> None:
    old = fake_python(tmp_path, "python3", "3.9")
    with pytest.raises(
        script.SetUpError, match=r"wanted Python 3\.10 to 3\.13, found .*python3 \(3\.9\)\. Install one"
    ):
        script.find_python(str(old))


def test_a_python_too_new_is_refused(script, tmp_path) -> None:
    new = fake_python(tmp_path, "python3", "3.14")
    with pytest.raises(script.SetUpError, match=r"found .*python3 \(3\.14\)"):
        script.find_python(str(new))


def test_no_python_at_all(script, monkeypatch, tmp_path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(script.SetUpError, match="found none"):
        script.find_python()


def test_a_python_without_venv_says_which_package_to_install(script, tmp_path, capfd) -> None:
    bare = fake_python(tmp_path, "python3", "3.11", modules=("venv",))
    assert script.main(["--venv", str(tmp_path / "venv"), "--python", str(bare)]) == 1
    assert "sudo apt-get install python3.11-venv, then run make again" in capfd.readouterr().err


def test_pip_of_the_base_serves_where_ensurepip_is_missing(script, tmp_path) -> None:
    bare = fake_python(tmp_path, "python3", "3.11", modules=("venv", "pip"))
    assert script.find_python(str(bare)) == str(bare)
    command = script.pip_command(tmp_path / "venv", str(bare))
    assert command[0] == str(bare)
    assert command[-2:] == ["--python", str(tmp_path / "venv" / "bin" / "python")]


def opencv(script: ModuleType, monkeypatch, fault: str, version: str | None = "4.14.0.94") -> list[list[str]]:
    """Pretend that `import cv2` fails with `fault` as long as opencv-python is there; collect pip's commands."""
    commands: list[list[str]] = []

    def run(command: list[str]) -> None:
        commands.append(command)

    monkeypatch.setattr(script, "run", run)
    monkeypatch.setattr(script, "installed_version", lambda venv, package: version)
    monkeypatch.setattr(script, "import_fault", lambda venv, module: "" if commands else fault)
    return commands


def test_without_libgl_the_headless_build_of_the_same_version_replaces_opencv(script, monkeypatch, tmp_path) -> None:
    fault = "libGL.so.1: cannot open shared object file: No such file or directory"
    commands = opencv(script, monkeypatch, fault)
    script.replace_opencv_without_libgl(tmp_path, ["pip"])
    assert [command[1] for command in commands] == ["uninstall", "install"]
    assert commands[0][-1] == "opencv-python"
    assert commands[1][-1] == "opencv-python-headless==4.14.0.94"


def test_an_opencv_that_imports_is_left_alone(script, monkeypatch, tmp_path) -> None:
    commands = opencv(script, monkeypatch, "")
    script.replace_opencv_without_libgl(tmp_path, ["pip"])
    assert commands == []


def test_another_fault_of_opencv_is_reported_and_not_papered_over(script, monkeypatch, tmp_path) -> None:
    opencv(script, monkeypatch, "numpy.core.multiarray failed to import")
    with pytest.raises(script.SetUpError, match="cannot be imported: numpy"):
        script.replace_opencv_without_libgl(tmp_path, ["pip"])


def installed_lines(script: ModuleType, monkeypatch, headless: str | None, without_cuda: bool = False) -> list[str]:
    """What would be handed to pip, given the headless OpenCV that is installed already."""
    lines: list[str] = []
    monkeypatch.setattr(script, "run", lambda command: lines.extend(Path(command[-1]).read_text().splitlines()))
    monkeypatch.setattr(script, "installed_version", lambda venv, package: headless)
    script.install_lock(Path("venv"), ["pip"], without_cuda)
    return lines


def test_a_later_set_up_keeps_the_headless_build(script, monkeypatch) -> None:
    version = pins("3.11")["opencv-python"]
    assert f"opencv-python=={version}" in installed_lines(script, monkeypatch, None)
    again = installed_lines(script, monkeypatch, version)
    assert f"opencv-python-headless=={version}" in again
    assert f"opencv-python=={version}" not in again


def test_torch_without_cuda_leaves_only_cuda_out(script, monkeypatch) -> None:
    everything = set(installed_lines(script, monkeypatch, None))
    left_out = everything - set(installed_lines(script, monkeypatch, None, without_cuda=True))
    assert left_out
    assert all(re.match(r"nvidia|cuda|triton", line) for line in left_out)
    pinned = pins("3.11")
    assert script.torch_pins() == [f"torch=={pinned['torch']}", f"torchvision=={pinned['torchvision']}"]


def package(folder: Path, name: str, complete: bool) -> Path:
    info = folder / f"{name}-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(f"Name: {name}\n")
    (info / "RECORD").write_text(f"{name}.py,,\n" + (f"{info.name}/INSTALLER,,\n" if complete else ""))
    if complete:
        (info / "INSTALLER").write_text("pip\n")
    return info


def test_an_interrupted_install_is_forgotten_so_that_pip_repeats_it(script, tmp_path) -> None:
    site = tmp_path / "lib" / "python3.11" / "site-packages"
    whole, half = package(site, "whole", True), package(site, "half", False)
    (site / "~orch").mkdir()
    script.remove_half_installed(tmp_path)
    assert whole.is_dir()
    assert not half.exists()
    assert not (site / "~orch").exists()


def test_this_environment_holds_no_half_installed_package(script) -> None:
    """pip really does leave INSTALLER in every package, which is what the clean-up rests on."""
    ours = [found for found in metadata.distributions() if found.metadata["Name"] in ("numpy", "click", "pytest")]
    assert ours
    assert all(found.read_text("INSTALLER") for found in ours)


def test_the_stamp_spares_the_second_set_up_until_the_lock_changes(script, monkeypatch, tmp_path) -> None:
    (tmp_path / "requirements.lock").write_text("numpy==2.0\n")
    (tmp_path / "pyproject.toml").write_text("[project]\n")
    monkeypatch.setattr(script, "ROOT", tmp_path)
    monkeypatch.setattr(script, "runs", lambda venv: True)
    monkeypatch.setattr(script, "pip_command", lambda venv, base: ["pip"])
    commands = opencv(script, monkeypatch, "")
    venv = tmp_path / "venv"
    venv.mkdir()
    script.set_up(venv)
    first = len(commands)
    script.set_up(venv)
    assert 0 < first == len(commands)
    (tmp_path / "requirements.lock").write_text("numpy==2.1\n")
    script.set_up(venv)
    assert len(commands) == 2 * first


def test_an_index_named_once_holds_for_later_calls(script, monkeypatch, tmp_path) -> None:
    monkeypatch.setattr(script, "runs", lambda venv: True)
    monkeypatch.setattr(script, "pip_command", lambda venv, base: ["pip"])
    commands = opencv(script, monkeypatch, "")
    venv = tmp_path / "venv"
    venv.mkdir()
    script.set_up(venv, torch_index="https://here")
    first = len(commands)
    script.set_up(venv)
    assert len(commands) == first > 0
    (venv / ".set-up").unlink()  # as after an interruption, or for another lock
    script.set_up(venv)
    indices = [line[line.index("--index-url") + 1] for line in commands if "--index-url" in line]
    assert indices == ["https://here"] * 2
    script.set_up(venv, torch_index="https://there")
    script.set_up(venv)
    assert [line for line in commands if "https://there" in line] == [commands[2 * first]]


def test_a_failed_command_leaves_no_stamp_and_says_how_to_go_on(script, monkeypatch, tmp_path, capfd) -> None:
    monkeypatch.setattr(script, "runs", lambda venv: True)
    monkeypatch.setattr(script, "pip_command", lambda venv, base: ["false"])
    venv = tmp_path / "venv"
    venv.mkdir()
    (venv / ".set-up").write_text("of an earlier lock")
    assert script.main(["--venv", str(venv)]) == 1
    assert "run make again" in capfd.readouterr().err
    assert not (venv / ".set-up").exists()
