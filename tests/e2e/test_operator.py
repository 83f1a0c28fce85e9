"""The program as its operator meets it: the check of a configuration, metrics, backups, installing."""
import contextlib
import http.server
import json
import os
import pathlib
import pwd
import re
import shutil
import signal
import socket
import sqlite3
import subprocess
import tempfile
import threading
import time
import urllib.request

import pytest

from conftest import PROGRAM, ROOT, request
from test_serve import JOBS, OK, STOPPED, USAGE, make_key, serve  # noqa: F401 (a fixture)

# ---- config check ----


def check(tranche, text, *arguments, name="config.yaml"):
    """The exit code, and the findings as (line, field, message, severity)."""
    (tranche.folder / name).write_text(text)
    done = tranche("config", "check", name, "--json", *arguments)
    findings = [json.loads(line) for line in done.stdout.splitlines()]
    return done.returncode, [
        (f.get("line"), f["field"], f["message"], f["severity"]) for f in findings]


def make_pair(folder, name):
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
         "-keyout", folder / f"{name}.key", "-out", folder / f"{name}.pem", "-subj", "/CN=localhost"],
        check=True, capture_output=True)


def test_config_check_shows_every_fault_at_once_in_the_order_of_the_file(tranche):
    text = """default_model: gone
service:
  listen: 127.0.0.1:99999
  tls_cert: absent.pem
  queue_hours: 3d
models:
  - { name: a, kind: loacl }
  - { nme: b }
  - { name: c, file: absent.gguf }
upstreams:
  - { name: u, url: "http://127.0.0.1:9/v1", key_env: NOT_SET_ANYWHERE }
  - { name: v, url: "http://127.0.0.1:9/v1", key_file: absent.key, ca_file: absent.pem }
"""
    code, findings = check(tranche, text)
    assert code == USAGE
    assert [(line, field) for line, field, _, _ in findings] == [
        (1, "default_model"), (3, "service.listen"), (4, "service.tls_cert"),
        (5, "service.queue_hours"), (7, "models[0].kind"), (8, "models[1]"), (9, "models[2].file"),
        (11, "upstreams[0].key_env"), (12, "upstreams[1].key_file"), (12, "upstreams[1].ca_file")]
    assert {severity for _, _, _, severity in findings} == {"error"}


def test_config_check_prints_a_line_for_each_fault_and_their_number(tranche):
    (tranche.folder / "c.yaml").write_text("limits: 3\nservice: { queue_hours: 0 }\n")
    done = tranche("config", "check", "c.yaml")
    assert done.returncode == USAGE
    assert done.stdout.splitlines() == [
        'c.yaml (line 1, column 9): limits: "3" does not fit; it takes keys and values',
        'c.yaml (line 2, column 25): service.queue_hours: "0" does not fit; it takes a whole number '
        'from 1 to 87840']
    assert done.stderr == "error: c.yaml: 2 errors\n"


@pytest.mark.parametrize("listen", ["8080", ":8080", "127.0.0.1:0", "localhost:8080", "'[::1]:8080'"])
def test_config_check_takes_what_a_start_takes(tranche, listen):
    text = f"default_model: tranche-fake\nservice:\n  listen: {listen}\n"
    assert check(tranche, text) == (OK, [])


def test_config_check_reads_the_configuration_that_serve_would_find(tranche):
    (tranche.folder / "own.yaml").write_text("defualt_model: x\n")
    done = tranche("config", "check", TRANCHE_CONFIG="own.yaml")
    assert done.returncode == USAGE and "did you mean" in done.stdout
    done = tranche("config", "check", "absent.yaml")
    assert done.returncode == USAGE and "absent.yaml" in done.stderr


def test_config_check_warns_without_failing(tranche):
    text = """default_model: tranche-fake
models: [{ name: a, kind: fake }, { name: a, kind: fake }]
service: { webhook_allow: [hooks.example] }
"""
    code, findings = check(tranche, text)
    assert code == OK
    assert [(field, severity) for _, field, _, severity in findings] == [
        ("models[1].name", "warning"), ("service.webhook_allow", "warning")]


