"""Set up the project's virtual environment from nothing: `make` calls this before everything else.

Run with any Python: it looks for a supported one, makes `.venv`, installs requirements.lock and the project, and
leaves a stamp, so that the next call returns at once until the lock or pyproject.toml changes. An interrupted set-up
is resumed by calling it again. No root is needed: where the system lacks the libGL that opencv-python wants, the same
version of opencv-python-headless takes its place.
"""

import argparse
import hashlib
import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
OLDEST, NEWEST = (3, 10), (3, 13)
# 3.11 first: the Python that the committed results were made with.
CANDIDATES = ("python3.11", "python3.12", "python3.13", "python3.10", "python3", "python")
# torch's CUDA build brings these; its CPU build needs none of them.
CUDA_ONLY = re.compile(r"(nvidia-|cuda-|triton\b)")


class SetUpError(Exception):
    """What is missing on this machine, and what to do about it."""


def main(arguments=None):
    """Parse the command line, set up, and report a fault as one message."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--venv", type=Path, default=ROOT / ".venv", help="where the environment goes")
    parser.add_argument("--python", default=None, help="the interpreter to use instead of looking for one")
    parser.add_argument("--torch-index", default=None, help="package index that torch and torchvision come from")
    options = parser.parse_args(arguments)
    try:
        set_up(options.venv.absolute(), options.python, options.torch_index or None)
    except SetUpError as error:
        print(f"set-up: {error}", file=sys.stderr)
        return 1
    except subprocess.CalledProcessError as error:
        command = " ".join(map(str, error.cmd))
        print(f"set-up: this command failed; run make again to go on from here:\n  {command}", file=sys.stderr)
        return 1
    return 0


def set_up(venv, python=None, torch_index=None):
    """Bring `venv` to what the lock says; do nothing when its stamp says that it is there already."""
    stamp, kept = venv / ".set-up", venv / ".torch-index"
    if torch_index is None and kept.is_file():  # named once, it holds for the environment
        torch_index = kept.read_text()
    wanted = digest(torch_index)
    if stamp.is_file() and stamp.read_text() == wanted and runs(venv):
        return
    stamp.unlink(missing_ok=True)
    say(f"setting up {venv} (a few minutes, once)")
    base = make_venv(venv, python)
    remove_half_installed(venv)
    pip = pip_command(venv, base)
    if torch_index:
        kept.write_text(torch_index)
        run([*pip, "install", "--index-url", torch_index, *torch_pins()])
    install_lock(venv, pip, without_cuda=bool(torch_index))
    replace_opencv_without_libgl(venv, pip)
    run([*pip, "install", "-qq", "--no-deps", "--no-build-isolation", "--editable", str(ROOT)])
    stamp.write_text(wanted)
    say("done")


def digest(torch_index=None):
    """Hash what the environment is made of, so that a change of it is noticed."""
    parts = [(ROOT / name).read_bytes() for name in ("requirements.lock", "pyproject.toml")]
    return hashlib.sha256(b"\0".join([*parts, (torch_index or "").encode()])).hexdigest()


def make_venv(venv, python=None):
    """Make the environment unless a working one is there; return the interpreter it came from, None if unknown."""
    if runs(venv):
        return None
    base = find_python(python)
    say(f"Python: {base}")
    bare = [] if output(base, "import ensurepip") is not None else ["--without-pip"]
    run([base, "-m", "venv", "--clear", *bare, str(venv)])
    return base


def find_python(python=None):
    """Return an interpreter that the project supports and that can make environments."""
    seen = []
    for name in [python] if python else CANDIDATES:
        path = shutil.which(name)
        version = path and output(path, "import sys; print('%d.%d' % sys.version_info[:2])")
        if not version:
            continue
        seen.append(f"{path} ({version})")
        if not OLDEST <= tuple(map(int, version.split("."))) <= NEWEST:
            continue
        if output(path, "import venv, ensurepip") is None and output(path, "import venv, pip") is None:
            raise SetUpError(
                f"{path} (Python {version}) cannot make virtual environments: its module ensurepip is missing. "
                f"On Debian and Ubuntu: sudo apt-get install python{version}-venv, then run make again."
            )
        return path
    raise SetUpError(
        f"wanted Python {text(OLDEST)} to {text(NEWEST)}, found {', '.join(dict.fromkeys(seen)) or 'none'}. "
        "Install one (Debian, Ubuntu: sudo apt-get install python3 python3-venv) or name it: make PYTHON=/path/to/it"
    )


def pip_command(venv, base):
    """Return the pip to use: the environment's own, or that of the Python it was made from."""
    if output(python_of(venv), "import pip") is not None:
        return [python_of(venv), "-m", "pip", "--no-input", "--disable-pip-version-check"]
    base = base or find_python()
    return [base, "-m", "pip", "--no-input", "--disable-pip-version-check", "--python", python_of(venv)]


