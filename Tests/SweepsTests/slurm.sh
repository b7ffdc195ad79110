#!/usr/bin/env bash
# A preset as an array of a real Slurm, whose tasks are ended at random: bash Tests/SweepsTests/slurm.sh [ROUNDS]
# Then the commands of the guide to several machines, as they are printed. The Slurm is one of its own (cluster.sh).
# ATTNLAB names the program; that of `make test` or of a debug build by default, the later one. SEED repeats a run's choices.
set -euo pipefail
cd "$(dirname "$0")/../.."
rounds=${1:-10}
built=$(ls -t .build/test/release/attnlab .build/debug/attnlab 2>/dev/null | head -n 1) || true
attnlab=$(realpath "${ATTNLAB:-$built}")
package=$PWD
# shellcheck source=Tests/SweepsTests/cluster.sh
source Tests/SweepsTests/cluster.sh
# A copy beside no sources, in a folder beside none: nobody's work there changes the columns commit and program meanwhile.
mkdir "$scratch/bin"
cp "$attnlab" "$scratch/bin/attnlab"
attnlab=$scratch/bin/attnlab

# --- 60 cells
cat >"$scratch/sixty.yaml" <<'YAML'
n: [16, 24, 32, 40, 48, 64]
head_dim: 8
threads: 1
warmup: 0
repeats: 2
pass: [forward, backward]
variants: [full, lsh, {sliding-window: {left: [2, 4, 8]}}]
YAML
"$attnlab" run "$scratch/sixty.yaml" --out "$scratch/one" >/dev/null 2>"$scratch/one.log"

# Cells in order, and everything but what is time, or depends on it.
table() {
  python3 - "$1" <<'PY'
import csv, sys
timed = {"repeats", "gflops", "fraction_of_peak", "peak_rss_bytes", "started_at"}
rows = list(csv.DictReader(open(sys.argv[1])))
ids = [row["cell_id"] for row in rows]
assert len(rows) == 60 and len(set(ids)) == 60, f"{len(rows)} rows, {len(set(ids))} cells"
for row in rows:
    assert row["status"] == "ok" and row["host"] and row["machine"] and row["program"], row
    print({name: value for name, value in row.items() if name not in timed and "seconds" not in name})
PY
}
table "$scratch/one/measurements.csv" >"$scratch/one.rows"

# The numbers of a job's tasks that run now.
running() { squeue -h -r -t R -j "$1" -o %K 2>/dev/null | tr '\n' ' '; }
field() { python3 -c 'import json,sys; print(json.load(sys.stdin)[sys.argv[1]])' "$1"; }
submit() { "$attnlab" slurm "$@" --partition short --time 10 --submit --json; }
# The process of a task, by what only it was started with.
program() { pgrep -f -- "--out $1 .*--shard $2/4" | head -1; }
# Ends a task in one of four ways; says which.
end() {
  local job=$1 task=$2 out=$3
  case $((RANDOM % 4)) in
  0) echo -n " warning($task)"; scancel --batch --signal=USR1 "${job}_$task" ;;
  1) echo -n " requeue($task)"; scontrol requeue "${job}_$task" ;;
  2) echo -n " terminate($task)"; scancel --batch --signal=TERM "${job}_$task" ;;
  3) echo -n " kill-9($task)"; local pid; pid=$(program "$out" "$task"); [ -z "$pid" ] || kill -9 "$pid" ;;
  esac || true
}

