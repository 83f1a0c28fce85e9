"""PostgreSQL as operators set it up: behind PgBouncer, with TLS and passwords, with a standby, restarted and stopped for a while.

Each test starts a private server (tests/postgres.py) and `tranche serve` on it, with a bucket that is a folder. The programs of the
unit tests run through PgBouncer once more."""

import contextlib
import os
import pathlib
import signal
import subprocess
import sys
import time

import pytest

from conftest import PROGRAM
from test_serve import OK, STOPPED, USAGE, serve  # noqa: F401  pylint: disable=unused-import

TESTS = pathlib.Path(__file__).resolve().parent.parent
sys.path[:0] = [str(TESTS), str(TESTS / "cluster")]

from postgres import Pooler, Postgres, programs  # noqa: E402  pylint: disable=wrong-import-position
from servers import Pair  # noqa: E402  pylint: disable=wrong-import-position

pytestmark = pytest.mark.skipif(not programs(), reason="PostgreSQL is not installed")
SECRET = "Zw9-not-to-be-seen"


@pytest.fixture(name="postgres", scope="module")
def one_server():
    with Postgres(["max_connections = 200"]) as server:
        yield server


@pytest.fixture(name="database")
def one_database(postgres, request):
    """The URL of an empty database."""
    name = f"t{abs(hash(request.node.name))}"
    postgres.sql(f"CREATE DATABASE {name}")
    yield postgres.url.rsplit("/", 1)[0] + "/" + name
    postgres.sql(f"DROP DATABASE {name} WITH (FORCE)")


def run(tranche, *arguments, **environment):
    done = tranche(*arguments, **environment)
    return done.returncode, done.stdout, done.stderr


def shared(tranche, url):
    return "--store", url, "--bucket", f"file://{tranche.folder}/bucket"


def until(condition, seconds=60):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it does not come true"
        time.sleep(0.05)


def make_bucket(server, name):
    return server.call("/storage/v1/b?project=p", "POST", f'{{"name": "{name}"}}', content_type="application/json")[0]


def has_bucket(server, name):
    return server.call(f"/storage/v1/b/{name}")[0] == 200


# ---- Two processes


def test_what_one_process_writes_the_other_one_has(serve, tranche, database):  # noqa: F811
    one = serve(*shared(tranche, database), state="one")
    two = serve(*shared(tranche, database), state="two")
    assert make_bucket(one, "bucket-1") == 200
    assert has_bucket(two, "bucket-1")
    code, out, err = run(tranche, "keys", "create", "--project", "p", *shared(tranche, database))
    assert code == OK, err
    assert one.call("/storage/v1/b/bucket-1")[0] == 401
    key = out.splitlines()[0].split()[-1]
    assert two.call("/storage/v1/b/bucket-1", Authorization=f"Bearer {key}")[0] == 200
    assert one.end()[0] == OK
    assert two.call("/storage/v1/b/bucket-1", Authorization=f"Bearer {key}")[0] == 200


def test_the_configuration_names_the_store_for_every_command(serve, tranche, database):  # noqa: F811
    config = tranche.write("c.yaml", "service:", f"  store: {database}", f"  bucket: file://{tranche.folder}/bucket",
                           "  store_connections: 2")
    server = serve("--config", config)
    assert make_bucket(server, "bucket-1") == 200
    code, _, err = run(tranche, "keys", "create", "--project", "p", "--config", config)
    assert code == OK, err
    assert server.call("/storage/v1/b/bucket-1")[0] == 401
    code, out, err = run(tranche, "keys", "list", TRANCHE_CONFIG=config)
    assert (code, len(out.splitlines())) == (OK, 2), err


@pytest.mark.parametrize("arguments, words", [
    (("--store", "postgres://h/x"), "--store and --bucket are needed together"),
    (("--bucket", "file:///tmp/x"), "--store and --bucket are needed together"),
    (("--store", "mysql://h/x", "--bucket", "file:///tmp/x"), "--store must begin with postgres://"),
    (("--store", f"postgres://me:{SECRET}@h/x", "--bucket", "file:///tmp/x"), "--store has a password"),
    (("--store", "postgres://me@127.0.0.1:1/x", "--bucket", "file:///tmp"), "cannot connect to the database: "),
])
def test_a_store_that_cannot_be_is_refused_at_the_start(tranche, arguments, words):
    code, _, err = run(tranche, "serve", "--listen", "127.0.0.1:0", *arguments)
    assert code in (USAGE, STOPPED) and words in err, err
    assert SECRET not in err