def test_config_check_names_a_key_that_is_not_of_the_certificate(tranche):
    for name in ("a", "b"):
        make_pair(tranche.folder, name)
    text = "default_model: tranche-fake\nservice: {{ tls_cert: {}, tls_key: {} }}\n"
    assert check(tranche, text.format("a.pem", "a.key")) == (OK, [])
    for cert, key, says in [("a.pem", "b.key", "is not that of the certificate"),
                            ("a.key", "a.key", "holds no certificate"),
                            ("a.pem", "a.pem", "holds no private key")]:
        code, [(_, field, message, _)] = check(tranche, text.format(cert, key))
        assert (code, field) == (USAGE, "service.tls_cert") and says in message
        refused = tranche("serve", "--config", "config.yaml", "--state", "new", timeout=60)
        assert refused.returncode == USAGE and says in refused.stderr
        assert not (tranche.folder / "new").exists()


def test_config_check_looks_at_the_state_and_leaves_it_as_it_is(tranche):
    text = "default_model: tranche-fake\nservice: { listen: 0.0.0.0:8080 }\n"
    code, [(_, field, message, _)] = check(tranche, text, "--state", "state")
    assert (code, field) == (USAGE, "service.listen") and "keys create" in message
    assert not (tranche.folder / "state").exists()
    make_key(tranche)
    before = sorted(p.name for p in (tranche.folder / "state").iterdir())
    assert check(tranche, text, "--state", "state") == (OK, [])
    assert sorted(p.name for p in (tranche.folder / "state").iterdir()) == before


def test_config_check_works_beside_a_server(tranche, serve):  # noqa: F811
    make_key(tranche)
    serve()
    text = "default_model: tranche-fake\nservice: { listen: 0.0.0.0:8080 }\n"
    assert check(tranche, text, "--state", "state") == (OK, [])


def test_a_start_names_the_first_fault_and_how_many_there_are(tranche):
    (tranche.folder / "c.yaml").write_text("limits: 3\nretry: 4\n")
    done = tranche("serve", "--config", "c.yaml", "--state", "state", timeout=60)
    assert done.returncode == USAGE
    assert "limits: " in done.stderr and "`tranche config check` lists 1 more" in done.stderr


def test_config_takes_no_other_verb(tranche):
    assert tranche("config", "verify").returncode == USAGE
    assert "write config check" in tranche("config", "verify").stderr


# ---- Metrics ----

SERIES = re.compile(r'^([a-z_]+)(?:\{((?:[a-z_]+="(?:[^"\\\n]|\\[\\"n])*",?)*)\})? '
                    r'(-?[0-9.]+(?:e[-+]?[0-9]+)?|[+-]Inf|NaN)$')
LABEL = re.compile(r'([a-z_]+)="((?:[^"\\]|\\.)*)"')
PRICED = """default_model: tranche-fake
models: [{ name: priced, kind: fake, price: { input: 100, output: 200 } }]
"""


def scrape(server):
    """{(name, labels)}: value, after the rules of the format and of `promtool check metrics`."""
    status, text = server.call("/metrics")
    assert status == 200 and text.endswith("\n")
    kinds, helped, series, family = {}, set(), {}, None
    for line in text.splitlines():
        if line.startswith("# HELP "):
            family = line.split(" ", 3)[2]
            assert family not in helped and line.split(" ", 3)[3]
            helped.add(family)
        elif line.startswith("# TYPE "):
            _, _, name, kind = line.split(" ")
            assert name == family and name not in kinds
            kinds[name] = kind
            assert name.endswith("_total") == (kind == "counter"), name
            assert not re.search(r"_(count|sum|bucket|counter|gauge|ms|milliseconds|kb)$", name), name
        else:
            name, labels, value = SERIES.match(line).groups()
            base = re.sub(r"_(bucket|sum|count)$", "", name) if kinds[family] == "histogram" else name
            assert base == family, line
            key = (name, tuple(sorted(LABEL.findall(labels or ""))))
            assert key not in series, line
            series[key] = float(value)
    promtool = shutil.which("promtool")
    if promtool:
        done = subprocess.run([promtool, "check", "metrics"], input=text, text=True, check=False,
                              capture_output=True)
        assert (done.returncode, done.stdout + done.stderr) == (0, "")
    return series


def run_job(tranche, project, model, lines):
    tranche.write(f"{project}.jsonl", *(request(f"line {i}") for i in range(lines)))
    done = tranche("submit", f"{project}.jsonl", "--project", project, "--model", model, "--watch")
    assert done.returncode == OK, done.stderr


