"""The program as its operator meets it: the check of a configuration, metrics, backups, installing."""
import json
import subprocess

import pytest

from test_serve import OK, USAGE, make_key, serve  # noqa: F401 (a fixture)

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
  - { name: b, fle: x }
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
    assert tranche("config", "chek").returncode == USAGE
    assert "write config check" in tranche("config", "chek").stderr
