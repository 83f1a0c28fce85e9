"""Jobs in the console: found and steered, live, across a restart, 200,000 rows, hostile texts, by keyboard alone."""
import ast
import json
import re

import pytest
from conftest import axe
from server import CONFIG, Server, line as one_line, wait_until

MODELS = CONFIG + """    fake:
      delay_ms: 1
      answers:
        - { match: "spam", text: "spam" }
        - { match: "fine", text: "fine" }
        - { match: "evil", text: "<img src=x onerror=alert(1)><script>window.broken = 1</script>" }
  - name: "slow"
    kind: fake
    fake: { delay_ms: 150, window: 8 }
"""
MODELS += """  - name: "stuck"
    kind: fake
    fake: { faults: [{ match: "hangs", hang: true }] }
"""
HOSTILE = "<script>window.broken = 1</script><img src=x onerror='window.broken = 1'>"
PICTURE = ("iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNkYPhfDwAChwGA60e6kgAAAABJRU5ErkJggg==")
JOBS = "/v1/projects/default/locations/us-central1/batchPredictionJobs"


def line(text):
    return one_line(text) + "\n"


def create(server, name, text, model="gemini-2.5-flash", **more):
    place = re.sub(r"\W", "-", name)
    server.upload("console-jobs", f"{place}.jsonl", text)
    status, job = server.call("POST", JOBS, {
        "displayName": name, "model": f"publishers/google/models/{model}",
        "inputConfig": {"instancesFormat": "jsonl", "gcsSource": {"uris": [f"gs://console-jobs/{place}.jsonl"]}},
        "outputConfig": {"predictionsFormat": "jsonl", "gcsDestination": {"outputUriPrefix": "gs://console-jobs/out"}}, **more})
    assert status == 200, job
    return job["name"].split("/")[-1]


def wait(server, number, *states):
    wanted = states or ("SUCCEEDED", "PARTIALLY_SUCCEEDED", "FAILED", "CANCELLED")
    return wait_until(lambda: server.call("GET", f"{JOBS}/{number}")[1]["state"].removeprefix("JOB_STATE_") in wanted, 120)


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    running = Server(tmp_path_factory.mktemp("jobs"), "--test-clock", config=MODELS)
    text = "".join(line(f"{'spam' if i % 3 == 0 else 'fine'} {i}") for i in range(300))
    running.mixed = create(running, "mail of march", text + '{"request":{"contents":"x"}}\n' * 3, labels={"team": "ops"},
                           tranche={"reuse": True, "priority": 3, "budget": {"usd": 5}, "requestId": "march-1"})
    running.other = create(running, "mail of april", text.replace("fine 7\"", "spam 7\""))
    running.evil = create(running, HOSTILE, line(f"evil {HOSTILE}") + json.dumps({"request": {"contents": [
        {"role": "user", "parts": [{"inlineData": {"mimeType": "image/png", "data": PICTURE}},
                                   {"inlineData": {"mimeType": "image/svg+xml", "data": "PHN2Zz4="}}, {"text": "evil picture"}]},
        {"role": "model", "parts": [{"text": "a thought of mine", "thought": True}, {"functionCall": {"name": "look", "args": {"at": HOSTILE}}}]},
        {"role": "user", "parts": [{"functionResponse": {"name": "look", "response": {"seen": "teal"}}}]}]}}) + "\n")
    running.slow = create(running, "slow archive", "".join(line(f"slow {i}") for i in range(4000)), model="slow")
    for number in (running.mixed, running.other, running.evil):
        wait(running, number)
    yield running
    assert running.stop() == 0


def jobs(page):
    page.goto("/#/jobs")
    page.get_by_role("table", name="Jobs").wait_for()


def test_jobs_are_found_sorted_and_live(page, server):
    jobs(page)
    row = page.get_by_role("row").filter(has_text="slow archive")
    row.get_by_text("running").wait_for()
    row.get_by_text("lines/s").wait_for()
    before = row.inner_text()
    page.wait_for_function("([text, before]) => [...document.querySelectorAll('[role=row]')].some((r) => r.innerText.includes(text)"
                           " && r.innerText !== before)", arg=["slow archive", before])
    page.get_by_label("Search jobs").fill("team:ops")
    page.get_by_role("row").filter(has_text="mail of march").wait_for()
    assert page.get_by_role("link", name="slow archive").count() == 0
    page.get_by_label("Search jobs").fill("")
    page.get_by_role("button", name="Active").click()
    page.wait_for_function("() => !document.body.innerText.includes('mail of march')")
    page.get_by_role("button", name="All ").click()
    page.get_by_role("button", name="Job", exact=True).click()
    names = page.locator(".jobs-row .name a").all_inner_texts()
    assert names == sorted(names, key=str.lower)
    new = create(server, "made meanwhile", line("spam"))
    page.get_by_role("link", name="made meanwhile").wait_for()
    wait(server, new)
    page.get_by_role("row").filter(has_text="made meanwhile").get_by_text("succeeded").wait_for()


