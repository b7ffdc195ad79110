#!/usr/bin/env bash
# Attention over ranks that are processes, by Open MPI: bash Tests/RankLab/mpi.sh
# Builds the package with its trait MPI in a folder of its own, so that the build without MPI stays as it is.
set -euo pipefail
cd "$(dirname "$0")/../.."
command -v mpirun >/dev/null || { echo "mpi: no mpirun; apt-get install libopenmpi-dev openmpi-bin" >&2; exit 2; }
configuration=${1:-debug}
build=(swift build --traits MPI --scratch-path .build/mpi -c "$configuration")
"${build[@]}" --product attnlab-ranks
program=$("${build[@]}" --show-bin-path)/attnlab-ranks
run() { timeout 300 mpirun --allow-run-as-root --oversubscribe --bind-to none -n "$@"; }

for ranks in 1 2 3 4; do run $ranks "$program" check; done

# A rank that fails, or is killed, ends all others within seconds, and nobody reports success.
for how in fail vanish; do
  start=$SECONDS
  if run 3 "$program" $how 1 >/dev/null 2>&1; then echo "mpi: $how went unnoticed" >&2; exit 1; fi
  [ $((SECONDS - start)) -le 20 ] || { echo "mpi: $how took $((SECONDS - start)) s to end" >&2; exit 1; }
done
echo "mpi: ranks that fail or vanish end the others"
