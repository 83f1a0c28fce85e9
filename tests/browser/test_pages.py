"""New job, storage, tables, models, system and keys in the console: what a user does there, names that try to be markup, what a
viewer sees, the keyboard alone, and WCAG AA in both themes."""
import json
import subprocess

import pytest
from conftest import axe
from keys import make_key
from bq import JOBS, job_body, request
from server import CONFIG, PROGRAM, Server, line, wait_until

EVIL = "<img src=x onerror=alert(1)>"
DEFAULT = "/storage/v1/b?project=default"
BQ = "/bigquery/v2/projects/default"


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    running = Server(tmp_path_factory.mktemp("pages"), config=CONFIG)
    running.call("POST", DEFAULT, {"name": "inputs"})
    running.upload("inputs", "2026/requests.jsonl", "".join(line(f"review {i}", key=f"r{i}") + "\n" for i in range(40)))
    running.upload("inputs", "bad.jsonl", line("good") + '\n{"request":{"contents":[]}}\n{oops\n' + line("good too") + "\n")
    running.upload("inputs", "hostile%2F" + "%3Cimg%20src%3Dx%20onerror%3Dalert%281%29%3E.jsonl", line(EVIL) + "\n")
    running.call("POST", f"{BQ}/datasets", {"datasetReference": {"datasetId": "shop"}})
    status, answer = running.call("POST", f"{BQ}/queries", {"useLegacySql": False, "query":
                                  "CREATE TABLE shop.many AS SELECT i AS id, CONCAT('text of ', CAST(i AS STRING)) AS text "
                                  "FROM UNNEST(GENERATE_ARRAY(1, 200000)) AS i"})
    assert status == 200, answer
    status, answer = running.call("POST", f"{BQ}/queries", {"useLegacySql": False, "query":
                                  f"CREATE TABLE shop.hostile AS SELECT '{EVIL}' AS `a <b>`, 1 AS n"})
    running.evil_column = status == 200
    yield running
    assert running.stop() == 0


def quiet(page):
    """Nothing that a name or a text said became an element, or ran."""
    assert page.locator("img[src='x']").count() == 0 and page.locator("[onerror]").count() == 0


# ---- New job ----

def csv_file(folder, name="My Reviews (1).csv"):
    path = folder / name
    path.write_text('id,stars,text\n007,5,"Spotless, quiet\nand warm"\n008,,"Cold shower"\n009,3,It was fine\n')
    return path


def test_a_csv_file_becomes_a_job_by_a_prompt_over_its_columns(page, server, tmp_path):
    page.goto("/#/new")
    page.get_by_label("Input file").set_input_files(csv_file(tmp_path))
    page.get_by_text("3 rows, 3 columns").wait_for()
    page.get_by_label("Model", exact=True).fill("gemini-2.5-flash")
    page.get_by_label("Prompt", exact=True).fill("Label{?stars} ({stars} stars){/}: {tex}")
    assert 'no column "tex"' in page.get_by_role("alert").inner_text()
    page.get_by_label("Prompt", exact=True).fill("Label {id}{?stars} ({stars} stars){/}: {text}")
    previews = page.locator(".previews article > pre")
    previews.nth(2).wait_for()
    assert previews.all_inner_texts() == ["Label 007 (5 stars): Spotless, quiet\nand warm", "Label 008: Cold shower", "Label 009 (3 stars): It was fine"]
    page.get_by_role("button", name="Answer them now").click()
    page.locator(".previews .answer pre").nth(2).wait_for()
    assert page.locator(".previews .answer pre").first.inner_text().startswith("echo: Label 007")
    page.get_by_role("button", name="Check every line").click()
    page.get_by_text("every line is a valid request").wait_for()
    assert "from 3 answered rows" in page.locator(".figures").inner_text()
    assert axe(page) == []
    page.get_by_role("button", name="Start the job").click()
    page.wait_for_url("**/#/jobs/*")
    name = page.url.split("/")[-1]
    jobs = "/v1/projects/default/locations/us-central1/batchPredictionJobs"
    assert [j["name"].split("/")[-1] for j in server.call("GET", jobs)[1]["batchPredictionJobs"]] == [name]  # no check is left behind
    made = server.call("GET", f"{jobs}/{name}")[1]
    assert made["displayName"] == "My Reviews (1).csv" and made["inputConfig"]["bigquerySource"]["inputUri"].startswith("bq://default.console.my_reviews_1")


