#!/usr/bin/env bash
# What only a GPU can show, in one command: tests, parity, throughput, and a run from files to files.
#
#   benchmarks/gpu.sh [OUTPUT]      (from the project's root; default: benchmarks/results/gpu)
#
# Each part has a folder or a log of its own there, and one that fails does not stop the next; the
# exit code is how many failed. On a CPU, to try the script:
#
#   DEVICE=cpu CONFIG=mini DTYPE=fp32 FRAMES=64 STEPS=2 REPEATS=1 CLIPS=2 benchmarks/gpu.sh build/gpu
set -uo pipefail
cd "$(dirname "$0")/.."

DEVICE=${DEVICE:-cuda} CONFIG=${CONFIG:-base} DTYPE=${DTYPE:-bf16}
FRAMES=${FRAMES:-750} SAMPLES=${SAMPLES:-10} STEPS=${STEPS:-50} REPEATS=${REPEATS:-20}
CLIPS=${CLIPS:-200}
IS_INSTALLED='import sys; from mreactor_runtime.engines.tensorrt.package import is_installed
sys.exit(not is_installed(sys.argv[1]))'
output=${1:-benchmarks/results/gpu}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir -p "$output"
failed=0

part() { # NAME COMMAND...
  local name=$1 code=0 started=$SECONDS
  shift
  echo "== $name: $*"
  { echo "$*"; "$@"; } >"$output/$name.log" 2>&1 || code=$?
  tail -n 25 "$output/$name.log"
  echo "== $name: exit $code after $((SECONDS - started)) s"
  [ "$code" -eq 0 ] || failed=$((failed + 1))
}

throughput() { # NAME OPTION...
  local name=$1
  shift
  part "$name" mreactor-bench throughput --random-weights "$CONFIG" --device "$DEVICE" \
    --frames "$FRAMES" --samples "$SAMPLES" --repeats "$REPEATS" --output "$output/$name" "$@"
}

if [ "$DEVICE" = cuda ]; then
  nvidia-smi --query-gpu=name,driver_version,power.limit --format=csv >"$output/gpu.csv"
  part tests pytest -m gpu -rs -s
fi

# The loop of published samplers, eager PyTorch, and ours, at the published number of steps.
published=(--steps "$STEPS" --guidance-scale 2)
throughput published "${published[@]}" --compare peer=published engine=torch,dtype="$DTYPE"
throughput eager "${published[@]}" --compare peer=eager engine=torch,dtype="$DTYPE"
throughput steps "${published[@]}" --dtype "$DTYPE" --engine torch
throughput default --dtype "$DTYPE" --engine torch
throughput engines --dtype fp32 --engine torch --engine onnx --peer eager --peer compile

part export mreactor-export --model mini --output "$work/bundle"
for package in tensorrt tensorrt-rtx; do
  if [ "$DEVICE" = cuda ] && python -c "$IS_INSTALLED" "$package"; then
    throughput "$package" --dtype fp32 --dtype "$DTYPE" --engine "$package"
  fi
done

# From files to files: run.json says what share of the time the sampler was busy.
part clips mreactor-data simulate --output "$work/data" --train 0 --val 0 --test "$CLIPS" --seed 0
part run mreactor-infer --input "$work/data/test" --output "$work/out" --samples "$SAMPLES" \
  --device "$DEVICE"
cp "$work/out/run.json" "$output/run.json"
part busy python -c "import json, sys; run = json.load(open(sys.argv[1])); \
print({key: run[key] for key in ('done', 'failed', 'seconds', 'stages', 'sampler_busy')})" \
  "$output/run.json"

exit "$failed"