def test_lines_tokens_and_cost_are_counted_for_each_project_and_model(tranche, serve):  # noqa: F811
    (tranche.folder / "c.yaml").write_text(PRICED)
    server = serve("--config", "c.yaml")
    tranche.environment["TRANCHE_SERVER"] = server.url
    run_job(tranche, "red", "priced", 20)
    run_job(tranche, "blue", "priced", 10)
    run_job(tranche, "blue", "tranche-fake", 5)
    series = scrape(server)

    def value(name, project, model, **more):
        labels = {"project": project, "model": model, **more}
        return series[(name, tuple(sorted(labels.items())))]
    assert value("tranche_lines_total", "red", "priced", outcome="succeeded") == 20
    assert value("tranche_lines_total", "blue", "priced", outcome="succeeded") == 10
    assert value("tranche_lines_total", "blue", "tranche-fake", outcome="succeeded") == 5
    prompt = value("tranche_tokens_total", "red", "priced", kind="prompt")
    generated = value("tranche_tokens_total", "red", "priced", kind="generated")
    assert prompt > 0 and generated > 0
    # the batch price is half the online price of a million tokens
    cost = value("tranche_cost_usd_total", "red", "priced")
    assert cost == pytest.approx((prompt * 100 + generated * 200) / 2e6, rel=1e-6)
    assert value("tranche_cost_usd_total", "blue", "tranche-fake") == 0
    online = json.dumps({"contents": [{"role": "user", "parts": [{"text": "one two"}]}]})
    status, answer = server.call("/v1beta/models/priced:generateContent", "POST", online)
    assert status == 200, answer
    used = answer["usageMetadata"]
    series = scrape(server)
    assert value("tranche_online_calls_total", "default", "priced", outcome="succeeded") == 1
    assert value("tranche_online_calls_total", "default", "priced", outcome="failed") == 0
    for kind, count in (("prompt", used["promptTokenCount"]), ("generated", used["candidatesTokenCount"]), ("cached", 0)):
        assert value("tranche_online_tokens_total", "default", "priced", kind=kind) == count
    assert value("tranche_online_cost_usd_total", "default", "priced") == pytest.approx(
        (used["promptTokenCount"] * 100 + used["candidatesTokenCount"] * 200) / 1e6, rel=1e-6)
    ended = "tranche_jobs_ended_total"
    assert series[(ended, (("project", "blue"), ("state", "SUCCEEDED")))] == 2
    assert series[("tranche_build_info", (("version", "0.1.0"),))] == 1


def test_the_longest_wait_is_shown_by_the_clock_of_the_service(tranche, serve):  # noqa: F811
    (tranche.folder / "c.yaml").write_text(
        "default_model: tranche-fake\nservice: { running_jobs_max: 1 }\n"
        "models: [{ name: slow, kind: fake, fake: { faults: [{ hang: true }] } }]\n")
    server = serve("--config", "c.yaml", "--test-clock")
    tranche.environment["TRANCHE_SERVER"] = server.url
    waiting = ("tranche_job_waiting_seconds", (("model", "slow"), ("project", "red")))
    jobs = ("tranche_jobs", (("model", "slow"), ("project", "red"), ("state", "RUNNING")))
    for name in ("first", "second"):
        tranche.write("in.jsonl", request(name))
        assert tranche("submit", "in.jsonl", "--project", "red", "--model", "slow").returncode == OK
        for _ in range(600):  # the first one must run before the second one comes
            if scrape(server).get(jobs) == 1:
                break
            time.sleep(0.05)
    assert scrape(server)[jobs] == 1
    status, _ = server.call("/tranche/v1/clock:advance", "POST", '{"seconds": 7200}')
    assert status == 200
    assert 7200 <= scrape(server)[waiting] < 7200 + 600


