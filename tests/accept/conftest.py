"""What the acceptance tests share: a server for each module, whose clock they can move. The clients are
Google's own, as the registries have them."""
import pytest

from server import SHARED, Server

# A store that several processes share has no tables of its own (docs/scale.md): tests that need them are left out there, and
# named in the report.
TABLES = ("test_bigquery_", "test_hostile_bigquery", "test_hostile_tables")
# What they look at lies in the folder of one process's job.
OF_ONE_FOLDER = ("test_resume.py::test_a_killed_job_goes_on_whatever_became_of_its_index",)


def pytest_collection_modifyitems(items):
    for item in items if SHARED else ():
        if item.path.name.startswith(TABLES):
            item.add_marker(pytest.mark.skip(reason="needs tables, which a shared store has not"))
        if item.nodeid.split("[")[0].endswith(OF_ONE_FOLDER):
            item.add_marker(pytest.mark.skip(reason="a job has no folder in a shared store"))


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    running = Server(tmp_path_factory.mktemp("serve"), "--test-clock")
    yield running
    assert running.stop() == 0