def test_the_check_shows_each_bad_line_with_its_context_before_anything_runs(page, server):
    page.goto("/#/new?object=gs://inputs/bad.jsonl")
    page.get_by_label("Model", exact=True).fill("gemini-2.5-flash")
    page.get_by_role("button", name="Check every line").click()
    report = page.get_by_role("region", name="Bad lines")
    report.wait_for()
    rows = report.locator("tbody tr")
    assert rows.count() == 2
    assert "contents field is required" in rows.nth(0).inner_text() and '{"request":{"contents":[]}}' in rows.nth(0).inner_text()
    assert rows.nth(1).locator("td").first.inner_text() == "3" and "{oops" in rows.nth(1).inner_text()
    page.get_by_role("button", name="Start with 2 good lines").wait_for()
    page.get_by_role("checkbox", name="A bad line stops").check()
    page.get_by_role("button", name="Check every line").click()
    report.wait_for()
    assert page.get_by_role("button", name="Start the job").is_disabled()
    assert axe(page) == []


def test_a_schema_of_fields_is_built_and_sent(page, server):
    page.goto("/#/new?table=shop.many")
    page.get_by_text("200,000 rows, 2 columns").wait_for()
    sent = []
    page.on("request", lambda r: sent.append(r.post_data_json) if "generateContent" in r.url else None)
    page.get_by_label("Model", exact=True).fill("gemini-2.5-flash")
    page.get_by_label("Prompt", exact=True).fill("{text}")
    page.get_by_role("radio", name="Fields").check()
    page.get_by_label("Field", exact=True).fill("topic")
    page.get_by_label("Type").select_option("ENUM")
    page.get_by_label("Values").fill("room, staff")
    page.get_by_role("button", name="Add field").click()
    page.get_by_label("Field", exact=True).nth(1).fill("angry")
    page.get_by_label("Type").nth(1).select_option("BOOLEAN")
    page.get_by_role("button", name="Answer them now").click()
    page.locator(".previews .answer pre").nth(2).wait_for()
    schema = sent[0]["generationConfig"]["responseSchema"]
    assert schema["properties"] == {"topic": {"type": "STRING", "enum": ["room", "staff"]}, "angry": {"type": "BOOLEAN"}}
    assert schema["required"] == ["topic", "angry"] and json.loads(page.locator(".previews .answer pre").first.inner_text())["topic"] in ("room", "staff")


def test_a_dropped_file_of_rows_as_json_is_an_input(page, server):
    page.goto("/#/new")
    page.get_by_text("Drop a JSONL").wait_for()
    page.evaluate("""() => {
      const data = new DataTransfer();
      data.items.add(new File(['{"id": 1, "text": "good"}\\n{"id": 2, "text": "bad"}\\n'], "rows.jsonl"));
      document.querySelector(".dropzone").dispatchEvent(new DragEvent("drop", { dataTransfer: data, bubbles: true, cancelable: true }));
    }""")
    page.get_by_text("2 rows, 2 columns").wait_for()
    page.get_by_label("Prompt", exact=True).fill("Say ")
    page.get_by_role("button", name="text", exact=True).click()
    page.get_by_text("Say good").wait_for()


