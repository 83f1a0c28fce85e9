"""usage: report.py TIMES LINES

Prints the medians of lines "NAME SECONDS USER SYSTEM KIB", and the ratio of CSV to requests."""
import collections
import statistics
import sys


def main():
    lines = int(sys.argv[2])
    seen = collections.defaultdict(list)
    for line in open(sys.argv[1]):
        name, *numbers = line.split()
        seen[name].append([float(n) for n in numbers])
    medians = {}
    for name, runs in seen.items():
        wall, user, system, kib = (statistics.median(column) for column in zip(*runs))
        medians[name] = wall, user + system
        print(f"{name:15} {wall:7.2f} s  {(user + system) * 1e6 / lines:6.1f} us CPU a row  "
              f"{lines / (user + system):9,.0f} rows/s of CPU  {kib / 1024:6.1f} MiB")
    for base, table in (("requests", "csv"), ("requests", "rows"), ("requests", "parquet"), ("check-requests", "check-csv")):
        print(f"{table} / {base}: {medians[table][0] / medians[base][0]:.2f} of the time, "
              f"{medians[table][1] / medians[base][1]:.2f} of the CPU")


main()