def test_several_jobs_are_steered_at_once(page, server):
    numbers = [create(server, f"steered {i}", "".join(line(f"slow {k}") for k in range(2000)), model="slow") for i in (1, 2)]
    jobs(page)
    for i in (1, 2):
        page.get_by_label(f"Choose steered {i}").check()
    region = page.get_by_role("region", name="Chosen jobs")
    for action, state in (("Pause", "PAUSED"), ("Resume", "RUNNING")):
        region.get_by_role("button", name=f"{action} (2)").click()
        for number in numbers:
            wait(server, number, state, "QUEUED" if state == "RUNNING" else state)
    region.get_by_role("button", name="Cancel (2)").click()
    page.get_by_role("dialog").get_by_role("button", name="Cancel").click()
    for number in numbers:
        wait(server, number, "CANCELLED")
    region.get_by_role("button", name="Delete (2)").click()
    page.get_by_role("dialog").get_by_role("button", name="Keep").click()
    region.get_by_role("button", name="Delete (2)").click()
    page.get_by_role("dialog").get_by_role("button", name="Delete").click()
    page.get_by_role("link", name="steered 1").wait_for(state="detached")
    assert server.call("GET", f"{JOBS}/{numbers[0]}")[0] == 404


def test_a_job_shows_its_course_causes_code_and_events(page, server):
    page.goto(f"/#/jobs/{server.mixed}")
    page.get_by_role("heading", name="mail of march").wait_for()
    page.get_by_text("3 lines", exact=True).wait_for()
    page.get_by_role("link", name="300", exact=True).wait_for()
    page.goto(f"/#/jobs/{server.slow}")
    page.get_by_role("img", name=re.compile("Lines per second: now")).wait_for()
    page.goto(f"/#/jobs/{server.mixed}?tab=details")
    page.get_by_text("tranche submit gs://console-jobs/mail-of-march.jsonl").wait_for()
    page.get_by_role("listitem").filter(has_text="succeeded").wait_for()
    code = page.locator("pre", has_text="genai.Client").inner_text()
    assert server.url in code and '"gs://console-jobs/out"' in code
    call = ast.parse(code).body[3].value
    config = ast.literal_eval(next(k.value for k in call.keywords if k.arg == "config"))
    assert config["display_name"] == "mail of march"
    assert config["http_options"]["extra_body"]["tranche"] == {"reuse": True, "priority": 3, "budget": {"usd": 5}}


def test_rows_are_browsed_filtered_and_downloaded(page, server):
    page.goto(f"/#/jobs/{server.mixed}?tab=results")
    page.get_by_text("303 rows").wait_for()
    page.get_by_role("button", name="spam").click()
    page.get_by_text("100 matching rows of 303").wait_for()
    with page.expect_download() as got:
        page.get_by_role("button", name="CSV").click()
    assert got.value.path().read_text().count("\n") == 101
    page.get_by_role("button", name="spam").click()
    page.get_by_role("button", name="Failed 3").click()
    page.get_by_text("3 matching rows").wait_for()
    page.get_by_role("option").first.click()
    page.get_by_role("article", name="Row 300").get_by_text("INVALID_ARGUMENT").wait_for()
    page.get_by_role("button", name="All ").click()
    page.get_by_label("Search the rows for a text").fill("fine 299")
    page.get_by_text("1 matching rows").wait_for()
    page.get_by_role("option").first.click()
    page.get_by_role("article", name="Row 299").get_by_text("fine 299").wait_for()
    page.get_by_role("button", name="JSON", exact=True).click()
    page.get_by_label("Response").get_by_text('"modelVersion"').wait_for()


def test_rows_behind_an_open_line_are_shown_while_the_job_runs(page, server):
    number = create(server, "one hangs", "".join(line("this one hangs" if i == 2 else f"ask {i}") for i in range(400)), model="stuck")
    page.goto(f"/#/jobs/{number}?tab=results")
    page.get_by_text("397 are answered already, behind a line that is still open").wait_for()
    page.get_by_role("button", name="All answered 399").click()
    page.get_by_text("200 rows of 399 that are answered, also behind lines that are still open").wait_for()
    page.get_by_role("listbox", name="Rows").focus()
    page.keyboard.press("End")
    page.get_by_role("article", name="Row 200").get_by_text("ask 200").first.wait_for()
    page.get_by_text("399 rows of 399 that are answered").wait_for()
    with page.expect_download() as got:
        page.get_by_role("button", name="JSONL").click()
    assert got.value.path().read_text().count("\n") == 399
    page.get_by_label("Search the rows for a text").fill("ask 77")
    page.get_by_text("1 matching rows of 399").wait_for()
    assert axe(page) == []
    page.get_by_role("button", name="Without gaps").click()
    page.get_by_label("Search the rows for a text").fill("")
    page.get_by_text("2 rows; more will come").wait_for()
    assert server.call("POST", f"{JOBS}/{number}:cancel")[0] == 200


def test_two_jobs_are_compared_row_by_row(page, server):
    page.goto(f"/#/jobs/{server.mixed}?tab=compare")
    page.get_by_label("Compare with").select_option(server.other)
    page.get_by_text("4 of 303 rows differ").wait_for()
    page.get_by_role("listbox").get_by_role("option").first.click()
    article = page.get_by_role("article", name="Row 7")
    article.get_by_role("region", name="mail of march").get_by_text("fine", exact=True).wait_for()
    article.get_by_role("region", name="mail of april").get_by_text("spam", exact=True).wait_for()
    assert axe(page) == []


