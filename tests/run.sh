#!/usr/bin/env bash
# Installs what is missing, builds the library's tests and examples (Release) and runs the tests.
# Arguments go to ctest: tests/run.sh -L kernel
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/../cmake/bootstrap.sh"

bootstrap "${pare_build_packages[@]}" "${pare_example_packages[@]}" "${pare_test_packages[@]}"
configure "$build_dir" -DPARE_BUILD_TESTS=ON -DPARE_BUILD_EXAMPLES=ON -DPARE_BUILD_BENCHMARKS=OFF \
    -DPARE_MPI="$(command -v mpicxx >/dev/null && echo ON || echo OFF)" \
    ${CI:+-DCMAKE_COMPILE_WARNING_AS_ERROR=ON}
build "$build_dir"
ctest --test-dir "$build_dir" -j "$(nproc)" --output-on-failure "$@" ||
    die "a test failed, see above; ctest --test-dir $build_dir --rerun-failed -V shows more."
