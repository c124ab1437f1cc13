// SPDX-FileCopyrightText: the pare authors
// SPDX-License-Identifier: Apache-2.0
// Runs each copy that this processor can: all give the same sum, and the baseline one never meets
// an instruction of the others.
#include <cstdio>

float baseline();
float avx2();
float avx512();

int main() {
    const float expected = baseline();
    const bool has_avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") &&
                          __builtin_cpu_supports("bmi2");
    const bool has_avx512 = has_avx2 && __builtin_cpu_supports("avx512bw") &&
                            __builtin_cpu_supports("avx512dq") &&
                            __builtin_cpu_supports("avx512vl");
    if (!(expected > 0.0f)) return 1;
    if (has_avx2 && avx2() != expected) return 2;
    if (has_avx512 && avx512() != expected) return 3;
    std::printf("every copy gives %g\n", static_cast<double>(expected));
}