# --- rounds
ended=0 again=0
for round in $(seq "$rounds"); do
  out=$scratch/round$round
  job=$(submit "$scratch/sixty.yaml" --cells-per-task 15 --out "$out" | field job)
  echo -n "slurm: round $round:"
  kills=0
  while [ $kills -lt 2 ] && [ "$(left "$job")" -gt 0 ]; do
    tasks=($(running "$job"))
    if [ ${#tasks[@]} -gt 0 ] && [ $((RANDOM % 3)) -eq 0 ]; then
      end "$job" "${tasks[RANDOM % ${#tasks[@]}]}" "$out" 2>/dev/null
      kills=$((kills + 1))
    fi
    sleep 0.$((RANDOM % 9 + 1))
  done
  ended=$((ended + kills))
  while [ "$(left "$job")" -gt 0 ]; do sleep 0.5; done
  # What was killed, not put back, is submitted again as status says.
  while missing=$("$attnlab" status "$out" --json | field array) && [ -n "$missing" ]; do
    echo -n " again($missing)"
    again=$((again + 1))
    [ $again -lt 50 ] || exit 1
    job=$(submit "$scratch/sixty.yaml" --cells-per-task 15 --out "$out" --array "$missing" | field job)
    while [ "$(left "$job")" -gt 0 ]; do sleep 0.5; done
  done
  drain
  "$attnlab" merge "$out" --complete >/dev/null
  before=$(sha256sum "$out"/*.csv "$out"/environment.json)
  "$attnlab" merge "$out" | grep -q 'holds everything of 4 folders already'
  [ "$before" = "$(sha256sum "$out"/*.csv "$out"/environment.json)" ]
  table "$out/measurements.csv" | cmp - "$scratch/one.rows"
  sessions=$(python3 -c 'import json,sys; print(len(json.load(open(sys.argv[1]))["sessions"]))' "$out/environment.json")
  echo " – 60 of 60 cells, each once, equal to one run's; $sessions sessions"
done
echo "slurm: $rounds rounds, $ended tasks ended, $again submitted again: no row lost or doubled"

# --- run --executor slurm: it submits, is told to end, finds its jobs again, waits, merges
out=$scratch/waited
waits=("$attnlab" run "$scratch/sixty.yaml" --executor slurm --partition short --time 10 --cells-per-task 15 --out "$out")
"${waits[@]}" >/dev/null 2>"$scratch/waited.log" &
waiting=$!
for _ in $(seq 100); do grep -q 'submitted job' "$scratch/waited.log" && break; sleep 0.1; done
kill -TERM $waiting
code=0; wait $waiting || code=$?
[ $code -eq 130 ]
grep -q 'goes on: attnlab status' "$scratch/waited.log"
"${waits[@]}" >"$scratch/waited.text" 2>>"$scratch/waited.log"
grep -q 'was submitted before\|is there already' "$scratch/waited.log"
grep -q '^report: ' "$scratch/waited.text"
table "$out/measurements.csv" | cmp - "$scratch/one.rows"
"${waits[@]}" >/dev/null 2>"$scratch/waited.log"
grep -q 'is there already' "$scratch/waited.log"
echo "slurm: run --executor slurm: left by a signal, waited for again, merged: equal to one run's"

# --- trainings: a warning saves, the queue goes on, the bits are those of one run
cat >"$scratch/four.yaml" <<'YAML'
experiment: training
task: {id: mqar, length: 32, vocabulary: 16, pairs: 2}
model: {width: 16, layers: 1, heads: 2, hidden: 16}
training: {steps: 400, batch: 4, evaluate_every: 100, evaluation_batches: 1}
seed: [1, 2, 3, 4]
threads: 1
YAML
"$attnlab" run "$scratch/four.yaml" --out "$scratch/trained" >/dev/null 2>>"$scratch/one.log"
out=$scratch/trainings
job=$(submit "$scratch/four.yaml" --cells-per-task 1 --out "$out" --scratch | field job)
warned=0
while [ "$(left "$job")" -gt 0 ]; do
  tasks=($(running "$job"))
  if [ $warned -lt 2 ] && [ ${#tasks[@]} -gt 0 ]; then
    sleep 1.$((RANDOM % 9))
    scancel --batch --signal=USR1 "${job}_${tasks[RANDOM % ${#tasks[@]}]}" 2>/dev/null || true
    warned=$((warned + 1))
  fi
  sleep 0.5
done
drain
"$attnlab" merge "$out" --complete >/dev/null
python3 - "$scratch/trained" "$out" <<'PY'
import csv, sys
timed = {"seconds", "tokens_per_second", "fraction_of_peak", "started_at"}
for table, count in [("runs.csv", 4), ("curves.csv", 16)]:
    one, parts = ([{k: v for k, v in row.items() if k not in timed} for row in csv.DictReader(open(f"{folder}/{table}"))]
                  for folder in sys.argv[1:])
    assert len(one) == count and one == parts, (table, len(one), len(parts))
PY
echo "slurm: 4 trainings in 4 tasks, $warned warned: losses and curves have the bits of one run"

# --- the guide: what stands in its code blocks, in the order in which it stands; the preset is that of 60 cells, by the same name
export PATH=$scratch/bin:$PATH
mkdir -p "$scratch/guide/Experiments"
cd "$scratch/guide"
cp "$scratch/sixty.yaml" Experiments/quickstart.yaml
guide=$package/Sources/AttentionLab/Documentation.docc/Guides/several-machines.md
mapfile -t lines < <(awk '/^```/ { inside = !inside; next } inside && /^attnlab / { print }' "$guide")
[ ${#lines[@]} -ge 9 ] || { echo "slurm: the guide has ${#lines[@]} commands" >&2; exit 1; }
for line in "${lines[@]}"; do
  # What is submitted is waited for, as a reader does who looks at its status.
  bash -euc "$line" >"$scratch/guide.text" 2>"$scratch/guide.log" || {
    echo "slurm: '$line' of the guide ended with $?" >&2
    cat "$scratch/guide.text" "$scratch/guide.log" >&2
    exit 1
  }
  drain
done
attnlab status results/sweep | grep -q "60 cells: 60 done"
echo "slurm: the ${#lines[@]} commands of the guide, as printed"
