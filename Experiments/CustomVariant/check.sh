#!/usr/bin/env bash
# Runs every subcommand of the program on key-bias, a variant of one file with a learned vector and an input of its own, and
# says which of them does not do what the README beside this file promises.
#   bash check.sh [PROGRAM]     without a program: builds this package in debug and takes its mylab
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
program=${1:-}
if [ -z "$program" ]; then
  swift build --package-path "$here" --product mylab
  program=$(swift build --package-path "$here" --show-bin-path)/mylab
fi
program=$(cd "$(dirname "$program")" && pwd)/$(basename "$program")
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"

fail() { printf 'check.sh: %s\n' "$*" >&2; exit 1; }
# run TEXT ARGUMENTS…: exit code 0, and TEXT in the output.
run() {
  local text=$1; shift
  "$program" "$@" >out.txt 2>err.txt || fail "$* ended with $?: $(tail -1 err.txt)"
  grep -qF -- "$text" out.txt || fail "$* printed no $text: $(head -5 out.txt)"
  printf 'ok  %s\n' "$*"
}
# refuse TEXT ARGUMENTS…: exit code 2, and one line with TEXT.
refuse() {
  local text=$1 code=0; shift
  "$program" "$@" >out.txt 2>err.txt || code=$?
  [ $code = 2 ] || fail "$* ended with $code; 2 expected"
  [ "$(wc -l <err.txt)" = 1 ] && grep -qF -- "$text" err.txt || fail "$* said: $(cat err.txt)"
  printf 'ok  refused: %s\n' "$*"
}
# same A B WHAT: two files of the same bits.
same() { cmp -s "$1" "$2" || fail "$3"; }

