#!/usr/bin/env bash
# Plants each bug of tests/mutants/AREA-*.patch in a copy of the headers and expects the tests of
# that area to fail; before that, expects them to pass without it. Names of patches may be given.
# Compiles with $CXX, without optimisation; minutes on one core.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
copy=$(mktemp -d)
trap 'rm -rf "$copy"' EXIT
cxx=(${CXX:-g++} -std=c++20 -O0 -pthread -I"$copy/include" -Itests -DPARE_SOURCE_DIR="\"$copy\"")

# The files of an area whose tests cover its patches.
sources() {
    case $1 in
    core) echo tests/core/{dtype,weight_code}.cpp ;;
    kernel) echo tests/kernel/gemm.cpp tests/kernel/reference.cpp ;;
    convolution) echo tests/kernel/{window,patches,convolution,depthwise}.cpp ;;
    simd) echo tests/kernel/simd/*.cpp ;;
    coded) echo tests/kernel/{coded,simd/decode}.cpp ;;
    hinm | block) echo "tests/kernel/gemm_$1.cpp" ;;
    *) echo tests/"$1"/*.cpp ;;
    esac
}
# Without xsimd a kernel is its scalar twin.
flags() { [[ $1 =~ ^(simd|coded|hinm|block|convolution)$ ]] && echo -march=native || echo -DPARE_NO_XSIMD; }
# 0: the tests of an area pass, 1: one of them fails, 2: they do not compile.
passes() {
    # shellcheck disable=SC2046
    "${cxx[@]}" $(flags "$1") $(sources "$1") "$copy/main.o" -o "$copy/tests" 2>"$copy/log" || return 2
    "$copy/tests" >"$copy/log" 2>&1 || return 1
}

"${cxx[@]}" -c tests/support/main.cpp -o "$copy/main.o"
if (($# == 0)); then set -- tests/mutants/*.patch; fi
checked=" "
survivors=0
for mutant; do
    area=$(basename "$mutant")
    area=${area%%-*}
    rm -rf "$copy/include" && cp -r include "$copy/include"
    if [[ $checked != *" $area "* ]]; then
        passes "$area" || { cat "$copy/log"; echo "the $area tests fail without any mutant"; exit 1; }
        checked+="$area "
    fi
    patch --quiet --no-backup-if-mismatch -d "$copy" -p1 <"$mutant" ||
        { echo "$mutant no longer applies: write it anew"; exit 1; }
    outcome=0
    passes "$area" || outcome=$?
    case $outcome in
    0) echo "survived: $mutant"; survivors=$((survivors + 1)) ;;
    1) echo "caught:   $mutant" ;;
    *) cat "$copy/log"; echo "$mutant does not compile"; exit 1 ;;
    esac
done
((survivors == 0)) || { echo "$survivors mutants survived: the tests do not bite"; exit 1; }
