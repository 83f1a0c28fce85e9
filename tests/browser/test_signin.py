"""A user signs in with a key, and out again; the page says what is wrong."""
import pytest
from conftest import axe
from server import Server
from keys import make_key


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    folder = tmp_path_factory.mktemp("signin")
    key = make_key(folder, "red")
    running = Server(folder)
    running.key = key
    yield running
    assert running.stop() == 0


def test_a_key_signs_in_and_stays_for_other_tabs(page, server):
    page.goto("/")
    page.get_by_label("Key").fill("tk_wrong")
    page.get_by_role("button", name="Sign in").click()
    page.get_by_role("alert").wait_for()
    assert "not a valid key" in page.get_by_role("alert").inner_text()
    assert axe(page) == []
    page.get_by_label("Key").fill(server.key)
    page.keyboard.press("Enter")
    page.get_by_role("heading", name="No jobs yet").wait_for()
    assert page.get_by_title("Project").inner_text() == "red"
    assert page.evaluate("document.cookie") == ""
    other = page.context.new_page()
    other.goto("/")
    other.get_by_role("heading", name="No jobs yet").wait_for()
    page.get_by_role("button", name="Sign out").click()
    page.get_by_label("Key").wait_for()
    other.reload()
    other.get_by_label("Key").wait_for()