def test_a_parquet_file_is_an_input(page, server, tmp_path):
    csv_file(tmp_path, "rows.csv")
    subprocess.run([PROGRAM, "table", "copy", tmp_path / "rows.csv", tmp_path / "rows.parquet", "--state", tmp_path / "state"],
                   check=True, timeout=60, capture_output=True)
    page.goto("/#/new")
    page.get_by_label("Input file").set_input_files(tmp_path / "rows.parquet")
    page.get_by_text("3 rows, 3 columns").wait_for()
    page.get_by_label("Prompt", exact=True).fill("{id}: {text:json} {{}}")
    page.get_by_text('007: "Spotless, quiet\\nand warm" {}').wait_for()


def test_a_sample_is_there_to_try(page, server):
    page.goto("/#/new")
    page.get_by_role("button", name="Load a sample").click()
    page.get_by_text("10 rows, 3 columns").wait_for()


@pytest.mark.parametrize("name, content, word", [
    ("a.parquet", "nothing", "not a Parquet file"), ("empty.csv", "", "is empty"), ("a.csv", "id,,text\n1,2,3\n", "no name"),
    ("a.csv", "id,ID\n1,2\n", "twice"), ("a.json", "[1]", "JSON Lines"), ("a.csv.gz", "x", "packed")])
def test_a_file_that_cannot_be_an_input_is_refused_in_words(page, server, tmp_path, name, content, word):
    (tmp_path / name).write_text(content)
    page.goto("/#/new")
    page.get_by_label("Input file").set_input_files(tmp_path / name)
    page.get_by_role("alert").wait_for()
    assert word in page.get_by_role("alert").inner_text()


# ---- Storage ----

def test_files_are_uploaded_looked_at_and_deleted(page, server, tmp_path):
    big = tmp_path / "big.txt"
    big.write_bytes(b"0123456789abcdef" * (5 << 16))
    (tmp_path / "notes.md").write_text("# Notes\nof today\n")
    page.goto("/#/storage")
    page.get_by_label("New bucket").fill("uploads-of-a-test")
    page.get_by_role("button", name="Create bucket").click()
    page.get_by_role("heading", name="This folder is empty").wait_for()
    page.get_by_label("Files to upload").set_input_files([big, tmp_path / "notes.md"])
    page.get_by_role("link", name="big.txt").wait_for()
    assert len(server.download("uploads-of-a-test", "big.txt")) == 5 << 20
    page.get_by_role("link", name="notes.md").click()
    page.get_by_text("of today").wait_for()
    with page.expect_download() as download:
        page.get_by_role("button", name="Download").click()
    assert download.value.suggested_filename == "notes.md" and open(download.value.path()).read() == "# Notes\nof today\n"
    assert axe(page) == []
    page.get_by_role("checkbox", name="Choose big.txt").check()
    page.get_by_role("button", name="Delete 1").click()
    page.get_by_role("dialog").get_by_role("button", name="Delete").click()
    page.get_by_role("link", name="big.txt").wait_for(state="detached")
    assert server.call("GET", "/storage/v1/b/uploads-of-a-test/o/big.txt")[0] == 404


def test_a_broken_upload_goes_on_at_the_byte_it_had_reached(page, server, tmp_path):
    big = tmp_path / "broken.bin"
    big.write_bytes(bytes(range(256)) * (3 << 12))
    page.goto("/#/storage/inputs")
    page.get_by_role("link", name="bad.jsonl").wait_for()
    ranges = []

    def cut(route):
        span = route.request.headers.get("content-range", "")
        ranges.append(span)
        if len([r for r in ranges if not r.startswith("bytes *")]) == 2:
            route.abort("connectionreset")
        else:
            route.continue_()
    page.route("**/upload/storage/v1/b/inputs/o?uploadType=resumable&upload_id=*", cut)
    page.get_by_label("Files to upload").set_input_files(big)
    page.get_by_role("link", name="broken.bin").wait_for()
    assert server.call("GET", "/storage/v1/b/inputs/o/broken.bin")[1]["size"] == str(3 << 20)
    sent = [r for r in ranges if not r.startswith("bytes *")]
    assert sent[1] == sent[2] and not sent[1].startswith("bytes 0-"), ranges