def test_projects_beyond_the_hundredth_share_their_series(tranche, serve):  # noqa: F811
    server = serve()
    tranche.environment["TRANCHE_SERVER"] = server.url
    url = "/v1/projects/{}/locations/us-central1/batchPredictionJobs"
    for i in range(120):
        status, answer = server.call(url.format(f"p{i}"), "POST", json.dumps({
            "displayName": "x", "model": "publishers/google/models/tranche-fake",
            "inputConfig": {"instancesFormat": "jsonl", "gcsSource": {"uris": ["gs://b/absent"]}},
            "outputConfig": {"predictionsFormat": "jsonl",
                             "gcsDestination": {"outputUriPrefix": "gs://b/out"}}}))
        assert status in (200, 400, 404), answer
    for i in range(3):
        run_job(tranche, f"late{i}", "tranche-fake", 1)
    projects = {dict(labels).get("project") for _, labels in scrape(server)} - {None}
    assert len(projects) <= 101


def exported():
    """Every metric that the program can export, by its sources."""
    names = set()
    for path in (ROOT / "src").rglob("*.c"):
        text = path.read_text()
        names |= set(re.findall(r'"(tranche_[a-z_]+)"', text))
        names |= {"process_" + name for name in re.findall(r'add_process_metric\(out, "(\w+)"', text)}
    return names


def queried(expression):
    """The metrics that a query names, and the labels that it gives each of them."""
    assert expression.count("(") == expression.count(")")
    for name, labels in re.findall(r"\b((?:tranche|process)_[a-z_]+|up)\b(?:\{([^}]*)\})?", expression):
        yield name, re.findall(r"([a-z_]+)\s*(?:=~|!~|!=|=)", labels)


def test_the_reference_lists_every_metric_and_no_other():
    text = (ROOT / "docs/reference/metrics.md").read_text()
    assert set(re.findall(r"`((?:tranche|process)_[a-z_]+)`", text)) == exported()


def test_each_query_of_the_dashboard_and_the_alerts_names_metrics_and_labels_that_exist():
    dashboard = json.loads((ROOT / "examples/prometheus/tranche-dashboard.json").read_text())
    alerts = (ROOT / "examples/prometheus/tranche-alerts.yml").read_text()
    queries = [target["expr"] for panel in dashboard["panels"] for target in panel["targets"]]
    queries += [re.match(r"label_values\((.*), \w+\)", v["query"]["query"]).group(1)
                for v in dashboard["templating"]["list"] if v["type"] == "query"]
    queries += re.findall(r"expr: (.*)", alerts)
    reference = (ROOT / "docs/reference/metrics.md").read_text()
    assert len(queries) > 30
    for query in queries:
        for name, labels in queried(query):
            base = re.sub(r"_(bucket|sum|count)$", "", name)
            assert base == "up" or base in exported(), query
            row = next((r for r in reference.splitlines() if f"`{base}`" in r), "")
            for label in labels:
                known = label in ("job", "instance") or f"`{label}`" in row.split("|")[3]
                assert known, (query, label)
    ids = [panel["id"] for panel in dashboard["panels"]]
    assert len(set(ids)) == len(ids)


# ---- Backup, upgrade, downgrade ----


def test_a_backup_keeps_finished_jobs_with_answers_bad_lines_and_files(tranche, serve):  # noqa: F811
    (tranche.folder / "c.yaml").write_text(
        "default_model: tranche-fake\n"
        "models: [{ name: m, kind: fake, fake: { faults: [{ match: broken, code: INVALID_ARGUMENT }] } }]\n")
    server = serve("--config", "c.yaml")
    tranche.environment["TRANCHE_SERVER"] = server.url
    bad = {"request": {"contents": [{"role": "tester", "parts": [{"text": "x"}]}]}}
    tranche.write("in.jsonl", request("good"), request("broken"), bad)
    job = tranche("submit", "in.jsonl", "--model", "m", "--watch").stdout.strip()
    status, made = server.call(
        "/upload/v1beta/files", "POST",
        '--b\r\nContent-Type: application/json\r\n\r\n{}\r\n'
        '--b\r\nContent-Type: text/plain\r\n\r\ncontents of a file\r\n--b--\r\n',
        x_goog_upload_protocol="multipart", content_type="multipart/related; boundary=b")
    assert status == 200, made
    name = made["file"]["name"]

    def seen():
        answers = tranche("results", job, "-o", "-")
        assert answers.returncode == OK, answers.stderr
        return [answers.stdout, tranche("get", job, "--json").stdout,
                server.call(JOBS.format("default") + f"/{job}:faults"),
                server.call(f"/download/v1beta/{name}:download?alt=media"),
                tranche("ls", "-r", "-l", "gs://tranche-default").stdout]
    before = seen()
    assert "echo: good" in before[0] and before[2][0] == 200 and before[3] == (
        200, "contents of a file")
    done = tranche("backup", "--state", "state", "copy")
    assert done.returncode == OK, done.stderr
    server.end()
    shutil.rmtree(tranche.folder / "state")
    server = serve("--config", "c.yaml", state="copy")
    tranche.environment["TRANCHE_SERVER"] = server.url
    assert seen() == before
    again = tranche("retry", job)  # keeps the good answer, and runs the others again
    assert again.returncode == OK, again.stderr
    assert tranche("watch", again.stdout.strip()).returncode == 1
    kept = tranche("results", again.stdout.strip(), "-o", "-").stdout.splitlines()
    assert kept[0] == before[0].splitlines()[0]


