#!/usr/bin/env bash
# Run stages of the experiments in the background, for days if need be.
#
#   tools/night.sh start COMMIT STAGE...   go on with these stages, one after the other
#   tools/night.sh stop                    stop at once; a run goes on at its last checkpoint
#   tools/night.sh status                  what is running, and how many runs are done
#   tools/night.sh collect                 copy results into book/results, weights that others
#                                          start from into book/results/pretrained
#
# The code is a clone of one commit, since the work tree changes meanwhile; it uses the Python of
# the work tree's .venv. Real stages need NODULE_REAL_DATA (studies/real_patches.py). All files
# lie in the folder NIGHT (default: the user's cache). WORKERS: processes of one thread (default 2);
# stage 3 is one run: WORKERS=1 THREADS=2.
# NICE: how far they step back for others, from 19 (the default) to 0.
set -euo pipefail
cd "$(dirname "$0")/.."
here=$PWD
night=${NIGHT:-${XDG_CACHE_HOME:-$HOME/.cache}/nodule_lesson/night}
python=$here/.venv/bin/python

running() { [ -f "$night/pid" ] && kill -0 -- "-$(cat "$night/pid")" 2>/dev/null; }

case "${1:-}" in
start)
  commit=$(git rev-parse --verify "$2^{commit}")
  stages=("${@:3}")
  running && { echo "already running: tools/night.sh stop" >&2; exit 1; }
  mkdir -p "$night/work" "$night/out"
  code=$night/code-${commit:0:12}
  [ -d "$code" ] || git clone --quiet --no-checkout "$here" "$code"
  git -C "$code" checkout --quiet "$commit"
  # Weights that were committed, where the cache has been lost.
  for weights in book/results/pretrained/*.safetensors; do
    [ -f "$weights" ] && cp --no-clobber "$weights" "$night/work/"
  done
  for results in book/results/experiments/*-{night,choice,full}; do
    [ -d "$results" ] && cp --no-clobber --recursive "$results" "$night/out/"
  done
  cd "$code"
  if [ ! -d "$night/real" ] && [ -n "${NODULE_REAL_DATA:-}" ]; then
    PYTHONPATH=$code $python studies/real_patches.py "$night/real.part"
    mv "$night/real.part" "$night/real"
  fi
  # Linux may weigh whole sessions (autogroup): nice alone would then change nothing.
  OMP_NUM_THREADS=${THREADS:-1} PYTHONPATH=$code NICE=${NICE:-19} setsid nice -n "${NICE:-19}" bash -c '
    echo "$NICE" 2>/dev/null >/proc/self/autogroup || true
    python=$1 night=$2 workers=$3; shift 3
    for stage in "$@"; do
      data=simulated; case "$stage" in 1|2|3|4) data=$night/real;; esac
      "$python" -m nodule_lesson.experiments --stage "$stage" --data "$data" \
        --out "$night/out" --work "$night/work" --workers "$workers" || exit 1
    done' night "$python" "$night" "${WORKERS:-2}" "${stages[@]}" \
    >>"$night/log" 2>&1 </dev/null &
  echo $! >"$night/pid"
  ;;
stop)
  if running; then
    kill -TERM -- "-$(cat "$night/pid")"
    # Processes that were paused take the signal only when they go on; others have ended by now.
    kill -CONT -- "-$(cat "$night/pid")" 2>/dev/null || true
  fi
  rm -f "$night/pid"
  ;;
status)
  running && echo "running" || echo "stopped"
  for folder in "$night"/out/*/; do
    echo "$(basename "$folder"): $(find "$folder" -name '*-seed*.json' | wc -l) runs"
  done
  tail -c 300 "$night/log" | tr '\r' '\n' | tail -n 2
  ;;
collect)
  mkdir -p book/results/pretrained
  cp --update --recursive "$night"/out/* book/results/experiments/
  # Those of the slim networks: a repository is no place for the others.
  find "$night/work" -maxdepth 1 -name "pretrained-*.safetensors" -size -3M \
    -exec cp --update {} book/results/pretrained/ \;
  ;;
*)
  sed -n '2,16p' "$0"
  exit 2
  ;;
esac
