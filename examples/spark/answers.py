"""Asks `tranche serve` about each row of a table of Spark.

usage: spark-submit --py-files examples/tranche_jobs.py examples/spark/answers.py INPUT OUTPUT \\
           --server URL --model NAME --prompt 'Label the sentiment of: {text}' [--run NAME]

INPUT has one JSON object a line, OUTPUT is a folder of Parquet files with the columns answer and error beside the row's own.
The service's key is $TRANCHE_API_KEY. Each batch of rows that Spark hands over (--rows) becomes one job; a task that Spark
repeats, since an executor died, finds the jobs that its first attempt made, and asks about none of their rows again.
"""
import argparse
import os

from pyspark.sql import SparkSession
from pyspark.sql.types import StringType, StructField, StructType


def options():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("input")
    parser.add_argument("output")
    parser.add_argument("--server", required=True)
    parser.add_argument("--model", required=True)
    parser.add_argument("--prompt", required=True, help="{column} is the row's value")
    parser.add_argument("--run", default="", help="another name asks the same questions anew")
    parser.add_argument("--rows", type=int, default=1000, help="rows of one job")
    parser.add_argument("--parallel", type=int, default=0, help="tasks; by default one for each file split")
    return parser.parse_args()


def asker(server, key, model, prompt, run):
    """The function for mapInPandas: frames in, the same frames with answers out."""
    def ask(frames):
        from tranche_jobs import Service
        service = Service(server, key)
        for frame in frames:
            requests = [{"contents": [{"role": "user", "parts": [{"text": prompt.format(**row)}]}]}
                        for row in frame.to_dict("records")]
            answers = service.answers(requests, model, run)
            yield frame.assign(answer=[a["text"] for a in answers], error=[a["error"] for a in answers])
    return ask


def main():
    o = options()
    spark = (SparkSession.builder.appName("tranche")
             .config("spark.sql.execution.arrow.maxRecordsPerBatch", o.rows).getOrCreate())
    rows = spark.read.json(o.input)
    schema = StructType([*rows.schema.fields, StructField("answer", StringType()), StructField("error", StringType())])
    if o.parallel:  # by their hash and sorted, so that a repeated task has the same rows in the same order
        rows = rows.repartition(o.parallel, *rows.columns).sortWithinPartitions(*rows.columns)
    asked = rows.mapInPandas(asker(o.server, os.environ.get("TRANCHE_API_KEY"), o.model, o.prompt, o.run), schema)
    asked.write.mode("overwrite").parquet(o.output)
    spark.stop()


if __name__ == "__main__":
    main()
