#!/usr/bin/env bash
# Attention over ranks that are processes, by Open MPI: bash Tests/RankLab/mpi.sh [debug|release]
# A release build also checks 65,536 tokens at length, which takes a minute and 2 GB; a debug build a sixteenth of them.
# Builds the package with its trait MPI in a folder of its own, so that the build without MPI stays as it is.
set -euo pipefail
cd "$(dirname "$0")/../.."
command -v mpirun >/dev/null || { echo "mpi: no mpirun; apt-get install libopenmpi-dev openmpi-bin" >&2; exit 2; }
configuration=${1:-debug}
# Nobody debugs what is built here or looks its symbols up: without either a debug build takes less time.
build=(swift build --traits MPI --scratch-path .build/mpi -c "$configuration" --disable-index-store -debug-info-format none)
"${build[@]}" --product attnlab-ranks
"${build[@]}" --product attnlab
program=$("${build[@]}" --show-bin-path)/attnlab-ranks
attnlab=$("${build[@]}" --show-bin-path)/attnlab
run() { timeout 300 mpirun --allow-run-as-root --oversubscribe --bind-to none -n "$@"; }

for ranks in 1 2 3 4; do run $ranks "$program" check; done

# Causal attention of a long sequence on two ranks: one rank's results within the error budget, bytes by the formula, half the
# memory. The line that it prints has the numbers.
tokens=4096
[ "$configuration" = debug ] || tokens=65536
run 2 "$program" long $tokens

# A rank that fails, or is killed, ends all others within seconds, and nobody reports success.
for how in fail vanish; do
  start=$SECONDS
  if run 3 "$program" $how 1 >/dev/null 2>&1; then echo "mpi: $how went unnoticed" >&2; exit 1; fi
  [ $((SECONDS - start)) -le 20 ] || { echo "mpi: $how took $((SECONDS - start)) s to end" >&2; exit 1; }
done
echo "mpi: ranks that fail or vanish end the others"

# attnlab starts its ranks itself, and is one when mpirun starts it.
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
window=(measure sliding-window --n 2000 --causal --head-dim 8 --set left=99 --ranks 2 --threads 1 --repeats 2 --json)
"$attnlab" "${window[@]}" >"$scratch/own.json"
run 2 "$attnlab" "${window[@]}" >"$scratch/given.json"
for row in own given; do
  # 99 keys of 8 + 8 floats, in one message.
  grep -q '"bytes_sent": 6336,' "$scratch/$row.json" && grep -q '"messages": 1,' "$scratch/$row.json" \
    && grep -q '"status": "ok"' "$scratch/$row.json" || { cat "$scratch/$row.json" >&2; exit 1; }
done
cat >"$scratch/ranks.yaml" <<'YAML'
name: ranks
n: [300, 600]
pass: forward
causal: true
head_dim: 8
ranks: [1, 2]
variants: [full]
warmup: 1
repeats: 2
budget: 1s
YAML
"$attnlab" run "$scratch/ranks.yaml" --out "$scratch/results" >/dev/null
rows=$(grep -c ',ok,' "$scratch/results/measurements.csv")
[ "$rows" -eq 4 ] || { cat "$scratch/results/measurements.csv" >&2; exit 1; }
echo "mpi: measure and run spread cells over ranks"

# A training has the same bits on one, two and four ranks, and one that goes from two ranks to three.
train=(train mqar --set task.length=16 --set task.vocabulary=16 --set task.pairs=2 --set model.width=16 --set model.layers=1
  --set model.heads=2 --set model.hidden=16 --set training.batch=5 --set training.evaluate_every=4
  --set training.evaluation_batches=3 --set training.schedule=constant --threads 1)
for ranks in 1 2 4; do
  "$attnlab" "${train[@]}" --steps 12 --ranks $ranks --checkpoint "$scratch/train$ranks" >/dev/null 2>"$scratch/train$ranks.log" \
    || { cat "$scratch/train$ranks.log" >&2; exit 1; }
  cmp "$scratch/train1/model.safetensors" "$scratch/train$ranks/model.safetensors"
done
"$attnlab" "${train[@]}" --steps 6 --ranks 2 --checkpoint "$scratch/moved" >/dev/null 2>&1
run 3 "$attnlab" "${train[@]}" --steps 12 --checkpoint "$scratch/moved" >/dev/null 2>"$scratch/moved.log"
grep -q 'resumed at step 6' "$scratch/moved.log"
cmp "$scratch/train1/model.safetensors" "$scratch/moved/model.safetensors"

