#!/usr/bin/env bash
# tune.sh PARE_TUNE PARE_COMPRESS MODEL
# What pare_tune prints and writes about the smallest layers of a model, and what it refuses. How fast
# a recipe is depends on the machine: that its choice keeps to what was asked for does not.
set -euo pipefail
tune=$1 compress=$2 model=$3
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"

fail() {
    echo "$*" >&2
    cat out >&2
    exit 1
}
# expect CODE TEXT OPTION...: how a run of pare_tune ends, and what it says
expect() {
    local ended=0
    "$tune" "${@:3}" >out 2>&1 || ended=$?
    ((ended == $1)) || fail "exit code $ended of: ${*:3}"
    grep -qF -- "$2" out || fail "not said: $2"
}
small=("$model" --layer '*.0.self_attn.k_proj' '*.0.self_attn.v_proj' --rounds 5)

# 1:4 loses a third of what the outputs are and more, i8 next to nothing.
expect 0 'nm:1:4' "${small[@]}" --tokens 1,8 --threads 1,2 --recipe nm:1:4 i8 --max-error 0.1 --memory 0 \
    --plan plan.json --json measured.json --html report.html
(($(grep -c '^why: dense is bound by' out) == 4)) || fail "not one table for each setting"
(($(grep -c '^nm:1:4 .*loses too much$' out) == 4)) || fail "1:4 is taken for good"
grep -qF '64x192 BF16, 2 layers, 8 tokens, 2 threads' out || fail "no such setting"
(($(grep -c '"seconds":' measured.json) == 12)) || fail "not 3 candidates in 4 settings"
(($(grep -c '<svg ' report.html) == 4)) || fail "not one chart for each setting"
grep -qF '<h2>64x192 BF16, 2 layers, 8 tokens, 2 threads</h2>' report.html || fail "no heading of a setting"
! grep -q 'http\|src=\|<script' report.html || fail "a report that reaches out"
[[ ! -e plan.json ]] || grep -qF '"recipe": "dense"' plan.json || fail "other layers do not stay dense"

# Within a time that both recipes keep, the one that loses less is taken.
cat >fast.json <<'END'
{"recipe": "dense", "layers": [{"names": "*.0.self_attn.k_proj", "recipe": ["nm:1:4", "i8"]},
                               {"names": "*.0.self_attn.v_proj", "recipe": ["nm:1:4", "i8"]}],
 "budget": {"speed": 0.001, "times": "measured.json", "tokens": 8, "threads": 2}}
END
"$compress" "$model" --dry-run --recipe-file fast.json >out || fail "times are not taken"
(($(grep -c '^model.*64x192  *i8 ' out) == 2)) || fail "not the recipe that loses less"
grep -q 'x as fast as dense, by measured.json$' out || fail "no speed of the choice"

# Whole numbers where there is a kernel for them, said in the table and in the file.
expect 0 'i8, i8 inputs' "${small[@]}" --tokens 8 --recipe i8 nm:4:8+i8 --activations i8 --json integers.json
grep -q '^nm:4:8+i8  ' out || fail "4:8 has no integer kernel"
(($(grep -c '"activations": "i8"' integers.json) == 1)) || fail "not one candidate of whole numbers"

# Only dense loses nothing, however fast 1:4 is.
rm -f plan.json
echo '{"recipe": "nm:1:4"}' >plan.json  # of another day
expect 0 'nothing pays: the plan leaves all layers dense' "${small[@]}" --tokens 64 --recipe nm:1:4 --max-error 0 --plan plan.json
expect 0 'dense for 2 layers' "${small[@]}" --tokens 64 --recipe nm:1:4 --max-error 1 --retain 0.9
! grep -q nm:1:4 plan.json || fail "a plan that is not the choice stays"

# Everything is good enough: what is much faster is chosen, and timed again.
expect 0 'the plan, timed once more' "${small[@]}" --tokens 64 --recipe nm:1:4 --max-error 1 --margin 0.2 \
    --plan plan.json --check
planned=$(grep -sc '"recipe": "nm:1:4"' plan.json || true)
if grep -q 'nm:1:4 for 2 layers' out; then
    ((planned == 2)) || fail "a plan of $planned layers"
    "$compress" "$model" --dry-run --recipe-file plan.json >out
    grep -q '^all 2 ' out || fail "pare_compress does not follow the plan"
else
    ((planned == 0)) || fail "a plan that is not the choice"
fi

expect 2 'MODEL is missing'
expect 2 "recipe 'nm:2:4+wanda' needs --calibration" "$model" --recipe nm:2:4+wanda
expect 2 'this program is compiled for' "$model" --recipe nm:3:7
expect 2 '--plan: there is no folder' "$model" --plan no/plan.json
mkfifo pipe
expect 2 '--json: pipe exists and is no regular file' "$model" --json pipe
[[ -p pipe ]] || fail "a pipe is replaced"
expect 2 '--tokens' "$model" --tokens 0
expect 2 '--threads' "$model" --threads 1025
for option in --retain --max-error --margin; do expect 2 "$option: 'nan' is not a number" "$model" $option nan; done
expect 1 'it has no such layer' "$model" --layer nothing
expect 1 'none.safetensors' none.safetensors
