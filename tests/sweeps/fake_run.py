"""Acts as a run does, without JAX: counts steps, writes metrics.csv, saves and leaves with 75 at SIGTERM, goes on.

python fake_run.py WORKDIR NUM_STEPS [--seconds=OF_A_STEP] [--fail_at=STEP]
"""

import argparse
import pathlib
import signal
import sys
import time

parser = argparse.ArgumentParser()
parser.add_argument("workdir", type=pathlib.Path)
parser.add_argument("num_steps", type=int)
parser.add_argument("--seconds", type=float, default=0.0)
parser.add_argument("--fail_at", type=int, default=-1)
args = parser.parse_args()

signals = []
signal.signal(signal.SIGTERM, lambda number, frame: signals.append(number))
metrics = args.workdir / "metrics.csv"
if not metrics.exists():
    metrics.write_text("step,l1_loss\n")
start = len(metrics.read_text().splitlines()) - 1
for step in range(start + 1, args.num_steps + 1):
    time.sleep(args.seconds)
    if step == args.fail_at:
        print(f"ERROR: no step {step}", file=sys.stderr)
        sys.exit(1)
    with metrics.open("a") as file:
        file.write(f"{step},{1 / step}\n")
    if signals and step < args.num_steps:
        print(f"saved at step {step} after {len(signals)} signal")
        sys.exit(75)