# A rank that is killed ends the others within seconds, each of which says so in one line. killed LAUNCHER RANKS WORDS… starts
# attnlab with these words on so many ranks and kills rank 1, a second after the file $ready is there.
now() { date +%s%N; }
killed() {
  local launcher=$1 ranks=$2 victim="" start code=0
  shift 2
  $launcher "$attnlab" "$@" >/dev/null 2>"$scratch/killed.log" &
  local waiting=$!
  for _ in $(seq 300); do
    for process in $(pgrep -f -- "^[^ ]*attnlab $*" || true); do
      if grep -qz '^OMPI_COMM_WORLD_RANK=1$' "/proc/$process/environ" 2>/dev/null; then victim=$process; fi
    done
    [ -z "$victim" ] || [ ! -e "$ready" ] || break
    sleep 0.1
  done
  [ -n "$victim" ] || { echo "mpi: rank 1 of '$*' did not start" >&2; cat "$scratch/killed.log" >&2; exit 1; }
  sleep 1
  start=$(now)
  kill -9 "$victim"
  wait $waiting || code=$?
  local tenths=$((($(now) - start) / 100000000))
  [ $code -ne 0 ] || { echo "mpi: a killed rank of '$1' went unnoticed" >&2; exit 1; }
  for ((rank = 0; rank < ranks; rank++)); do
    [ $rank -ne 1 ] || continue
    [ "$(grep -c "^rank $rank of $ranks: interrupted" "$scratch/killed.log")" -eq 1 ] || {
      # mpirun kills after a second whom it has asked to end: on busy processors a rank may not have written by then.
      if [ "${attempt:=1}" -lt 3 ]; then
        attempt=$((attempt + 1))
        killed "$launcher" "$ranks" "$@"
        return
      fi
      echo "mpi: rank $rank of '$1' did not say in one line that it ends" >&2
      cat "$scratch/killed.log" >&2
      exit 1
    }
  done
  attempt=1
  [ $tenths -le 50 ] || { echo "mpi: the others ended after $tenths tenths of a second" >&2; exit 1; }
  echo "mpi: $1 with a killed rank ended on the other $((ranks - 1)), one line each, after $((tenths / 10)).$((tenths % 10)) s"
}
ready=/dev/null
long=(measure full --n 60000 --causal --ranks 3 --threads 1 --seed $$ --repeats 100)
killed "run 3" 3 "${long[@]}"

# So does a rank of a training, whose checkpoint goes on.
ready=$scratch/killed/checkpoint.safetensors
killed "run 3" 3 "${train[@]}" --steps 1000000 --set training.checkpoint_every=5 --checkpoint "$scratch/killed"
# A warning to mpirun stops all ranks after the same step, saved.
run 3 "$attnlab" "${train[@]}" --steps 1000000 --set training.checkpoint_every=5 --checkpoint "$scratch/killed" >/dev/null 2>"$scratch/warned.log" &
waiting=$!
for _ in $(seq 300); do grep -q 'resumed at step' "$scratch/warned.log" && break; sleep 0.1; done
sleep 1
kill -USR1 "$(pgrep -f -- "^mpirun .*--checkpoint $scratch/killed" | head -1)"
code=0; wait $waiting || code=$?
[ $code -eq 130 ] || { echo "mpi: a warned training ended with $code" >&2; cat "$scratch/warned.log" >&2; exit 1; }
echo "mpi: trainings have the same bits on 1, 2 and 4 ranks, and on 2 and then 3; a killed rank ends the others"

# As on two machines: nothing but TCP between two network namespaces.
bash Tests/RankLab/namespaces.sh "$program" check
bash Tests/RankLab/namespaces.sh "$attnlab" "${window[@]}" >"$scratch/spaces.json"
[ ! -s "$scratch/spaces.json" ] || grep -q 'SKIPPED' "$scratch/spaces.json" || grep -q '"bytes_sent": 6336,' "$scratch/spaces.json"
bash Tests/RankLab/namespaces.sh "$attnlab" "${train[@]}" --steps 12 --checkpoint "$scratch/spaces" >"$scratch/spaces.text" 2>&1
if ! grep -q SKIPPED "$scratch/spaces.text"; then
  # One that is killed in the other namespace ends this one.
  ready=/dev/null
  killed "bash Tests/RankLab/namespaces.sh" 2 measure full --n 60000 --causal --ranks 2 --threads 1 --seed $$ --repeats 101
fi
grep -q SKIPPED "$scratch/spaces.text" || cmp "$scratch/train1/model.safetensors" "$scratch/spaces/model.safetensors"

# Ranks that share sequences end where one process does, up to rounding, and go on from each other's checkpoints.
parts=("${train[@]}" --set training.gradient_sum=parts)
"$attnlab" "${parts[@]}" --steps 8 --checkpoint "$scratch/whole" --json >"$scratch/whole.json" 2>/dev/null
for ranks in 2 3; do
  "$attnlab" "${parts[@]}" --steps 8 --ranks $ranks --checkpoint "$scratch/parts$ranks" --json >"$scratch/parts$ranks.json" 2>"$scratch/parts.log" \
    || { cat "$scratch/parts.log" >&2; exit 1; }
done
"$attnlab" "${parts[@]}" --steps 4 --ranks 2 --checkpoint "$scratch/parts" >/dev/null 2>&1
"$attnlab" "${parts[@]}" --steps 8 --ranks 3 --checkpoint "$scratch/parts" --json >"$scratch/parts.json" 2>/dev/null
# Two groups of two ranks: rows and sequences shared at once.
"$attnlab" "${parts[@]}" --steps 8 --ranks 4 --set training.sequence_ranks=2 --checkpoint "$scratch/groups" --json \
  >"$scratch/groups.json" 2>"$scratch/parts.log" || { cat "$scratch/parts.log" >&2; exit 1; }
for other in parts2 parts3 parts groups; do
  awk -v a="$(grep -o '"validation_loss": *[0-9.e-]*' "$scratch/whole.json" | tail -1 | sed 's/.*: *//')" \
    -v b="$(grep -o '"validation_loss": *[0-9.e-]*' "$scratch/$other.json" | tail -1 | sed 's/.*: *//')" \
    'BEGIN { d = a - b; if (d < 0) d = -d; exit !(a > 0 && d < 1e-4 * a) }' \
    || { echo "mpi: $other differs from one process" >&2; tail -5 "$scratch/whole.json" "$scratch/$other.json" >&2; exit 1; }
done
echo "mpi: ranks that share sequences, and groups of such ranks, train as one process does"