# npy DESCR SHAPE: a header of version 1.0; the data follows.
npy() {
  local header="{'descr': '$1', 'fortran_order': False, 'shape': ($2), }"
  local pad=$(((64 - (11 + ${#header}) % 64) % 64))
  local size=$((${#header} + pad + 1))
  printf '\x93NUMPY\x01\x00'
  printf "\\x$(printf %02x $((size % 256)))\\x$(printf %02x $((size / 256)))"
  printf '%s%*s\n' "$header" "$pad" ''
}
# floats SEED COUNT: numbers of 0.5 to 2 in size and either sign, little-endian.
floats() {
  printf "$(awk -v s="$1" -v n="$2" 'BEGIN { srand(s); for (i = 0; i < n; i++)
    printf "\\x00\\x00\\x%02x\\x%s", int(rand() * 256), rand() < 0.5 ? "3f" : "bf" }')"
}
# tokens SEED COUNT BELOW: int32.
tokens() {
  printf "$(awk -v s="$1" -v n="$2" -v m="$3" 'BEGIN { srand(s); for (i = 0; i < n; i++)
    printf "\\x%02x\\x00\\x00\\x00", int(rand() * m) }')"
}
# array NAME SEED SHAPE COUNT
array() { { npy '<f4' "$3"; floats "$2" "$4"; } >"$1.npy"; }
array q 1 '1, 2, 12, 8' 192
array k 2 '1, 1, 12, 8' 96
array v 3 '1, 1, 12, 8' 96
array do 4 '1, 2, 12, 8' 192
array f 5 '1, 1, 12, 4' 48
array w 6 '2, 4' 8
array wrong 6 '2, 3' 6
{ npy '<i4' '2, 10'; tokens 7 20 16; } >tokens.npy

# What is declared is shown.
run 'key-bias' list
run 'bias_weight' list key-bias
run 'bias_weight' list key-bias --json
run 'attnlab' doctor

# Conformance: definition, difference quotients of every operand, causality, padding, threads.
run 'key-bias' check key-bias --quick
run '"passed"' check key-bias --quick --set width=1 --json

# One cell, then a preset, comparison, figure, report and fit of its rows.
run '"status": "ok"' measure key-bias --n 64 --causal --repeats 3 --peak-gflops 1 --json
run '"status": "ok"' measure key-bias --n 64 --heads 2 --pass backward --repeats 3 --set width=2 --peak-gflops 1 --json
run '"status": "ok"' measure key-bias --n 64 --causal --pass decode --repeats 3 --peak-gflops 1 --json
cat >cells.yaml <<'YAML'
title: Bias by key
n: [16, 24, 32, 48, 64, 96]
variants:
  - full
  - key-bias: {width: 2}
warmup: 1
repeats: 3
budget: 10ms
YAML
run 'key-bias' run cells.yaml --out cells --dry-run
run 'key-bias' run cells.yaml --out cells
run 'key-bias' compare cells
run 'key-bias' compare cells --metric memory --baseline full
[ "$(grep -c 'key-bias.*,ok,' cells/measurements.csv)" = 6 ] || fail "not every cell of key-bias is ok"
run '' fit cells/measurements.csv --x query_length --y seconds_median --by variant --form power
if command -v gnuplot >/dev/null; then
  run '' plot cells/measurements.csv --out cells.svg
  run '' report cells
  grep -q 'key-bias' cells/report.html || fail 'the report does not name key-bias'
fi

# Its pattern, and arrays from outside: every operand comes from a file and its gradient goes to one.
run '' mask key-bias --n 16 --causal
run '' mask key-bias --n 16 --out mask.npy
run '' apply key-bias --q q.npy --k k.npy --v v.npy --in feature=f.npy --in bias_weight=w.npy --out o.npy --lse l.npy \
  --grad-out do.npy --dq dq.npy --dk dk.npy --dv dv.npy --gradient feature=df.npy --gradient bias_weight=dw.npy
[ "$(wc -c <df.npy)" = "$(wc -c <f.npy)" ] && [ "$(wc -c <dw.npy)" = "$(wc -c <w.npy)" ] || fail 'gradients have other shapes'
# The learned vector counts.
{ npy '<f4' '2, 4'; printf '%32s' '' | tr ' ' '\0'; } >zero.npy
run '' apply key-bias --q q.npy --k k.npy --v v.npy --in feature=f.npy --in bias_weight=zero.npy --out zero-o.npy
! cmp -s o.npy zero-o.npy || fail 'the learned vector changes nothing'
refuse 'feature' apply key-bias --q q.npy --k k.npy --v v.npy --in bias_weight=w.npy --out o.npy
refuse 'bias_weight' apply key-bias --q q.npy --k k.npy --v v.npy --in feature=f.npy --in bias_weight=wrong.npy --out o.npy
refuse 'features' apply key-bias --q q.npy --k k.npy --v v.npy --in features=f.npy --in bias_weight=w.npy --out o.npy

# Training, and going on with it: four steps and four more have the bits of eight.
small=(--set model.width=16 --set model.layers=2 --set model.heads=2 --set model.hidden=16 --set training.batch=4
  --set training.schedule=constant --set training.warmup=1 --set training.evaluate_every=4 --set training.evaluation_batches=1
  --set task.length=16 --set task.vocabulary=16)
variant='key-bias(width=2), full'
run '' train induction --variant "$variant" --steps 4 --checkpoint parts "${small[@]}"
run '' train induction --variant "$variant" --steps 8 --checkpoint parts "${small[@]}"
run '' train induction --variant "$variant" --steps 8 --checkpoint whole "${small[@]}"
same parts/model.safetensors whole/model.safetensors 'a resumed training has other bits'
for name in feature.weight bias_weight; do
  grep -qaF "decoder.layers.0.attention.$name" whole/model.safetensors || fail "the checkpoint has no $name"
done
run 'key-bias' compare whole/runs.csv
cat >trainings.yaml <<'YAML'
title: Training with a bias by key
experiment: training
task: {id: induction, length: 16, vocabulary: 16}
model: {width: 16, layers: 1, heads: 2, hidden: 16}
training: {steps: 2, batch: 4, evaluate_every: 1, evaluation_batches: 1}
points:
  - model.attention: [full, key-bias(width=2)]
YAML
run '' run trainings.yaml --out trainings
run 'key-bias' compare trainings

# The trained model: logits, gradients, generation with and without a cache, other attention in its place.
model=whole/model.safetensors
run 'loss' forward --checkpoint $model --tokens tokens.npy --targets tokens.npy --loss --logits logits.npy --grads grads.safetensors
grep -qaF 'decoder.layers.0.attention.bias_weight' grads.safetensors || fail 'no gradient of the learned vector'
run '' generate --checkpoint $model --tokens tokens.npy --count 12 --out cached.npy
run '' generate --checkpoint $model --tokens tokens.npy --count 12 --out fresh.npy --no-cache
same cached.npy fresh.npy 'generation with a cache chooses other tokens'
run 'full' swap --checkpoint $model --variant full --tokens tokens.npy
run 'key-bias' swap --checkpoint $model --attention 'key-bias(width=2)' --tokens tokens.npy
printf 'every subcommand does\n'
