"""Screenshots of every page of the console, at three widths and in both themes, and what each page costs: time to its
first paint, bytes, long tasks. Run by scripts/console-shots."""
import argparse
import pathlib
import shutil
import tempfile
import zlib

from playwright.sync_api import sync_playwright

import conftest
from server import Server, line, wait_until

WIDTHS = {"phone": 390, "tablet": 820, "wide": 1440}
JOBS = "/v1/projects/default/locations/us-central1/batchPredictionJobs"
MODELS = """models:
  - name: "gemini-*"
    kind: fake
    fake:
      answers:
        - { match: "Spotless", text: "positive" }
        - { match: "cold", text: "negative" }
        - { match: "fine", text: "neutral" }
      faults:
        - { rate: 0.01, code: INVALID_ARGUMENT, message: "The prompt was blocked." }
  - name: review-model
    kind: fake
    fake:
      delay_ms: 300
      jitter_ms: 400
      window: 16
      answers:
        - { match: "Spotless", text: "positive" }
        - { match: "cold", text: "negative" }
        - { match: "fine", text: "neutral" }
      faults:
        - { rate: 0.02, code: UNAVAILABLE, message: "overloaded" }
"""


def job(server, name, model, source, out):
    status, answer = server.call("POST", JOBS, {
        "displayName": name, "model": f"publishers/google/models/{model}",
        "inputConfig": {"instancesFormat": "jsonl", "gcsSource": {"uris": [source]}},
        "outputConfig": {"predictionsFormat": "jsonl", "gcsDestination": {"outputUriPrefix": out}}})
    assert status == 200, answer
    return answer["name"]


def png(side=120):
    """A picture that is easy to know again: a gradient."""
    rows = b"".join(b"\0" + bytes(v for x in range(side) for v in (x * 2, y * 2, 140)) for y in range(side))

    def chunk(kind, data):
        return len(data).to_bytes(4, "big") + kind + data + zlib.crc32(kind + data).to_bytes(4, "big")
    return (b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", side.to_bytes(4, "big") * 2 + b"\x08\x02\0\0\0") +
            chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b""))


def sql(server, text):
    status, answer = server.call("POST", "/bigquery/v2/projects/default/queries", {"query": text, "useLegacySql": False})
    assert status == 200, answer


def fill(server, slow):
    """Buckets, objects, tables and jobs as a user may have them."""
    texts = ["Spotless room, and the staff remembered our names.", "The shower was cold and nobody came.", "It was fine."]
    requests = "".join(line(f"Label the sentiment of: {texts[i % 3]} ({i})", key=f"r{i}") + "\n" for i in range(2000))
    for bucket in ("reviews", "answers"):
        server.call("POST", "/storage/v1/b?project=default", {"name": bucket})
    server.upload("reviews", "2026/requests.jsonl", requests)
    server.upload("reviews", "2026/december.jsonl", requests * 10)
    server.upload("reviews", "2026/notes/readme.txt", "Reviews of November.\nOne request a line.\n")
    server.upload("reviews", "2026/reviews.csv", "id,stars,text\n" + "".join(f'{i},{i % 5 + 1},"{texts[i % 3]}"\n' for i in range(300)))
    server.upload("reviews", "2026/picture.png", png())
    server.upload("reviews", "2026/bad.jsonl", line("good") + "\n" + '{"request":{"contents":[]}}\n{oops\n' + line("good too") + "\n")
    server.call("POST", "/bigquery/v2/projects/default/datasets", {"datasetReference": {"datasetId": "shop"}})
    sql(server, "CREATE TABLE shop.reviews AS SELECT i AS id, MOD(i, 5) + 1 AS stars, CONCAT('Review number ', CAST(i AS STRING), "
        "', with a sentence that goes on for a while.') AS text, DATE_ADD(DATE '2026-01-01', INTERVAL MOD(i, 300) DAY) AS day "
        "FROM UNNEST(GENERATE_ARRAY(1, 200000)) AS i")
    sql(server, "CREATE VIEW shop.angry AS SELECT * FROM `default.shop.reviews` WHERE stars = 1")
    done = job(server, "Sentiment, November", "gemini-2.5-flash", "gs://reviews/2026/requests.jsonl", "gs://answers/november")
    job(server, "With two bad lines", "gemini-2.5-flash", "gs://reviews/2026/bad.jsonl", "gs://answers/bad")
    wait_until(lambda: server.call("GET", f"/v1/{done}")[1]["state"] == "JOB_STATE_SUCCEEDED")
    return job(server, "Sentiment, December", slow, "gs://reviews/2026/december.jsonl", "gs://answers/december"), done


WATCH = """() => {
  window.long = [];
  new PerformanceObserver((list) => list.getEntries().forEach((e) => window.long.push(e.duration))).observe({ type: "longtask", buffered: true });
}"""
COST = """() => {
  const all = [...performance.getEntriesByType("navigation"), ...performance.getEntriesByType("resource")];
  const files = all.filter((e) => e.entryType === "navigation" || e.name.includes("/console/"));
  const paint = performance.getEntriesByName("first-contentful-paint")[0];
  return { paint: paint ? paint.startTime : 0, bytes: files.reduce((n, e) => n + e.transferSize, 0),
           calls: all.length, all: all.reduce((n, e) => n + e.transferSize, 0), long: window.long || [] };
}"""


