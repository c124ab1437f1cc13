#!/usr/bin/env bash
# compress_mpi.sh MPIEXEC PARE_COMPRESS_MPI PARE_COMPRESS MODEL RECIPES...
# Any number of ranks writes the file that the program without MPI writes; a rank that fails is heard.
set -euo pipefail
mpiexec=$1 program=$2 alone=$3 model=$4
export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1
export OMPI_MCA_rmaps_base_oversubscribe=1 OMPI_MCA_btl_vader_single_copy_mechanism=none
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
fail() {
    echo "$*" >&2
    exit 1
}

for recipes in "${@:5}"; do
    options=(--recipe-file "$recipes" --threads 1)
    "$alone" "$model" alone "${options[@]}" --force >table
    for n in 1 2 3; do
        "$mpiexec" -n $n "$program" "$model" "with_$n" "${options[@]}" --force >"table_$n"
        cmp "with_$n" alone || fail "another file by $n ranks"
        [[ ! -e with_$n.parts ]] || fail "parts are left by $n ranks"
        diff <(grep -v ': .* bytes, of' table) <(grep -v ': .* bytes, of' "table_$n")
    done
done

# Of the layers dealt, the second goes to rank 1; there it finds no room for what it finished.
mkdir out.parts
said=$("$mpiexec" -n 2 bash -c '[[ ${OMPI_COMM_WORLD_RANK:-${PMI_RANK:-}} == 0 ]] || ulimit -f 1
    trap "" XFSZ; exec "$@"' _ "$program" "$model" out "${options[@]}" 2>&1 >/dev/null) && fail "it did not fail"
[[ $(grep -c 'pare_compress_mpi: rank 1: .*the file cannot be' <<<"$said") == 1 ]] || fail "it said: $said"
[[ ! -e out ]] || fail "it wrote a file"
"$mpiexec" -n 2 "$program" "$model" out "${options[@]}" >/dev/null
cmp out alone || fail "another file by ranks that go on"