@pytest.mark.parametrize("command", [
    ("serve", "--listen", "127.0.0.1:0"), ("keys", "list"), ("keys", "create", "--project", "p"),
    ("backup", "copy"), ("config", "check", "c.yaml")])
def test_a_state_of_a_newer_version_is_refused_in_words_and_stays_as_it_is(tranche, command):
    make_key(tranche)
    (tranche.folder / "c.yaml").write_text("default_model: tranche-fake\n")
    path = tranche.folder / "state" / "state.db"
    with contextlib.closing(sqlite3.connect(path)) as db:
        version = db.execute("PRAGMA user_version").fetchone()[0]
        db.execute(f"PRAGMA user_version = {version + 1}")
        db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    before = path.read_bytes()
    done = tranche(*command, "--state", "state", timeout=60)
    assert done.returncode in (USAGE, STOPPED)
    text = done.stdout + done.stderr
    assert f"state is of version {version + 1}, this program knows version {version}" in text
    assert "use the program that wrote it, or a newer one" in text
    assert path.read_bytes() == before and not (tranche.folder / "copy").exists()


# ---- Installing, and the unit of systemd ----


def unit_values(text, key):
    return re.findall(rf"^{key}=(.*)$", text, re.MULTILINE)


@pytest.fixture(scope="module")
def installed():
    """A staged installation below a folder that every user may read: the folder, and the unit's text."""
    build = pathlib.Path(PROGRAM).parent
    if not (build / "cmake_install.cmake").exists() or not shutil.which("cmake"):
        pytest.skip("the program is not in a build folder")
    folder = pathlib.Path(tempfile.mkdtemp(prefix="tranche-install-"))
    folder.chmod(0o755)
    subprocess.run(["cmake", "--install", build, "--prefix", "/usr"], check=True, capture_output=True,
                   env={**os.environ, "DESTDIR": str(folder)})
    yield folder, (folder / "usr/lib/systemd/system/tranche.service").read_text()
    shutil.rmtree(folder)


def test_an_installation_is_whole(installed):
    folder, unit = installed
    usr = folder / "usr"
    version = subprocess.run([usr / "bin/tranche", "version"], check=True, capture_output=True, text=True)
    assert version.stdout.startswith("tranche ")
    assert (usr / "share/man/man1/tranche.1").read_text().startswith(".TH")
    completion = usr / "share/bash-completion/completions/tranche"
    subprocess.run(["bash", "-n", completion], check=True)
    assert "config" in completion.read_text()
    assert (usr / "share/zsh/site-functions/_tranche").read_text().startswith("#compdef tranche")
    for name in ("share/fish/vendor_completions.d/tranche.fish", "lib/tranche/libduckdb.so", "lib/sysusers.d/tranche.conf", "lib/tmpfiles.d/tranche.conf",
                 "share/doc/tranche/LICENSE", "share/doc/tranche/docs/guides/service.md",
                 "share/doc/tranche/examples/prometheus/tranche-dashboard.json"):
        assert (usr / name).is_file(), name
    for line in unit_values(unit, "ExecStart") + unit_values(unit, "ExecStartPre"):
        assert line.startswith("/usr/bin/tranche ") and "@" not in line
    (user,) = unit_values(unit, "User")
    assert (usr / "lib/sysusers.d/tranche.conf").read_text().splitlines()[-1].split()[1] == user


