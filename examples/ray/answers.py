"""Asks `tranche serve` about each row of a dataset of Ray.

usage: python examples/ray/answers.py INPUT OUTPUT --server URL --model NAME --prompt 'Label the sentiment of: {text}'

INPUT has one JSON object a line, OUTPUT is a folder of Parquet files with the columns answer and error beside the row's own.
The service's key is $TRANCHE_API_KEY. Each batch of rows becomes one job; a task that Ray repeats finds the job of its first
attempt. examples/tranche_jobs.py must be importable by the workers (PYTHONPATH, or a runtime_env with its folder).
"""
import argparse
import os

import ray

from tranche_jobs import Service


class Ask:
    """One worker, for map_batches."""

    def __init__(self, server, key, model, prompt, run):
        self.service, self.model, self.prompt, self.run = Service(server, key), model, prompt, run

    def __call__(self, frame):
        requests = [{"contents": [{"role": "user", "parts": [{"text": self.prompt.format(**row)}]}]}
                    for row in frame.to_dict("records")]
        answers = self.service.answers(requests, self.model, self.run)
        return frame.assign(answer=[a["text"] for a in answers], error=[a["error"] for a in answers])


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("input")
    parser.add_argument("output")
    parser.add_argument("--server", required=True)
    parser.add_argument("--model", required=True)
    parser.add_argument("--prompt", required=True, help="{column} is the row's value")
    parser.add_argument("--run", default="", help="another name asks the same questions anew")
    parser.add_argument("--rows", type=int, default=1000, help="rows of one job")
    parser.add_argument("--workers", type=int, default=2, help="jobs that are waited for at once")
    o = parser.parse_args()
    # A worker waits for the service and computes nothing: it takes a tenth of a processor.
    ray.data.read_json(o.input, lines=True).map_batches(
        Ask, fn_constructor_args=(o.server, os.environ.get("TRANCHE_API_KEY"), o.model, o.prompt, o.run),
        batch_format="pandas", batch_size=o.rows, concurrency=o.workers, num_cpus=0.1,
    ).write_parquet(o.output)


if __name__ == "__main__":
    main()