def install_lock(venv, pip, without_cuda=False):
    """Install what requirements.lock names, in one call of pip."""
    lines = (ROOT / "requirements.lock").read_text().splitlines()
    if installed_version(venv, "opencv-python-headless"):
        lines = [re.sub(r"^opencv-python==", "opencv-python-headless==", line) for line in lines]
    if without_cuda:
        lines = [line for line in lines if not CUDA_ONLY.match(line)]
    with tempfile.TemporaryDirectory() as folder:
        chosen = Path(folder, "requirements.txt")
        chosen.write_text("\n".join(lines) + "\n")
        # A person watches pip's progress bars; a log needs errors only.
        run([*pip, "install", *([] if sys.stdout.isatty() else ["-qq"]), "--requirement", str(chosen)])


def replace_opencv_without_libgl(venv, pip):
    """Swap opencv-python for opencv-python-headless of the same version where it cannot be imported.

    The two share one folder, `cv2`, so they must never be installed together.
    """
    fault = import_fault(venv, "cv2")
    version = installed_version(venv, "opencv-python")
    if version and ".so" in fault:
        say(f"this system lacks a library that opencv-python needs ({fault}): taking opencv-python-headless instead")
        run([*pip, "uninstall", "-qq", "--yes", "opencv-python"])
        run([*pip, "install", "-qq", "--no-deps", "--force-reinstall", f"opencv-python-headless=={version}"])
        fault = import_fault(venv, "cv2")
    if fault:
        raise SetUpError(f"OpenCV is installed but cannot be imported: {fault}")


def remove_half_installed(venv):
    """Forget packages that an interrupted pip left unfinished, so that it installs them again.

    pip writes INSTALLER and rewrites RECORD at the end of each package, and keeps what it is replacing as "~name".
    """
    for folder in venv.glob("lib/python3*/site-packages/*"):
        record = folder / "RECORD"
        half = folder.suffix == ".dist-info" and not (
            (folder / "INSTALLER").is_file() and record.is_file() and "/INSTALLER" in record.read_text()
        )
        if half or folder.name.startswith("~"):
            say(f"left unfinished earlier: {folder.name}")
            shutil.rmtree(folder, ignore_errors=True)


def torch_pins():
    """Return the lock's versions of torch and torchvision."""
    return re.findall(r"^((?:torch|torchvision)==[^\s;]+)", (ROOT / "requirements.lock").read_text(), re.MULTILINE)


def runs(venv):
    """Tell whether the environment's interpreter is there, starts, and is a supported one."""
    version = output(python_of(venv), "import sys; print('%d.%d' % sys.version_info[:2])")
    return bool(version) and OLDEST <= tuple(map(int, version.split("."))) <= NEWEST


def import_fault(venv, module):
    """Return the message with which a module fails to import, "" when it imports."""
    code = f"try:\n import {module}\n print('')\nexcept ImportError as error:\n print(error)"
    found = output(python_of(venv), code)
    return f"{module} ends the interpreter" if found is None else found


def installed_version(venv, package):
    """Return a package's version in the environment, None where it is not installed."""
    code = f"from importlib.metadata import version; print(version({package!r}))"
    return output(python_of(venv), code)


def python_of(venv):
    """Return the path of the environment's interpreter."""
    return str(venv / "bin" / "python")


def output(python, code):
    """Run a line of code in an interpreter; return what it printed, None when it failed or is not there."""
    try:
        done = subprocess.run([python, "-c", code], capture_output=True, text=True, cwd=tempfile.gettempdir())
    except OSError:
        return None
    return done.stdout.strip() if done.returncode == 0 else None


def run(command):
    """Run a command, its output shown; fail when it fails."""
    subprocess.run(command, check=True, cwd=str(ROOT), env={**os.environ, "PYTHONNOUSERSITE": "1"})


def say(message):
    """Print one line at once, also into a pipe."""
    print(f"set-up: {message}", flush=True)


def text(version):
    """Write a version as people do."""
    return ".".join(map(str, version))


if __name__ == "__main__":
    sys.exit(main())
