#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Time from the start of a process to its first answer, and the memory a second process of the kind takes for itself.

    bench/open.py [--runs 20] INPUT COMMAND...

INPUT is one line for the command's standard input ("" for none: the command then ends by itself); the answer is the first
line it prints. The file is in the page cache after the first run, which is not counted.
    bench/open.py '{"question":"Who?","context":"Ada."}' build/release/espalier run model.esp --threads 1
    bench/open.py "" examples/answer model.esp "Who?" "Ada."
"""
import argparse
import statistics
import subprocess
import sys
import time


def start(command, line):
    begin = time.perf_counter()
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    if line:
        process.stdin.write(line.encode() + b"\n")
        process.stdin.flush()
    answer = process.stdout.readline()
    seconds = time.perf_counter() - begin
    if not answer:
        sys.exit(f"open.py: {command[0]} gave no answer")
    return process, seconds


def stop(process):
    process.stdin.close()
    process.stdout.read()
    process.wait()


def memory(process):
    """Kilobytes of smaps_rollup by name."""
    with open(f"/proc/{process.pid}/smaps_rollup", encoding="ascii") as lines:
        return {words[0].rstrip(":"): int(words[1]) for words in (text.split() for text in lines) if words[-1] == "kB"}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=20)
    parser.add_argument("input")
    parser.add_argument("command", nargs=argparse.REMAINDER)
    options = parser.parse_args()
    if not options.command or options.runs < 1:
        parser.error("expected INPUT and COMMAND")
    times = []
    for _ in range(options.runs + 1):
        process, seconds = start(options.command, options.input)
        stop(process)
        times.append(1e3 * seconds)
    times = sorted(times[1:])
    print(f"start to first answer: median {statistics.median(times):.1f} ms, {times[0]:.1f} to {times[-1]:.1f} ms")
    if options.input:
        first, _ = start(options.command, options.input)
        second, _ = start(options.command, options.input)
        kinds = memory(second)
        print("second process: private {:.1f} MB ({:.1f} MB written to), shared {:.1f} MB".format(
            (kinds["Private_Clean"] + kinds["Private_Dirty"]) / 1024, kinds["Private_Dirty"] / 1024,
            (kinds["Shared_Clean"] + kinds["Shared_Dirty"]) / 1024))
        stop(first)
        stop(second)


if __name__ == "__main__":
    main()