def test_systemd_takes_the_unit_as_it_is_installed(installed):
    folder, _ = installed
    if not shutil.which("systemd-analyze"):
        pytest.skip("no systemd-analyze")
    unit = folder / "usr/lib/systemd/system/tranche.service"
    text = unit.read_text().replace("/usr/bin/tranche", str(folder / "usr/bin/tranche"))
    staged = folder / "tranche.service"
    staged.write_text(text)
    done = subprocess.run(["systemd-analyze", "verify", "--man=no", staged], capture_output=True,
                          text=True, check=False)
    told = [line for line in (done.stdout + done.stderr).splitlines() if "tranche" in line]
    assert told == [], told
    done = subprocess.run(["systemd-analyze", "security", "--offline=true", "--threshold=25", staged],
                          capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-500:]


def test_the_unit_serves_the_embedded_model_as_a_user_without_a_home(installed):
    folder, unit = installed
    if not (folder / "usr/share/tranche/models/smollm2-135m-instruct.gguf").exists():
        pytest.skip("built without a model")
    place = folder / "run"
    state, other = place / "state", {}
    for path in (place, state):
        path.mkdir(mode=0o755)
    if os.getuid() == 0:
        nobody = pwd.getpwnam("nobody")
        other = {"user": nobody.pw_uid, "group": nobody.pw_gid, "extra_groups": []}
        os.chown(state, nobody.pw_uid, nobody.pw_gid)
        os.chown(place, nobody.pw_uid, nobody.pw_gid)
    socket_path = place / "notify"
    environment = {"PATH": os.environ["PATH"], "STATE_DIRECTORY": str(state),
                   "NOTIFY_SOCKET": str(socket_path), "WATCHDOG_USEC": "400000"}
    for line in unit_values(unit, "Environment"):
        name, value = line.split("=", 1)
        environment[name] = str(folder) + value

    def command(line):
        line = line.replace("${STATE_DIRECTORY}", str(state))
        return [str(folder) + line.split()[0], *line.split()[1:]]
    for line in unit_values(unit, "ExecStartPre"):
        done = subprocess.run(command(line), env=environment, check=False, capture_output=True, text=True,
                              **other)
        assert done.returncode == OK, done.stdout + done.stderr
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notify:
        notify.bind(str(socket_path))
        socket_path.chmod(0o666)
        notify.settimeout(60)

        def expect(text):
            while (got := notify.recv(200).decode()) == "WATCHDOG=1" and text != got:
                pass
            assert got.split("\n")[0] == text
        (line,) = unit_values(unit, "ExecStart")
        process = subprocess.Popen([*command(line), "--listen", "127.0.0.1:0"], env=environment, text=True,
                                   stdout=subprocess.PIPE, stderr=subprocess.PIPE, **other)
        try:
            expect("READY=1")
            url = process.stdout.readline().split()[-1]
            expect("WATCHDOG=1")
            with urllib.request.urlopen(url + "/readyz", timeout=60) as reply:
                assert reply.status == 200
            body = {"contents": [{"role": "user", "parts": [{"text": "Say hello."}]}],
                    "generationConfig": {"maxOutputTokens": 4, "temperature": 0}}
            call = urllib.request.Request(url + "/v1beta/models/gemini-2.5-flash:generateContent",
                                          data=json.dumps(body).encode())
            with urllib.request.urlopen(call, timeout=120) as reply:
                answer = json.load(reply)
            assert answer["candidates"][0]["content"]["parts"][0]["text"]
            process.send_signal(signal.SIGHUP)
            expect("RELOADING=1")
            expect("READY=1")
            process.terminate()
            expect("STOPPING=1")
            assert process.wait(timeout=60) == OK
        finally:
            process.kill()
            process.communicate()
    assert (state / "state.db").exists()


