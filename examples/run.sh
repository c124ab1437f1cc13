#!/usr/bin/env bash
# Installs what is missing, builds pare_llm (Release) and runs it: without arguments on the model
# shipped with the project, else with the arguments given (--help lists them).
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/../cmake/bootstrap.sh"

bootstrap "${pare_build_packages[@]}" "${pare_example_packages[@]}"
[[ -f $build_dir/build.ninja ]] ||
    configure "$build_dir" -DPARE_BUILD_TESTS=OFF -DPARE_BUILD_BENCHMARKS=OFF
build "$build_dir" pare_llm
exec "$build_dir/examples/llm/pare_llm" "$@"