def test_texts_of_models_and_clients_are_never_markup(page, server):
    jobs(page)
    page.get_by_role("link", name=HOSTILE).click()
    page.get_by_role("heading", name=HOSTILE).wait_for()
    page.get_by_role("link", name="Results").click()
    page.get_by_role("option").first.click()
    page.get_by_role("article").get_by_text("window.broken").first.wait_for()
    page.get_by_role("option").nth(1).click()
    article = page.get_by_role("article", name="Row 1")
    article.get_by_role("img").wait_for()
    assert article.get_by_role("img").count() == 1
    article.get_by_text("result of").wait_for()
    article.get_by_text("Thought", exact=True).click()
    article.get_by_text("a thought of mine").wait_for()
    assert page.evaluate("() => [window.broken, document.querySelectorAll('main script, main img[src=x]').length]") == [None, 0]


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_every_page_is_accessible(page, server, theme):
    page.emulate_media(color_scheme=theme)
    for address, shown in (("", "slow archive"), (f"/{server.slow}", "Lines per second"), (f"/{server.mixed}", "Why lines failed"),
                           (f"/{server.mixed}?tab=results&row=3", "Request"),
                           (f"/{server.mixed}?tab=details", "The same again")):
        page.goto(f"/#/jobs{address}")
        page.get_by_text(shown).first.wait_for()
        assert axe(page) == [], address


def test_the_keyboard_alone_is_enough(page, server):
    jobs(page)
    page.get_by_role("link", name="mail of march").focus()
    page.keyboard.press("Enter")
    page.get_by_role("link", name="Results").focus()
    page.keyboard.press("Enter")
    page.get_by_role("listbox", name="Rows").focus()
    page.keyboard.press("ArrowDown")
    page.get_by_role("article", name="Row 0").wait_for()
    page.keyboard.press("End")
    page.get_by_role("article", name="Row 302").wait_for()
    page.keyboard.press("PageUp")
    page.get_by_role("article", name="Row 292").wait_for()
    assert page.evaluate("document.activeElement.getAttribute('aria-activedescendant')") == "row-292"


def test_pages_stay_live_across_a_restart(page, browser, tmp_path):
    server = Server(tmp_path, "--test-clock", config=MODELS)
    number = create(server, "goes on", "".join(line(f"slow {i}") for i in range(3000)), model="slow")
    context = browser.new_context(base_url=server.url)
    tab, other = context.new_page(), context.new_page()
    tab.goto("/#/jobs")
    other.goto(f"/#/jobs/{number}")
    tab.get_by_text("lines/s").wait_for()
    other.get_by_role("img", name=re.compile("Requests in flight")).wait_for()
    # One stream for both tabs.
    assert server.call("GET", "/metrics")[1].count("tranche_event_streams 1\n") == 1
    server.port = int(server.url.rsplit(":", 1)[1])
    server.kill()
    tab.get_by_text("the service is away").wait_for()
    other.get_by_text("the service is away").wait_for()
    server.start()
    for page_of in (tab, other):
        page_of.get_by_text("the service is away").wait_for(state="detached")
    before = tab.locator(".jobs-row .progress").last.inner_text()
    tab.wait_for_function("(before) => document.querySelector('.vrow .progress').innerText !== before", arg=before)
    server.call("POST", f"{JOBS}/{number}:cancel")
    tab.get_by_text("cancelled", exact=True).wait_for()
    other.get_by_text("cancelled", exact=True).first.wait_for()
    context.close()
    server.stop()


def test_200000_rows_scroll_without_jank(page, server):
    number = create(server, "large", "".join(line(f"{'spam' if i % 2 else 'fine'} {i}") for i in range(200_000)))
    wait(server, number)
    page.goto(f"/#/jobs/{number}?tab=results")
    page.get_by_text("200,000 rows").wait_for()
    rows = page.get_by_role("listbox", name="Rows")
    rows.get_by_text("fine 0", exact=True).wait_for()
    page.evaluate("() => { window.long = []; new PerformanceObserver((l) => l.getEntries().forEach((e) => window.long.push(e.duration)))"
                  ".observe({ type: 'longtask' }); }")
    for part in (0.1, 0.35, 0.5, 0.75, 0.999):
        rows.evaluate("(box, part) => { box.scrollTop = part * box.scrollHeight; }", part)
        page.wait_for_function("() => !document.querySelector('.rows-list .ghost') && document.querySelectorAll('.row-line').length > 5")
    rows.focus()
    page.keyboard.press("End")
    page.get_by_role("article", name="Row 199,999").get_by_text("spam 199999").wait_for()
    assert page.locator(".row-line").count() < 100
    # No scroll kept the page busy for long, on a machine that other programs may use too.
    assert max(page.evaluate("window.long") or [0]) < 1000
    page.get_by_label("Search the rows for a text").fill("fine 199998")
    page.get_by_text("1 matching rows of 200,000").wait_for()