def test_an_upload_goes_on_after_its_page_was_closed(page, server, tmp_path):
    big = tmp_path / "again.bin"
    big.write_bytes(bytes(range(256)) * (3 << 12))
    page.goto("/#/storage/inputs")
    page.get_by_role("link", name="bad.jsonl").wait_for()
    ranges = []

    def hold(route):
        span = route.request.headers.get("content-range", "")
        ranges.append(span)
        if span.startswith("bytes 0-") or span.startswith("bytes *"):
            route.continue_()
    address = "**/upload/storage/v1/b/inputs/o?uploadType=resumable&upload_id=*"
    page.route(address, hold)
    with page.expect_request(lambda r: r.headers.get("content-range", "").startswith("bytes 1048576-")):
        page.get_by_label("Files to upload").set_input_files(big)
    page.get_by_role("button", name="Pause").click()
    page.get_by_text("paused").wait_for()
    page.unroute(address)
    page.reload()
    page.get_by_role("link", name="bad.jsonl").wait_for()
    page.on("request", lambda r: ranges.append(r.headers["content-range"]) if "content-range" in r.headers else None)
    del ranges[:]
    page.get_by_label("Files to upload").set_input_files(big)
    page.get_by_role("link", name="again.bin").wait_for()
    assert ranges[0] == f"bytes */{3 << 20}" and all(not r.startswith("bytes 0-") for r in ranges), ranges
    assert server.call("GET", "/storage/v1/b/inputs/o/again.bin")[1]["size"] == str(3 << 20)


def test_folders_are_walked_and_hostile_names_stay_text(page, server):
    page.goto("/#/storage/inputs")
    page.get_by_role("link", name="2026/").click()
    page.get_by_role("link", name="requests.jsonl").click()
    page.get_by_role("region", name="Lines").wait_for()
    assert page.get_by_role("region", name="Lines").locator("details").count() == 40
    page.goto("/#/storage/inputs?prefix=hostile/")
    page.get_by_role("link", name=EVIL).click()
    page.get_by_role("region", name="Lines").wait_for()
    assert EVIL in page.get_by_role("complementary").inner_text()
    quiet(page)


# ---- Tables ----

def test_two_hundred_thousand_rows_are_paged_as_they_are_seen(page, server):
    asked = []
    page.on("request", lambda r: asked.append(r.url) if "/data?" in r.url else None)
    page.goto("/#/tables/shop/many")
    grid = page.get_by_role("region", name="Rows of many")
    grid.get_by_text("text of 1", exact=True).wait_for()
    grid.evaluate("e => e.scrollTo(0, e.scrollHeight)")
    grid.get_by_text("text of 200000", exact=True).wait_for()
    assert len(asked) <= 4 and page.locator(".grid tbody tr").count() < 80
    grid.evaluate("e => e.scrollTo(0, e.scrollHeight / 2)")
    grid.get_by_text("text of 100010", exact=True).wait_for()
    page.get_by_role("link", name="Schema").click()
    page.get_by_role("cell", name="INTEGER").wait_for()
    assert axe(page) == []


def test_sql_runs_in_place_and_says_what_is_wrong(page, server):
    page.goto("/#/tables")
    box = page.get_by_label("GoogleSQL")
    box.fill("SELECT COUNT(*) AS rows_of_it\nFROM shop.many\nWHERE MOD(id, 2) = 0")
    box.press("Control+Enter")
    page.get_by_role("region", name="Result").get_by_text("100000").wait_for()
    box.fill("SELECT 1\nFROM shop.none")
    page.get_by_role("button", name="Run").click()
    page.get_by_role("alert").wait_for()
    assert "none" in page.get_by_role("alert").inner_text()
    box.fill("CREATE TABLE shop.made AS SELECT 1 AS a")
    page.get_by_role("button", name="Run").click()
    page.get_by_role("link", name="made").click()
    page.get_by_role("button", name="Delete").click()
    page.get_by_role("dialog").get_by_role("button", name="Delete").click()
    page.get_by_role("link", name="made").wait_for(state="detached")