# ---- PgBouncer


@pytest.fixture(name="pooler", scope="module")
def one_pooler(postgres):
    if not Pooler.program():
        pytest.skip("PgBouncer is not installed")
    with Pooler(postgres) as pooler:
        yield pooler


@pytest.mark.parametrize("name", ["test_db_conform", "test_jobs", "test_job_states", "test_shards", "test_webhooks", "test_blob"])
def test_programs_pass_behind_a_pooler_of_transactions(pooler, name, tmp_path):
    program = pathlib.Path(PROGRAM).parent / "tests" / name
    if not program.exists():
        pytest.skip(f"{program} is not built")
    done = subprocess.run([program], cwd=tmp_path, capture_output=True, text=True, timeout=300,
                          env=dict(os.environ, TRANCHE_TEST_POSTGRES=pooler.url, TRANCHE_TEST_POOLED="1"))
    assert done.returncode == 0, done.stderr[-3000:]


def test_processes_share_a_few_connections_of_a_pooler(serve, tranche, pooler, database):  # noqa: F811
    url = pooler.url.rsplit("/", 1)[0] + "/" + database.rsplit("/", 1)[1]
    one, two = (serve(*shared(tranche, url), state=name) for name in ("one", "two"))
    for i in range(20):
        assert make_bucket(one, f"bucket-{i}") == 200
        assert has_bucket(two, f"bucket-{i}")


# ---- TLS and passwords


def certificate(folder, name, *more):
    """A key and a certificate for the name."""
    run = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2", "-subj", f"/CN={name}",
           "-keyout", folder / f"{name}.key", "-out", folder / f"{name}.pem", *more]
    subprocess.run(run, check=True, capture_output=True, timeout=60)


@pytest.fixture(name="guarded", scope="module")
def server_with_tls(tmp_path_factory):
    """TLS and a password or nothing; its certificate is of a CA of our own."""
    folder = tmp_path_factory.mktemp("ca")
    certificate(folder, "ca")
    certificate(folder, "other")
    certificate(folder, "localhost", "-CA", folder / "ca.pem", "-CAkey", folder / "ca.key", "-addext", "subjectAltName=DNS:localhost",
                "-addext", "basicConstraints=CA:FALSE")
    server = Postgres(["ssl = on", "password_encryption = scram-sha-256"],
                      hba=["local all all trust", "hostssl all all 127.0.0.1/32 scram-sha-256", "hostssl all all ::1/128 scram-sha-256"])
    with contextlib.ExitStack() as stack:
        stack.callback(server.__exit__)
        server.make()
        for kind, target in (("pem", "server.crt"), ("key", "server.key")):
            path = os.path.join(server.data, target)
            with open(path, "wb", opener=lambda p, flags: os.open(p, flags, 0o600)) as out:
                out.write((folder / f"localhost.{kind}").read_bytes())
            server.own(path)
        server.start()
        server.sql("CREATE DATABASE tranche", "postgres")
        server.sql(f"ALTER USER tranche PASSWORD '{SECRET}'")
        server.ca = folder
        stack.pop_all()
    yield server
    server.__exit__()


def guarded_url(server, ca="ca", who="tranche", host="localhost"):
    return f"postgres://{who}@{host}:{server.port}/tranche?sslmode=verify-full&sslrootcert={server.ca}/{ca}.pem"


def test_the_connection_is_encrypted_to_the_server_that_the_ca_names(serve, tranche, guarded):  # noqa: F811
    config = tranche.write("c.yaml", "service:", f"  store: {guarded_url(guarded, who=f'tranche:{SECRET}')}",
                           f"  bucket: file://{tranche.folder}/bucket")
    server = serve("--config", config)
    assert make_bucket(server, "bucket-1") == 200
    assert guarded.sql("SELECT bool_and(ssl), count(*) > 0 FROM pg_stat_ssl JOIN pg_stat_activity USING (pid)"
                       " WHERE application_name = 'tranche'") == [["t", "t"]]
    command = pathlib.Path(f"/proc/{server.process.pid}/cmdline").read_bytes()
    code, err = server.end()
    assert code == OK
    assert SECRET.encode() not in command and SECRET not in err