def new_job(page):
    page.get_by_label("Or a table").fill("shop.reviews")
    page.get_by_role("button", name="Use table").click()
    page.get_by_label("Model", exact=True).fill("gemini-2.5-flash")
    page.get_by_label("Prompt", exact=True).fill("Label the sentiment of this review ({stars} stars): {text}")
    page.get_by_role("radio", name="One of some labels").check()
    page.get_by_role("textbox", name="Labels").fill("positive, negative, neutral")
    page.get_by_role("button", name="Answer them now").click()
    page.locator(".previews .answer pre").nth(2).wait_for()


def bad_job(page):
    page.get_by_label("Or an object").fill("gs://reviews/2026/bad.jsonl")
    page.get_by_role("button", name="Use object").click()
    page.get_by_label("Model", exact=True).fill("gemini-2.5-flash")
    page.get_by_role("button", name="Check every line").click()
    page.get_by_role("region", name="Bad lines").wait_for()


def ask(page):
    page.get_by_label("Prompt").fill("Say hello.")
    page.get_by_role("button", name="Ask").click()
    page.get_by_text("tokens in").wait_for()


def sql_error(page):
    page.get_by_label("GoogleSQL").fill("SELECT stars, COUNT(*) AS n\nFROM shop.reviews\nGROUP BY stars ORDER BY stars")
    page.get_by_role("button", name="Run").click()
    page.get_by_role("region", name="Result").wait_for()


def dialog(page):
    page.get_by_role("button", name="New key").click()


# name, address, the text that says the page is there, and what is done on it
PAGES = [
    ("jobs", "#/jobs", "Sentiment, November", None),
    ("job", "#/jobs/{running}", None, None),
    ("job-rows", "#/jobs/{done}?tab=results", None, None),
    ("new", "#/new", "Drop a JSONL", None),
    ("new-prompt", "#/new", "Drop a JSONL", new_job),
    ("new-check", "#/new", "Drop a JSONL", bad_job),
    ("storage", "#/storage", "reviews", None),
    ("storage-object", "#/storage/reviews?prefix=2026/&object=2026/requests.jsonl", "1. {", None),
    ("storage-image", "#/storage/reviews?prefix=2026/&object=2026/picture.png", "Download", None),
    ("tables-sql", "#/tables", "GoogleSQL", sql_error),
    ("tables-rows", "#/tables/shop/reviews", "Review number 3", None),
    ("models", "#/models", "Answered by", ask),
    ("system", "#/system", "Throughput", None),
    ("keys", "#/keys", "No keys yet", dialog),
]


def visit(browser, server, where, width, theme, seconds=2):
    context = browser.new_context(viewport={"width": width, "height": 900}, color_scheme=theme, base_url=server.url)
    page = context.new_page()
    page.set_default_timeout(20_000)
    page.add_init_script(f"({WATCH})()")
    name, address, text, act = where
    page.goto("/" + address)
    if text:
        page.get_by_text(text).first.wait_for()
    page.wait_for_load_state("networkidle") if name not in ("system", "models") and not name.startswith("job") else page.wait_for_timeout(seconds * 1000)
    cost = page.evaluate(COST)
    if act:
        act(page)
    page.wait_for_timeout(300)
    wider = page.evaluate("document.documentElement.scrollWidth - innerWidth")
    return context, page, cost, wider


def cost_of(browser, server, where):
    """The median of three first visits: paint, bytes, calls, and the longest tasks of all three."""
    found = []
    for _ in range(3):
        context, _, cost, _ = visit(browser, server, (*where[:3], None), WIDTHS["wide"], "light")
        context.close()
        found.append(cost)
    middle = sorted(found, key=lambda c: c["paint"])[1]
    return {**middle, "long": [t for c in found for t in c["long"]]}


def row_of(name, cost):
    tasks = f"{len(cost['long'])}, {max(cost['long']):.0f} ms at most" if cost["long"] else "none"
    return f"| {name} | {cost['paint']:.0f} | {cost['bytes'] / 1000:.0f} | {cost['all'] / 1000:.0f} | {cost['calls']} | {tasks} |"


def main():
    given = argparse.ArgumentParser(description=__doc__)
    given.add_argument("--out", default=conftest.ROOT / "build" / "shots", type=pathlib.Path)
    given.add_argument("--only", default="", help="pages whose name has this text")
    given.add_argument("--width", choices=WIDTHS, action="append")
    given.add_argument("--theme", choices=["light", "dark"], action="append")
    o = given.parse_args()
    o.out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        server = Server(folder, config=MODELS)
        running, done = fill(server, "review-model")
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium") or "/usr/bin/chromium", args=conftest.ARGUMENTS)
        print("| page | first paint, ms | console's files, KB | all, KB | calls | long tasks in three visits |\n|---|---|---|---|---|---|")
        for where in PAGES:
            if o.only not in where[0]:
                continue
            where = (where[0], where[1].format(done=done.split("/")[-1], running=running.split("/")[-1]), *where[2:])
            for theme in o.theme or ["light", "dark"]:
                for width in o.width or WIDTHS:
                    context, page, _, wider = visit(browser, server, where, WIDTHS[width], theme, 20 if where[0] == "system" else 3)
                    page.evaluate("scrollTo(0, 0)")
                    page.screenshot(path=o.out / f"{where[0]}-{width}-{theme}.png", full_page=True)
                    context.close()
                    if wider > 0:
                        print(f"{where[0]} at {width} is {wider} pixels too wide")
            if where[3] is None:
                print(row_of(where[0], cost_of(browser, server, where)))
        browser.close()
        server.stop()


if __name__ == "__main__":
    main()