def test_a_job_whose_answers_went_into_a_table_shows_its_rows(page, server):
    status, answer = server.call("POST", f"{BQ}/queries", {"useLegacySql": False, "query":
                                 "CREATE OR REPLACE TABLE shop.asks AS SELECT i AS id, '" + request("which is it?") + "' AS request FROM UNNEST([1, 2]) AS i"})
    assert status == 200, answer
    status, job = server.call("POST", JOBS.format("default"), job_body("bq://default.shop.asks", "bq://default.shop.told"))
    assert status == 200, job
    name = job["name"].split("/")[-1]
    wait_until(lambda: server.call("GET", f"/v1/{job['name']}")[1]["state"] == "JOB_STATE_SUCCEEDED", 60)
    page.goto(f"/#/jobs/{name}?tab=results")
    page.get_by_text("The answers are in the table shop.told").wait_for()
    page.get_by_role("region", name="Rows of told").get_by_text("which is it?").first.wait_for()
    page.get_by_role("link", name="shop.told").click()
    page.get_by_role("heading", name="shop.told").wait_for()
    server.call("DELETE", f"{BQ}/datasets/shop/tables/told")
    page.goto(f"/#/jobs/{name}?tab=results")
    page.reload()
    page.get_by_text("The answers are in a table").wait_for()
    assert "SELECT * FROM `default.shop.told`" in page.locator("pre").inner_text()
    assert axe(page) == []


def test_hostile_cells_and_columns_stay_text(page, server):
    page.goto("/#/tables")
    page.get_by_label("GoogleSQL").fill(f"SELECT '{EVIL}' AS a, ['{EVIL}'] AS b")
    page.get_by_role("button", name="Run").click()
    cell = page.get_by_role("region", name="Result").get_by_role("cell", name=EVIL, exact=True)
    cell.wait_for()
    cell.click()
    page.get_by_role("region", name="Row 1").wait_for()
    quiet(page)


# ---- Models, system ----

@pytest.mark.parametrize("streams", [True, False])
def test_a_model_is_tried_and_its_answer_stays_text(page, server, streams):
    page.goto("/#/models?model=gemini-2.5-flash")
    page.get_by_label("Prompt").fill(EVIL)
    page.get_by_role("checkbox", name="Stream").set_checked(streams)
    page.get_by_role("button", name="Ask").click()
    page.get_by_text("tokens in").wait_for()
    assert page.get_by_label("Answer").inner_text() == f"echo: {EVIL}"
    quiet(page)
    page.get_by_label("Model", exact=True).fill("no-such-model")
    page.get_by_role("button", name="Ask").click()
    page.get_by_role("alert").wait_for()
    assert "no-such-model" in page.get_by_role("alert").inner_text()


def test_the_system_page_plots_what_the_service_does(browser, tmp_path):
    config = "models:\n  - { name: stuck, kind: fake, fake: { delay_ms: 600000 } }\n"
    server = Server(tmp_path, config=config)
    server.call("POST", DEFAULT, {"name": "inputs"})
    server.upload("inputs", "in.jsonl", line("a") + "\n")
    status, answer = server.call("POST", "/v1/projects/default/locations/us-central1/batchPredictionJobs", {
        "displayName": "stuck", "model": "publishers/google/models/stuck",
        "inputConfig": {"instancesFormat": "jsonl", "gcsSource": {"uris": ["gs://inputs/in.jsonl"]}},
        "outputConfig": {"predictionsFormat": "jsonl", "gcsDestination": {"outputUriPrefix": "gs://inputs/out"}}})
    assert status == 200, answer
    context = browser.new_context(base_url=server.url)
    page = context.new_page()
    page.goto("/#/system")
    page.locator(".figure").filter(has_text="1running; 0 wait").wait_for()
    page.get_by_role("img", name="HTTP calls").wait_for()
    page.wait_for_function("() => [...document.querySelectorAll('.spark .area')].some((p) => p.getAttribute('d').length > 20)")
    assert page.get_by_text("Free on disk").is_visible()
    context.close()
    assert server.stop() == 0


