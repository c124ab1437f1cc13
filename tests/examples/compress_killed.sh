#!/usr/bin/env bash
# compress_killed.sh PARE_COMPRESS MODEL
# Kills pare_compress 100 times at random moments and runs the same command again: what lies under the
# final name is never anything but the file of a run left alone, and that is what it comes to.
set -euo pipefail
program=$1 model=$2
[[ -w /dev/shm ]] && export TMPDIR=/dev/shm  # where flushing to the disk takes no time
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
RANDOM=7
n_killed=0 n_finished=0 n_resumed=0

fail() {
    echo "after $n_killed kills: $*" >&2
    exit 1
}

# killed_until N OPTION...
killed_until() {
    local run=("$program" "$model" out "${@:2}") begin=${EPOCHREALTIME/./} duration ended
    "${run[@]}" >/dev/null
    duration=$((${EPOCHREALTIME/./} - begin)) # in microseconds
    mv out whole
    while ((n_killed < $1)); do
        if compgen -G "out.parts/*.json" >/dev/null; then n_resumed=$((n_resumed + 1)); fi
        "${run[@]}" >/dev/null &
        sleep "$(printf '0.%06d' $(((RANDOM << 15 | RANDOM) % duration % 1000000)))"
        if kill -KILL $! 2>/dev/null; then n_killed=$((n_killed + 1)); fi
        ended=0
        wait $! 2>/dev/null || ended=$?
        if [[ -e out ]]; then cmp out whole || fail "a broken file"; fi
        if ((ended == 0)) && [[ ! -e out ]]; then fail "a run that ends well has written nothing"; fi
        if ((ended != 0 && ended != 137)); then fail "exit code $ended"; fi
        if [[ -e out && ! -e out.parts ]]; then
            n_finished=$((n_finished + 1))
            rm out
        fi
    done
    "${run[@]}" >/dev/null
    cmp out whole || fail "another file in the end"
    rm out whole
    [[ -z $(ls) ]] || fail "what is left: $(ls)"
}

cat >.channels.json <<'END'
{"recipe": "nm:2:4", "channels": [{"writers": ["*.gate_proj", "*.up_proj"], "readers": ["*.down_proj"],
                                   "recipe": "channel:l2:0.25:m16"}]}
END
killed_until 35 --threads 2 --recipe-file .channels.json
killed_until 60 --threads 2 --recipe nm:2:4 --layer '*.0.*=hinm:2:4:v32:0.5+gyro+f16'
killed_until 100 --threads 1 --recipe dense --layer '*.k_proj=nm:2:4'  # most of it writes OUT
((n_resumed > 10)) || fail "only $n_resumed runs had anything to resume"
echo "$n_killed kills, $n_resumed runs resumed, $n_finished finished"
