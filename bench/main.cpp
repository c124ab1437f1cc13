// SPDX-FileCopyrightText: the pare authors
// SPDX-License-Identifier: Apache-2.0
#include "harness.hpp"

#ifdef __linux__
#include <unistd.h>
#endif

int main(int argc, char** argv) {
#ifdef __linux__
    // A peer that the environment holds back is no peer. OpenBLAS reads these while it is loaded,
    // so start again without them.
    if (std::getenv("OPENBLAS_CORETYPE") != nullptr || std::getenv("OPENBLAS_L2_SIZE") != nullptr) {
        unsetenv("OPENBLAS_CORETYPE");
        unsetenv("OPENBLAS_L2_SIZE");
        execv("/proc/self/exe", argv);
        std::cerr << "pare_bench: could not restart without OPENBLAS_CORETYPE\n";
        return 1;
    }
#endif
    benchmark::Initialize(&argc, argv);
    if (benchmark::ReportUnrecognizedArguments(argc, argv)) return 1;
    bench::register_ceilings();
    bench::register_conversions();
    bench::register_products();
    bench::register_attention();
    bench::register_backbones();
    bench::register_permutations();
    bench::register_selections();
#ifdef PARE_BENCH_CUDA
    bench::register_cuda();
#endif
    benchmark::RunSpecifiedBenchmarks();
    benchmark::Shutdown();
}