@pytest.mark.parametrize("turn", [0, 4])
def test_systemd_and_probes_hear_of_a_scheduler_that_hangs(tranche, serve, turn):  # noqa: F811
    """A planted fault stops the scheduler before its first turn, or after some."""
    path = tranche.folder / "notify"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notify:
        notify.bind(str(path))
        notify.settimeout(4)
        tranche.environment |= {"TRANCHE_FAULT": f"scheduler.turn:{turn}:5", "NOTIFY_SOCKET": str(path),
                                "WATCHDOG_USEC": "2000000"}
        (tranche.folder / "c.yaml").write_text("default_model: tranche-fake\n")
        server = serve("--config", "c.yaml")
        server.log("the scheduler does not move")
        heard = []
        with contextlib.suppress(TimeoutError):
            while True:
                heard.append(notify.recv(200).decode())
        if turn == 0:
            assert heard == []
        else:
            assert heard[0] == "READY=1" and set(heard[1:]) <= {"WATCHDOG=1"}
        for _ in range(600):
            status, text = server.call("/readyz")
            if status != 200:
                break
            time.sleep(0.05)
        assert status == 503 and "scheduler does not move" in json.dumps(text)
        assert server.call("/healthz")[0] == 200
        server.process.send_signal(signal.SIGKILL)
        server.process.wait(timeout=60)


# ---- Traces ----


class Upstream:
    """A server with OpenAI's chat completions that keeps the headers of each request; webhooks may go to it, too."""

    def __init__(self):
        seen = self.seen = []

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self):
                body = self.rfile.read(int(self.headers["Content-Length"]))
                seen.append(dict(self.headers))
                text = json.loads(body).get("messages", [{"content": "a webhook's"}])[-1]["content"]
                reply = json.dumps({
                    "id": f"x{len(seen)}", "object": "chat.completion", "created": 1, "model": "m",
                    "choices": [{"index": 0, "finish_reason": "stop",
                                 "message": {"role": "assistant", "content": f"re: {text}"}}],
                    "usage": {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2}}).encode()
                self.send_response(200)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(reply)))
                self.end_headers()
                self.wfile.write(reply)

            def log_message(self, *arguments):
                pass
        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}/v1"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()


@pytest.fixture
def traced(tranche, serve):  # noqa: F811
    """A service in front of one upstream server, and that server."""
    upstream = Upstream()
    (tranche.folder / "c.yaml").write_text(
        f"default_model: m\nupstreams: [{{ name: u, url: '{upstream.url}' }}]\n"
        "models: [{ name: m, upstreams: [{ upstream: u }] }]\n")
    yield serve("--config", "c.yaml"), upstream
    upstream.server.shutdown()
    upstream.server.server_close()


TRACE, PARENT = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"


def generate(server, text, **headers):
    body = json.dumps({"contents": [{"role": "user", "parts": [{"text": text}]}]})
    status, answer = server.call("/v1beta/models/m:generateContent", "POST", body, **headers)
    assert status == 200, answer
    return answer


def test_the_trace_of_a_call_goes_on_to_the_upstream_with_a_parent_of_its_own(traced):
    server, upstream = traced
    parents = set()
    for flags in ("01", "00"):
        generate(server, "x", traceparent=f"00-{TRACE}-{PARENT}-{flags}", tracestate="a=1,b=2")
        version, trace, parent, sent = upstream.seen[-1]["traceparent"].split("-")
        assert (version, trace, sent) == ("00", TRACE, flags)
        assert re.fullmatch(r"[0-9a-f]{16}", parent) and parent != PARENT and parent != "0" * 16
        assert upstream.seen[-1]["tracestate"] == "a=1,b=2"
        parents.add(parent)
    assert len(parents) == 2
    assert f"trace={TRACE}" in server.log("generateContent")


def test_without_a_right_traceparent_nothing_is_sent_on(traced):
    server, upstream = traced
    generate(server, "with", traceparent=f"00-{TRACE}-{PARENT}-01")
    for headers in ({}, {"traceparent": "00-zz-00-01", "tracestate": "a=1"}, {"tracestate": "a=1"}):
        generate(server, "without", **headers)
        assert {"traceparent", "tracestate"}.isdisjoint({h.lower() for h in upstream.seen[-1]})


def test_the_trace_of_a_jobs_creation_is_kept_and_goes_with_its_requests(
        tranche, traced):
    server, upstream = traced
    headers = {"traceparent": f"00-{TRACE}-{PARENT}-01", "tracestate": "a=1"}
    body = {"batch": {"displayName": "x", "inputConfig": {"requests": {"requests": [
        {"request": request(f"line {i}")["request"]} for i in range(3)]}}}}
    status, made = server.call("/v1beta/models/m:batchGenerateContent", "POST", json.dumps(body),
                               **headers)
    assert status == 200, made
    done = server.log(f"trace={TRACE}")
    while "SUCCEEDED" not in done:
        done = server.log(f"trace={TRACE}")
    assert len(upstream.seen) == 3
    assert {h["traceparent"].split("-")[1] for h in upstream.seen} == {TRACE}
    assert len({h["traceparent"].split("-")[2] for h in upstream.seen} | {PARENT}) == 4
    assert {h["tracestate"] for h in upstream.seen} == {"a=1"}
    with contextlib.closing(sqlite3.connect(tranche.folder / "state" / "state.db")) as db:
        assert db.execute("SELECT trace FROM job").fetchone()[0] == f"00-{TRACE}-{PARENT}-01\na=1"


