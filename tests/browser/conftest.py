"""The console in a real Chromium, from the distribution's package, driven by Playwright. A test that fails leaves a
picture of the page in build/log."""
import pathlib
import shutil
import sys

import pytest
from playwright.sync_api import sync_playwright

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests" / "accept"))
from server import Server  # noqa: E402

AXE = pathlib.Path(sys.prefix) / "axe.min.js"
ARGUMENTS = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
             "--disable-component-update", "--disable-sync"]


@pytest.fixture(scope="session")
def browser():
    program = shutil.which("chromium") or shutil.which("chromium-browser") or "/usr/bin/chromium"
    with sync_playwright() as playwright:
        running = playwright.chromium.launch(executable_path=program, args=ARGUMENTS)
        yield running
        running.close()


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    running = Server(tmp_path_factory.mktemp("console"), "--test-clock")
    yield running
    assert running.stop() == 0


@pytest.fixture
def page(browser, server, request):
    """A page of a browser of its own. Errors in its console, and calls to anywhere else, fail the test."""
    context = browser.new_context(viewport={"width": 1280, "height": 800}, base_url=server.url)
    page = context.new_page()
    errors, foreign = [], []
    page.on("console", lambda m: errors.append(m.text) if m.type == "error" and "Failed to load resource" not in m.text
            else None)
    page.on("pageerror", lambda e: errors.append(str(e)))
    page.on("request", lambda r: foreign.append(r.url) if not r.url.startswith((server.url, "data:", "blob:")) else None)
    page.set_default_timeout(30_000)
    yield page
    folder = ROOT / "build" / "log"
    if getattr(request.node, "failed", False):
        folder.mkdir(parents=True, exist_ok=True)
        page.screenshot(path=folder / f"browser-{request.node.name[:80]}.png", full_page=True)
    context.close()
    assert errors == [] and foreign == []


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    report = (yield).get_result()
    if report.when == "call":
        item.failed = report.failed


def axe(page):
    """The faults of accessibility that axe finds on the page as it is: rules of WCAG A and AA."""
    if not page.evaluate("() => !!window.axe"):
        page.evaluate(AXE.read_text() + "\n;undefined")
    found = page.evaluate("""() => axe.run(document, { runOnly: ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa"] })""")
    return [f"{v['id']}: {v['help']}: {[n['html'][:120] for n in v['nodes'][:3]]}" for v in found["violations"]]
