"""The orchestrator's overhead: `orch run` against the same work in one plain process, alternating on this machine.

Prints the durations of each pair, their ratio, and the peak memory of each side: the sum of the proportional set size
over its processes (memory shared between processes counts once).

    python benchmarks/overhead.py [--pairs 2] [recipes/rft.yaml [key=value ...]]
"""

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import psutil

HERE = Path(__file__).parent


def main() -> None:
    """Run the pairs."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pairs", type=int, default=2)
    parser.add_argument("recipe", nargs="?", default=str(HERE.parent / "recipes" / "rft.yaml"))
    parser.add_argument("overrides", nargs="*")
    arguments = parser.parse_args()
    recipe = [str(Path(arguments.recipe).resolve()), *arguments.overrides]
    ratios = []
    for pair in range(arguments.pairs):
        ways = {
            "orch": [sys.executable, "-m", "orchestrator.cli", "run", *recipe],
            "plain": [sys.executable, str(HERE / "plain.py"), *recipe],
        }
        taken = {}
        for name in ways if pair % 2 == 0 else reversed(ways):
            seconds, peak = measure(ways[name])
            taken[name] = seconds
            print(f"pair {pair + 1}  {name:6} {seconds:6.1f} s  {peak / 2**30:5.2f} GiB at the peak", flush=True)
        ratios.append(taken["orch"] / taken["plain"])
        print(f"pair {pair + 1}  ratio  {ratios[-1]:6.3f}", flush=True)
    print(f"orch / plain: {statistics.median(ratios):.3f} (median of {len(ratios)})")


def measure(command: list[str]) -> tuple[float, int]:
    """Duration in seconds and peak memory in bytes of a command run in an empty folder."""
    with tempfile.TemporaryDirectory() as folder, (Path(folder) / "output").open("w") as output:
        started = time.monotonic()
        # orch sets this for its workers; the plain script gets it too, so that it does not affect the ratio
        environment = os.environ | {"OMP_WAIT_POLICY": "PASSIVE"}
        process = subprocess.Popen(command, cwd=folder, env=environment, stdout=output, stderr=subprocess.STDOUT)
        peak = [0]
        watcher = threading.Thread(target=_watch, args=(process, peak))
        watcher.start()
        code = process.wait()
        seconds = time.monotonic() - started
        watcher.join()
        if code:
            sys.exit(f"{' '.join(command)} exited with {code}:\n{(Path(folder) / 'output').read_text()[-3000:]}")
        print((Path(folder) / "output").read_text()[-1200:])
    return seconds, peak[0]


def _watch(process: "subprocess.Popen[bytes]", peak: list[int]) -> None:
    root = psutil.Process(process.pid)
    while process.poll() is None:
        try:
            peak[0] = max(peak[0], sum(_pss(p) for p in [root, *root.children(recursive=True)]))
        except psutil.Error:
            continue
        time.sleep(1)


def _pss(process: psutil.Process) -> int:
    try:
        return int(process.memory_full_info().pss)
    except psutil.Error:
        return 0


if __name__ == "__main__":
    main()