def test_the_trace_of_a_job_goes_on_to_its_webhooks_and_that_of_a_ping_too(tranche, serve):  # noqa: F811
    receiver = Upstream()
    place = receiver.url.removeprefix("http://").removesuffix("/v1")
    (tranche.folder / "c.yaml").write_text(
        f"default_model: tranche-fake\nservice: {{ webhook_allow: ['{place}'] }}\n")
    server = serve("--config", "c.yaml")
    headers = {"traceparent": f"00-{TRACE}-{PARENT}-01", "tracestate": "a=1"}
    hook = {"uri": receiver.url, "subscribedEvents": ["batch.succeeded"]}
    status, made = server.call("/v1beta/webhooks", "POST", json.dumps(hook))
    assert status == 200, made
    body = {"batch": {"displayName": "x", "inputConfig": {"requests": {"requests": [request("x")]}}}}
    for more in (headers, {}):
        before = len(receiver.seen)
        status, answer = server.call("/v1beta/models/tranche-fake:batchGenerateContent", "POST", json.dumps(body), **more)
        assert status == 200, answer
        for _ in range(600):
            if len(receiver.seen) > before:
                break
            time.sleep(0.05)
    assert server.call(f"/v1beta/webhooks/{made['id']}:ping", "POST", "{}", **headers)[0] == 200
    with_trace, without, ping = receiver.seen
    for head in (with_trace, ping):
        version, trace, parent, flags = head["traceparent"].split("-")
        assert (version, trace, flags, head["tracestate"]) == ("00", TRACE, "01", "a=1") and parent != PARENT
    assert {"traceparent", "tracestate"}.isdisjoint({name.lower() for name in without})
    receiver.server.shutdown()
    receiver.server.server_close()


# ---- Disk, folders, log ----


def test_it_is_not_ready_while_the_disk_is_full(tranche, serve):  # noqa: F811
    tranche.environment["TRANCHE_FAULT"] = "sys.room:0:28"
    (tranche.folder / "c.yaml").write_text("default_model: tranche-fake\n")
    server = serve("--config", "c.yaml")
    status, text = server.call("/readyz")
    assert status == 503 and "disk of the state folder" in text and str(tranche.folder) not in text
    assert server.call("/readyz") == (200, "ok\n")
    (free,) = [value for (name, _), value in scrape(server).items() if name == "tranche_state_free_bytes"]
    assert free > 0


@pytest.mark.parametrize("command", [
    ("backup", "copy"), ("keys", "list"), ("keys", "revoke", "tk_x"), ("config", "check"),
    ("serve", "--listen", "0.0.0.0:0"), ("serve", "--listen", "nonsense")])
@pytest.mark.parametrize("variable", ["TRANCHE_STATE", "XDG_STATE_HOME"])
def test_only_a_start_and_a_new_key_make_the_state_folder_of_the_environment(tranche, command, variable):
    absent = tranche.folder / "typo"
    done = tranche(*command, timeout=60, **{variable: str(absent)})
    assert done.returncode == (OK if command[0] == "config" else USAGE), done.stderr
    assert not absent.exists()
    assert tranche("keys", "create", "--project", "p", **{variable: str(absent)}).returncode == OK
    assert list(absent.rglob("state.db"))


def test_the_log_begins_with_version_address_state_and_configuration(tranche, serve):  # noqa: F811
    (tranche.folder / "c.yaml").write_text("default_model: tranche-fake\n")
    server = serve("--config", "c.yaml", "--log-format", "json")
    line = json.loads(server.log("serves on"))
    assert server.url in line["message"] and "state state" in line["message"]
    assert line["message"].endswith("configuration c.yaml") and "0.1.0" in line["message"]