def test_the_system_page_shows_the_processes_that_share_the_store(page, server):
    """Answered by the test: a store of several processes takes a database of its own (tests/cluster)."""
    process = {"version": "1.0", "joinTime": "2026-11-30T08:00:00Z", "shards": 4}
    page.route("**/tranche/v1/fleet", lambda r: r.fulfill(json={"shared": True, "process": "18", "leaseHeld": False, "processes": [
        {**process, "process": "17", "name": EVIL, "leaseEndTime": "2999-11-30T08:00:00Z"},
        {**process, "process": "18", "leaseEndTime": "2026-11-30T08:00:00Z"}]}))
    page.goto("/#/system")
    section = page.get_by_role("region", name="Processes")
    rows = section.get_by_role("row")
    rows.nth(2).wait_for()
    assert rows.nth(1).inner_text().split() == [*EVIL.split(), "process", "17", "1.0", *rows.nth(1).locator("td").nth(1).inner_text().split(), "held", "4"]
    assert "ended" in rows.nth(2).inner_text() and "this one" in rows.nth(2).inner_text()
    assert "holds no lease" in section.get_by_role("alert").inner_text()
    assert axe(page) == []
    quiet(page)


def test_a_service_that_has_the_store_alone_shows_no_processes(page, server):
    page.goto("/#/system")
    page.get_by_role("heading", name="Upstream servers").wait_for()
    status, answer = server.call("GET", "/tranche/v1/fleet")
    assert status == 200 and answer == {"shared": False, "processes": []}
    assert page.get_by_role("heading", name="Processes").count() == 0


def test_the_tables_page_says_when_the_tables_are_bigquerys(browser, tmp_path):
    server = Server(tmp_path, config=CONFIG + "bigquery:\n  endpoint: http://127.0.0.1:9\nservice:\n  tables: bigquery\n")
    status, answer = server.call("GET", f"{BQ}/datasets")
    assert status == 501 and "bq:// names BigQuery's" in answer["error"]["message"]
    context = browser.new_context(base_url=server.url)
    page = context.new_page()
    page.goto("/#/tables")
    page.get_by_text("The tables are BigQuery's").wait_for()
    assert page.get_by_text("bq:// names BigQuery's").is_visible()
    context.close()
    assert server.stop() == 0


def test_a_break_of_the_service_is_said_and_passes(page, server):
    page.goto("/#/system")
    page.get_by_role("img", name="HTTP calls").wait_for()
    page.route("**/metrics", lambda route: route.abort("connectionrefused"))
    page.get_by_text("cannot be reached").wait_for()
    page.unroute("**/metrics")
    page.get_by_text("cannot be reached").wait_for(state="detached")


# ---- Keys and roles ----

@pytest.fixture(scope="module")
def locked(tmp_path_factory):
    folder = tmp_path_factory.mktemp("locked")
    keys = {role: make_key(folder, "red", role) for role in ("viewer", "user", "admin")}
    running = Server(folder, config=CONFIG)
    running.keys = keys
    head = {"x-goog-api-key": keys["admin"]}
    running.call("POST", "/storage/v1/b?project=red", {"name": "red-inputs"}, head)
    running.upload("red-inputs", "a.jsonl", line("hi") + "\n", head)
    running.call("POST", "/bigquery/v2/projects/red/datasets", {"datasetReference": {"datasetId": "shop"}}, {"authorization": f"Bearer {keys['admin']}"})
    yield running
    assert running.stop() == 0


