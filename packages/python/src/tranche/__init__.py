"""tranche from Python: a service of its own, and answers about the rows of a data frame.

Both call the command `tranche`; what it can do beyond this, the command does.
"""
import json
import os
import subprocess
import sys
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Iterator, Mapping, Optional, Sequence, Union
from urllib.request import Request, urlopen

from . import command

__all__ = ["Clock", "Error", "Server", "run", "serve"]
__version__ = "0.1.0"
ROW = "tranche row"  # column of the rows that are given to the command, and the only one that comes back
SOME_FAILED = 1  # exit code of a run with rows that have an error


class Error(RuntimeError):
    """The command ended without a result; the text is its message."""


class Clock:
    """The clock of a service that was started with test_clock=True."""

    def __init__(self, url: str):
        self._url = f"{url}/tranche/v1/clock"

    def _call(self, request: Request) -> str:
        with urlopen(request, timeout=60) as reply:
            return json.load(reply)["now"]

    def now(self) -> str:
        """The time in RFC 3339."""
        return self._call(Request(self._url))

    def advance(self, seconds: float) -> str:
        """Moves the service's time forward, with all that is due by then, and returns the new time."""
        body = json.dumps({"seconds": seconds}).encode()
        return self._call(Request(f"{self._url}:advance", data=body, headers={"Content-Type": "application/json"}))


class Server:
    """A running service."""

    def __init__(self, url: str, log: Path):
        self.url = url  #: base URL, such as http://127.0.0.1:40123
        self.log = log  #: file of its log
        self.clock = Clock(url)
        self._client = None

    @property
    def client(self) -> Any:
        """A google.genai.Client for it; needs the package google-genai."""
        if self._client is None:
            try:
                from google import genai
            except ImportError:
                raise Error("Server.client needs google-genai: pip install 'tranche-batch[client]'") from None
            self._client = genai.Client(api_key="any", http_options={"base_url": self.url})
        return self._client


@contextmanager
def serve(*, state: Union[str, os.PathLike, None] = None, config: Union[str, os.PathLike, None] = None,
          listen: str = "127.0.0.1:0", test_clock: bool = False, options: Sequence[str] = ()) -> Iterator[Server]:
    """Runs `tranche serve` for the time of a `with`.

    state: the folder of its jobs and objects; without it a new one, which is removed at the end.
    options: more options of `tranche serve`.
    """
    with tempfile.TemporaryDirectory(prefix="tranche-") as place:
        arguments = ["serve", "--json", "--listen", listen, "--state", str(state or Path(place) / "state"),
                     *(["--config", str(config)] if config else []),
                     *(["--test-clock"] if test_clock else []), *options]
        if command.needs_model(arguments):
            command.fetch_model()
        log = Path(place) / "serve.log"
        with open(log, "wb") as errors:
            process = subprocess.Popen([command.program(), *arguments], stdin=subprocess.DEVNULL,
                                       stdout=subprocess.PIPE, stderr=errors, env=command.environment(), text=True)
        try:
            line = process.stdout.readline()
            if not line:
                process.wait()
                raise Error(f"tranche serve ended with code {process.returncode}: {log.read_text(errors='replace')[-2000:]}")
            yield Server(json.loads(line)["url"], log)
        finally:
            process.terminate()
            try:
                process.wait(timeout=60)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
            process.stdout.close()


def _rows(frame: Any) -> "tuple[list, list]":
    """Columns and rows of a frame of pandas or polars, or of a list of mappings."""
    if hasattr(frame, "to_dicts"):
        return list(frame.columns), frame.to_dicts()
    if hasattr(frame, "to_dict") and hasattr(frame, "columns"):
        return [str(c) for c in frame.columns], [
            {str(k): v for k, v in row.items()} for row in frame.to_dict("records")]
    rows = list(frame)
    return list({name: None for row in rows for name in row}), rows


def _is_missing(value: Any) -> bool:
    """None, NaN, NaT and pandas.NA: the values that do not equal themselves, or cannot say so."""
    if value is None:
        return True
    try:
        return bool(value != value)
    except (TypeError, ValueError):  # pandas.NA; arrays compare by element
        return type(value).__name__ == "NAType"


