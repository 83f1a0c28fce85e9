"""What the acceptance tests share: a server for each module, whose clock they can move. The clients are
Google's own, as the registries have them."""
import pytest

from server import SHARED, Server

# A store that several processes share has no tables of its own (docs/scale.md): tests that need them are left out there, and
# named in the report.
TABLES = ("test_bigquery_", "test_hostile_bigquery", "test_hostile_tables")
# Tests of what a shared store has not, and why: left out with TRANCHE_TEST_SHARED=1, when
# `tests/cluster/servers.py PYTHON -m pytest tests/accept` runs the others on PostgreSQL and S3.
NOT_SHARED = {
    "test_scripts.py::test_a_job_of_tables_ends_with_the_reason_that_is_asked": "needs tables, which a shared store has not",
    "test_scripts.py::test_calls_that_make_tables_rows_and_queries_fail_as_the_script_says":
        "needs tables, which a shared store has not",
    "test_resume.py::test_a_killed_job_goes_on_whatever_became_of_its_index": "a job has no folder in a shared store",
    "test_extensions.py::test_a_job_with_reuse_asks_only_what_is_new_and_others_keep_nothing":
        "a shared store keeps no answers for reuse",
    "test_extensions.py::test_reused_rows_say_when_they_were_answered": "a shared store keeps no answers for reuse",
    "test_scripts.py::test_an_answer_about_an_object_is_found_by_the_objects_content":
        "a shared store keeps no answers for reuse",
    "test_scripts.py::test_an_object_that_changes_under_a_job_leaves_no_answer": "a shared store keeps no answers for reuse",
}


def pytest_collection_modifyitems(items):
    for item in items if SHARED else ():
        if item.path.name.startswith(TABLES):
            item.add_marker(pytest.mark.skip(reason="needs tables, which a shared store has not"))
        for test, reason in NOT_SHARED.items():
            if item.nodeid.split("[")[0].endswith(test):
                item.add_marker(pytest.mark.skip(reason=reason))


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    running = Server(tmp_path_factory.mktemp("serve"), "--test-clock")
    yield running
    assert running.stop() == 0