@pytest.fixture
def visitor(browser, locked):
    contexts = []

    def sign_in(role):
        context = browser.new_context(viewport={"width": 1280, "height": 800}, base_url=locked.url)
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(30_000)
        page.goto("/")
        page.get_by_label("Key").fill(locked.keys[role])
        page.keyboard.press("Enter")
        page.get_by_role("button", name="Sign out").wait_for()
        return page
    yield sign_in
    for context in contexts:
        context.close()


def test_a_signed_in_browser_downloads_by_a_link_with_a_ticket(visitor, locked):
    """The link carries no header, so the cookie counts for nothing: the ticket does, for its own path and for reading alone."""
    page = visitor("viewer")
    asked = []
    page.on("request", lambda r: asked.append(r.url))
    page.goto("/#/storage/red-inputs?open=a.jsonl")
    page.get_by_text("a.jsonl").first.click()
    with page.expect_download() as got:
        page.get_by_role("button", name="Download").click()
    assert got.value.path().read_text() == line("hi") + "\n"
    assert got.value.suggested_filename == "a.jsonl"
    path = "/storage/v1/b/red-inputs/o/a.jsonl"
    get = "async (url) => { const r = await fetch(url); return r.status; }"
    post = """async (path) => { const r = await fetch("/tranche/v1/session:ticket", { method: "POST", body: JSON.stringify({ path }),
        headers: { "x-tranche-console": "1", "content-type": "application/json" } }); return (await r.json()).ticket; }"""
    ticket = page.evaluate(post, path)
    assert page.evaluate(get, f"{path}?alt=media") == 401
    assert page.evaluate(get, f"{path}?alt=media&ticket={ticket}") == 200
    assert page.evaluate(get, f"/storage/v1/b/red-inputs/o?ticket={ticket}") == 401
    assert page.evaluate(get, f"{path}?alt=media&ticket={ticket[:-1]}x") == 401
    assert page.evaluate("async (url) => (await fetch(url, { method: 'DELETE' })).status", f"{path}?ticket={ticket}") == 401
    assert not any(url.startswith("blob:") for url in asked)


def test_an_admin_makes_a_key_that_is_shown_once_and_revokes_it(visitor):
    page = visitor("admin")
    page.goto("/#/keys")
    page.get_by_role("button", name="New key").click()
    page.get_by_label("Name").fill(EVIL)
    page.get_by_label("Role").select_option("viewer")
    page.get_by_role("button", name="Create key").click()
    secret = page.locator(".secret").inner_text()
    assert secret.startswith("tk_") and len(secret) == 43
    assert axe(page) == []
    page.get_by_role("button", name="Close").click()
    page.locator(".secret").wait_for(state="detached")
    row = page.get_by_role("row").filter(has_text=EVIL)
    row.wait_for()
    assert secret not in page.content()
    quiet(page)
    row.get_by_role("button", name="Revoke").click()
    page.get_by_role("dialog").get_by_role("button", name="Revoke").click()
    row.wait_for(state="detached")
    page.get_by_role("checkbox", name="Show expired").check()
    page.get_by_role("row").filter(has_text="revoked").wait_for()


def test_a_viewer_sees_no_button_that_it_may_not_use(visitor):
    page = visitor("viewer")
    nav = page.get_by_role("navigation", name="Pages")
    assert nav.get_by_role("link", name="New job").count() == 0 and nav.get_by_role("link", name="Keys").count() == 0
    for address, text in (("#/storage", "red-inputs"), ("#/storage/red-inputs?object=a.jsonl", "Download"), ("#/tables", "Choose a table"), ("#/models", "Answered by")):
        page.goto(f"/{address}")
        page.get_by_text(text).first.wait_for()
        for name in ("Create bucket", "Upload", "Delete", "New job", "Run", "Ask", "Try"):
            assert page.get_by_role("button", name=name).count() == 0, (address, name)
    with page.expect_download() as download:
        page.goto("/#/storage/red-inputs?object=a.jsonl")
        page.get_by_role("button", name="Download").click()
    assert "hi" in open(download.value.path()).read()
    for address in ("#/new", "#/keys"):
        page.goto(f"/{address}")
        page.get_by_role("heading", name="There is no such page").wait_for()