def _plain(value: Any) -> Any:
    """What JSON has no type for: numpy's numbers as Python's, times and all else as their text."""
    if hasattr(value, "tolist"):
        return value.tolist()
    if hasattr(value, "isoformat"):
        return value.isoformat()
    if isinstance(value, bytes):
        import base64
        return base64.b64encode(value).decode()
    return str(value)


def _schema_text(schema: Any) -> str:
    if isinstance(schema, str):
        return schema
    if hasattr(schema, "model_json_schema"):
        schema = schema.model_json_schema()
    return json.dumps(schema)


def _add(frame: Any, columns: list, answers: list) -> Any:
    """The frame with the answers' columns behind its own; a name that is there already gets _2 and so on."""
    added = {}
    for column in list(answers[0]) if answers else []:
        name, number = column, 2
        while name in columns or name in added:
            name, number = f"{column}_{number}", number + 1
        added[name] = [answer.get(column) for answer in answers]
    if hasattr(frame, "to_dicts"):
        import polars
        return frame.with_columns(*(polars.Series(name, values, strict=False) for name, values in added.items()))
    if hasattr(frame, "assign"):
        import pandas
        return frame.assign(**{name: pandas.Series(values, index=frame.index) for name, values in added.items()})
    return [{**row, **{name: values[at] for name, values in added.items()}} for at, row in enumerate(frame)]


def _call(arguments: list, quiet: bool) -> "tuple[int, str]":
    """Runs the command: its code and its messages, which go to our standard error as they come, unless quiet."""
    said = []
    with subprocess.Popen([command.program(), *arguments], env=command.environment(), stdin=subprocess.DEVNULL,
                          stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, errors="replace") as process:
        for line in process.stderr:
            said.append(line)
            if not quiet:
                sys.stderr.write(line)
    return process.returncode, "".join(said)


def run(frame: Any, *, prompt: str, schema: Any = None, enum: Optional[Sequence[str]] = None,
        system: Optional[str] = None, model: Optional[str] = None, upstream: Optional[str] = None,
        parameters: Optional[Mapping[str, Any]] = None, options: Sequence[str] = (), quiet: bool = False) -> Any:
    """Asks the prompt about each row, and returns the frame with the answers as new columns.

    frame: of pandas or polars, or a list of mappings; it is not changed, and its rows stay in order.
    prompt: the text, in which {column} is a cell.
    schema: a JSON Schema as text or mapping, or a class of pydantic: its properties become columns.
    enum: the answers that are allowed.
    parameters: members of generationConfig, such as {"temperature": 0}.
    options: more options of `tranche run`.

    Columns are answer (or the properties of the schema), error and tokens. A row that failed has its reason in
    error; Error is raised when nothing could be run. Answers of an earlier call with the same question are used
    again; options=["--fresh"] asks anew.
    """
    columns, rows = _rows(frame)
    if not rows:
        raise Error("the frame has no rows")
    for value in enum or ():
        if "," in value:
            raise ValueError(f"a value of enum cannot have a comma: {value!r}; give a schema with an enum")
    with tempfile.TemporaryDirectory(prefix="tranche-") as place:
        given, answered = Path(place) / "rows.jsonl", Path(place) / "answers.jsonl"
        with open(given, "w", encoding="utf-8") as out:
            for number, row in enumerate(rows):
                whole = {name: None if _is_missing(row.get(name)) else row[name] for name in columns}
                whole[ROW] = number
                out.write(json.dumps(whole, ensure_ascii=False, default=_plain, allow_nan=False) + "\n")
        arguments = ["run", str(given), "-o", str(answered), "--prompt", prompt, "--keep-columns", ROW]
        for name, value in (("--system", system), ("--model", model), ("--upstream", upstream),
                            ("--enum", ",".join(enum) if enum else None),
                            ("--schema", _schema_text(schema) if schema is not None else None)):
            if value is not None:
                arguments += [name, value]
        for name, value in (parameters or {}).items():
            arguments += ["--param", f"{name}={json.dumps(value)}"]
        arguments += [*(["--quiet"] if quiet else []), *options]
        if command.needs_model(arguments):
            command.fetch_model()
        code, said = _call(arguments, quiet)
        if code not in (0, SOME_FAILED):
            raise Error(said.strip() or f"tranche run ended with code {code}")
        with open(answered, encoding="utf-8") as lines:
            answers = [json.loads(line) for line in lines]
    for answer in answers:
        del answer[ROW]
    return _add(frame, columns, answers)