def test_a_password_comes_from_the_environment_or_a_file(serve, tranche, guarded):  # noqa: F811
    place = shared(tranche, guarded_url(guarded))
    code, _, err = run(tranche, "keys", "list", *place)
    assert code == STOPPED and "no password" in err
    code, _, err = run(tranche, "keys", "list", *place, PGPASSWORD="wrong")
    assert code == STOPPED and "password authentication failed" in err and "wrong" not in err.replace("wrongly", "")
    tranche.environment["PGPASSWORD"] = SECRET
    assert make_bucket(serve(*place), "bucket-2") == 200
    del tranche.environment["PGPASSWORD"]
    passwords = pathlib.Path(tranche.write("pgpass", f"localhost:*:*:tranche:{SECRET}"))
    passwords.chmod(0o600)
    assert run(tranche, "keys", "list", *place, PGPASSFILE=str(passwords))[0] == OK


@pytest.mark.parametrize("change, words", [({"ca": "other"}, "certificate verify failed"),
                                           ({"host": "127.0.0.1"}, "does not match host name")])
def test_another_server_than_the_ca_names_is_refused(tranche, guarded, change, words):
    code, _, err = run(tranche, "keys", "list", *shared(tranche, guarded_url(guarded, **change)), PGPASSWORD=SECRET)
    assert code == STOPPED and words in err, err
    assert SECRET not in err


# ---- Versions


def test_an_older_program_goes_on_with_newer_tables_that_let_it(serve, tranche, postgres, database):  # noqa: F811
    name = database.rsplit("/", 1)[1]
    place = shared(tranche, database)
    first = serve(*place, state="one")
    postgres.sql("UPDATE tranche_version SET version = version + 1", name)
    second = serve(*place, state="two")
    assert make_bucket(second, "bucket-1") == 200 and has_bucket(first, "bucket-1")
    postgres.sql("UPDATE tranche_version SET compatible = version", name)
    code, _, err = run(tranche, "keys", "list", *place)
    assert code == STOPPED and "use the program that wrote it, or a newer one" in err
    assert err.startswith("error: postgres://tranche@127.0.0.1"), err
    postgres.sql("UPDATE tranche_version SET version = 1, compatible = 0", name)
    code, _, err = run(tranche, "keys", "list", *place)
    assert code == STOPPED and "start a server of this version first" in err


# ---- Servers that go and come back


def test_a_restart_of_the_database_costs_no_restart_of_ours(serve, tranche):  # noqa: F811
    with Postgres() as postgres:
        server = serve(*shared(tranche, postgres.url))
        assert make_bucket(server, "bucket-1") == 200
        postgres.restart(signal.SIGINT)
        assert has_bucket(server, "bucket-1")
        assert make_bucket(server, "bucket-2") == 200
        postgres.stop(signal.SIGQUIT)
        status, _, message = server.error("/storage/v1/b/bucket-1")
        assert status == 503 and "database" in message
        postgres.start()
        until(lambda: has_bucket(server, "bucket-2"))
        assert make_bucket(server, "bucket-3") == 200


def test_a_standby_takes_over(serve, tranche):  # noqa: F811
    pair = Pair()
    try:
        pair.primary.create("fleet")
        hosts = f"127.0.0.1:{pair.primary.port},127.0.0.1:{pair.standby.port}"
        pair.caught_up()
        server = serve(*shared(tranche, f"postgres://tranche@{hosts}/fleet"))
        assert make_bucket(server, "bucket-1") == 200
        pair.fail_over()
        until(lambda: has_bucket(server, "bucket-1"))
        until(lambda: make_bucket(server, "bucket-2") in (200, 409))
        assert has_bucket(server, "bucket-2")
    finally:
        pair.primary.remove()
        pair.standby.remove()


def processes_of(postgres):
    children = subprocess.run(["ps", "-o", "pid=", "--ppid", str(postgres.process.pid)], capture_output=True, text=True, check=False).stdout.split()
    return [postgres.process.pid, *map(int, children)]


def test_a_database_that_hangs_costs_an_error_and_no_thread(serve, tranche):  # noqa: F811
    with Postgres() as postgres:
        server = serve(*shared(tranche, postgres.url))
        assert make_bucket(server, "bucket-1") == 200
        stopped = processes_of(postgres)
        for pid in stopped:
            os.kill(pid, signal.SIGSTOP)
        try:
            begin = time.monotonic()
            status, _, message = server.error("/storage/v1/b/bucket-1")
            assert status == 503 and "database" in message
            assert time.monotonic() - begin < 60
        finally:
            for pid in stopped:
                os.kill(pid, signal.SIGCONT)
        until(lambda: has_bucket(server, "bucket-1"))
        assert make_bucket(server, "bucket-2") == 200
