"""`tranche embed`, and batches of requests to embed, by the embedded model."""
import json
import math
import signal
import time

import pytest

REVIEWS = ('id,text,stars\n1,"The room was clean, and quiet",5\n2,Terrible noise all night,1\n3,,2\n'
           "4,It was loud until the morning,1\n")
MODEL = "text-embedding-005"


def cosine(a, b):
    return sum(x * y for x, y in zip(a, b)) / math.sqrt(sum(x * x for x in a) * sum(y * y for y in b))


def rows_of(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_rows_of_a_table_get_vectors_and_near_texts_are_nearer(tranche):
    (tranche.folder / "reviews.csv").write_text(REVIEWS)
    done = tranche("embed", "reviews.csv", "--column", "text", "-o", "vectors.jsonl")
    assert done.returncode == 1, done.stderr  # the third row has no text
    rows = rows_of(tranche.folder / "vectors.jsonl")
    vectors = {row["id"]: row["embedding"] for row in rows}
    assert [len(vectors[i]) for i in "124"] == [384] * 3 and vectors["3"] is None
    assert "prompt is empty" in rows[2]["error"]
    assert cosine(vectors["2"], vectors["4"]) > cosine(vectors["1"], vectors["4"]) + 0.1
    assert all(abs(math.hypot(*vectors[i]) - 1) < 1e-6 for i in "124")


def test_a_parquet_file_has_the_vectors_as_lists(tranche):
    (tranche.folder / "reviews.csv").write_text(REVIEWS)
    done = tranche("embed", "reviews.csv", "--column", "text", "-o", "vectors.parquet",
                   "--param", "outputDimensionality=16", "--where", "text is not null")
    assert done.returncode == 0, done.stderr
    types = [json.loads(line) for line in tranche("table", "schema", "vectors.parquet", "--json").stdout.splitlines()]
    assert {t["name"]: t["type"] for t in types}["embedding"] == "FLOAT[]"
    assert tranche("table", "copy", "vectors.parquet", "again.csv").returncode == 0
    head = (tranche.folder / "again.csv").read_text().splitlines()[1]
    assert head.count(",") >= 16 and head.startswith('1,"The room')


def test_shards_of_a_table_are_embedded_apart_and_merged(tranche):
    (tranche.folder / "reviews.csv").write_text(REVIEWS)
    ask = ("embed", "reviews.csv", "--column", "text", "--param", "outputDimensionality=8")
    for k in range(3):
        done = tranche(*ask, "--shard", f"{k}/3", "-o", f"part-{k}.jsonl", "-q")
        assert done.returncode in (0, 1), done.stderr
    assert tranche(*ask, "-o", "whole.jsonl", "-q").returncode == 1
    done = tranche("merge", "part-0.jsonl", "part-1.jsonl", "part-2.jsonl", "-o", "all.jsonl", "--input", "reviews.csv")
    assert done.returncode == 1, done.stderr  # the row without a text
    assert rows_of(tranche.folder / "all.jsonl") == rows_of(tranche.folder / "whole.jsonl")


def test_a_text_of_several_columns_is_embedded(tranche):
    (tranche.folder / "a.jsonl").write_text('{"title":"Cats","body":"sit outside"}\n')
    done = tranche("embed", "a.jsonl", "--text", "{title}: {body}", "-o", "b.jsonl", "-q")
    assert done.returncode == 0, done.stderr
    (tranche.folder / "c.jsonl").write_text('{"t":"Cats: sit outside"}\n')
    assert tranche("embed", "c.jsonl", "--column", "t", "-o", "d.jsonl", "-q").returncode == 0
    assert rows_of(tranche.folder / "b.jsonl")[0]["embedding"] == rows_of(tranche.folder / "d.jsonl")[0]["embedding"]


@pytest.mark.parametrize("arguments, words", [
    (["--column", "nope"], "nope"),
    ([], "either --column or --text is needed"),
    (["--column", "text", "--text", "x"], "either --column or --text is needed"),
    (["--column", "text", "--param", "outputDimensionality=x"], "outputDimensionality"),
    (["--column", "text", "-m", "smollm2-135m-instruct"], "embed"),
])
def test_mistakes_are_named(tranche, arguments, words):
    (tranche.folder / "reviews.csv").write_text(REVIEWS)
    result = tranche("embed", "reviews.csv", "-o", "v.csv", *arguments)
    assert result.returncode != 0 and words in result.stderr, result.stderr


def test_an_interrupted_run_goes_on_where_it_stopped(tranche):
    text = "".join(f"{i},word {i} " + "and more words " * 20 + "\n" for i in range(1500))
    (tranche.folder / "big.csv").write_text("id,text\n" + text)
    arguments = ["embed", "big.csv", "--column", "text", "-o", "big.jsonl", "--param", "outputDimensionality=8"]
    running = tranche.start(*arguments)
    partial = tranche.folder / "big.jsonl.partial"
    while running.poll() is None and not (partial.exists() and partial.stat().st_size):
        time.sleep(0.02)
    running.send_signal(signal.SIGKILL)
    running.wait()
    done = tranche(*arguments)
    assert done.returncode == 0, done.stderr
    rows = rows_of(tranche.folder / "big.jsonl")
    assert [row["id"] for row in rows] == [str(i) for i in range(1500)]
    assert all(len(row["embedding"]) == 8 for row in rows)


def test_lines_to_embed_have_limits_at_the_edge_and_one_past_it(tranche):
    def line(key, text, **more):
        return json.dumps({"key": key, "request": {"content": {"parts": [{"text": text}]}, **more}})

    words = "word " * 254
    (tranche.folder / "in.jsonl").write_text("\n".join([
        line("fits", words, autoTruncate=False), line("cut", words + "word"), line("refused", words + "word", autoTruncate=False),
        line("all", "x", outputDimensionality=384), line("more", "x", outputDimensionality=385),
        line("snake", "x", embed_content_config={"output_dimensionality": 2})]) + "\n")
    assert tranche("run", "in.jsonl", "-m", MODEL, "-o", "out.jsonl").returncode == 1
    rows = {row["key"]: row for row in rows_of(tranche.folder / "out.jsonl")}
    assert rows["fits"]["response"]["tokenCount"] == rows["cut"]["response"]["tokenCount"] == "256"
    assert "truncated" not in rows["fits"]["response"] and rows["cut"]["response"]["truncated"] is True
    assert "The text has 257 tokens, but all-minilm-l6-v2 takes 256" in rows["refused"]["status"]
    assert len(rows["all"]["response"]["embedding"]["values"]) == 384
    assert "385 dimensions were asked for, but all-minilm-l6-v2 has 384" in rows["more"]["status"]
    assert len(rows["snake"]["response"]["embedding"]["values"]) == 2


def test_instances_of_the_older_models_have_predictions(tranche):
    (tranche.folder / "in.jsonl").write_text(
        '{"content":"hello world","task_type":"RETRIEVAL_DOCUMENT","title":"t"}\n{"content":""}\n')
    assert tranche("run", "in.jsonl", "-m", MODEL, "-o", "out.jsonl").returncode == 1
    first, second = rows_of(tranche.folder / "out.jsonl")
    assert first["instance"] == {"content": "hello world", "task_type": "RETRIEVAL_DOCUMENT", "title": "t"}
    embeddings = first["predictions"][0]["embeddings"]
    assert embeddings["statistics"] == {"token_count": 5, "truncated": False}
    assert len(embeddings["values"]) == 384 and first["status"] == ""
    assert second["predictions"] == [] and "empty text" in second["status"]