def test_the_first_key_of_an_open_service_keeps_its_maker_signed_in(browser, tmp_path):
    running = Server(tmp_path, config=CONFIG)
    context = browser.new_context(base_url=running.url)
    page = context.new_page()
    page.goto("/#/keys")
    page.get_by_role("button", name="New key").click()
    page.get_by_role("button", name="Create key").click()
    page.get_by_role("heading", name="Keep this key").wait_for()
    page.get_by_role("button", name="Close").click()
    page.get_by_role("button", name="Sign out").wait_for()
    page.get_by_text("signed in here").wait_for()
    context.close()
    assert running.stop() == 0


def test_an_empty_service_offers_a_sample_that_runs(browser, tmp_path):
    running = Server(tmp_path, config=CONFIG)
    context = browser.new_context(base_url=running.url)
    page = context.new_page()
    page.goto("/")
    page.get_by_role("button", name="Load a sample").click()
    page.wait_for_url("**/#/jobs/*")
    jobs = "/v1/projects/default/locations/us-central1/batchPredictionJobs"
    made = running.call("GET", jobs)[1]["batchPredictionJobs"][0]
    assert made["displayName"] == "Sample: hotel reviews"
    assert running.call("GET", f"{BQ}/datasets/samples/tables/reviews")[1]["numRows"] == "10"
    context.close()
    assert running.stop() == 0


# ---- Themes, keyboard ----

@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("address, text", [
    ("new", "Drop a JSONL"), ("storage", "inputs"), ("storage/inputs?object=bad.jsonl", "Download"), ("tables", "GoogleSQL"),
    ("tables/shop/many", "text of 3"), ("models", "Answered by"), ("system", "Throughput"), ("keys", "No keys yet")])
def test_pages_hold_wcag_aa_in_both_themes_and_fit_a_phone(page, server, theme, address, text):
    page.emulate_media(color_scheme=theme)
    page.goto(f"/#/{address}")
    page.get_by_text(text).first.wait_for()
    assert axe(page) == []
    page.set_viewport_size({"width": 390, "height": 800})
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    assert axe(page) == []


def press_until(page, selector, most=60):
    for _ in range(most):
        page.keyboard.press("Tab")
        if page.evaluate("(s) => document.activeElement.matches(s)", selector):
            return
    raise AssertionError(f"Tab does not reach {selector}")


def test_a_job_is_made_by_the_keyboard_alone(page, server):
    page.goto("/#/new")
    page.get_by_text("Drop a JSONL").wait_for()
    press_until(page, "input[placeholder^='gs://']")
    page.keyboard.type("gs://inputs/2026/requests.jsonl")
    page.keyboard.press("Enter")
    page.get_by_text("requests, one on each line").wait_for()
    press_until(page, "input[list='new-models']")
    page.keyboard.press("Control+A")
    page.keyboard.type("gemini-2.5-flash")
    page.keyboard.press("Enter")
    page.get_by_text("every line is a valid request").wait_for()
    press_until(page, ".step:last-child button.primary")
    page.keyboard.press("Enter")
    page.wait_for_url("**/#/jobs/*")


def test_rows_of_a_table_are_read_by_the_keyboard_alone(page, server):
    page.goto("/#/tables/shop/many")
    page.get_by_text("text of 3", exact=True).wait_for()
    press_until(page, ".grid")
    for _ in range(3):
        page.keyboard.press("ArrowDown")
    page.get_by_role("region", name="Row 3").get_by_text("text of 3").wait_for()
    page.keyboard.press("Escape")
    page.get_by_role("region", name="Row 3").wait_for(state="detached")
