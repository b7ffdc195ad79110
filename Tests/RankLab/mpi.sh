#!/usr/bin/env bash
# Attention over ranks that are processes, by Open MPI: bash Tests/RankLab/mpi.sh
# Builds the package with its trait MPI in a folder of its own, so that the build without MPI stays as it is.
set -euo pipefail
cd "$(dirname "$0")/../.."
command -v mpirun >/dev/null || { echo "mpi: no mpirun; apt-get install libopenmpi-dev openmpi-bin" >&2; exit 2; }
configuration=${1:-debug}
build=(swift build --traits MPI --scratch-path .build/mpi -c "$configuration")
"${build[@]}" --product attnlab-ranks
"${build[@]}" --product attnlab
program=$("${build[@]}" --show-bin-path)/attnlab-ranks
attnlab=$("${build[@]}" --show-bin-path)/attnlab
run() { timeout 300 mpirun --allow-run-as-root --oversubscribe --bind-to none -n "$@"; }

for ranks in 1 2 3 4; do run $ranks "$program" check; done

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
