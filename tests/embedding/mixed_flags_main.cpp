// SPDX-FileCopyrightText: the pare authors
// SPDX-License-Identifier: Apache-2.0
// mixed_flags_main FILE: runs each copy that this processor can, with FILE to write and read: all
// give the same sum, and the baseline one never meets an instruction of the others.
#include <cstdio>

float baseline(const char* path);
float avx2(const char* path);
float avx512(const char* path);

int main(int argc, char** argv) {
    if (argc != 2) return 4;
    const char* const path = argv[1];
    const float expected = baseline(path);
    const bool has_avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") &&
                          __builtin_cpu_supports("bmi2");
    const bool has_avx512 = has_avx2 && __builtin_cpu_supports("avx512bw") &&
                            __builtin_cpu_supports("avx512dq") &&
                            __builtin_cpu_supports("avx512vl");
    if (!(expected > 0.0f)) return 1;
    if (has_avx2 && avx2(path) != expected) return 2;
    if (has_avx512 && avx512(path) != expected) return 3;
    std::printf("every copy gives %g\n", static_cast<double>(expected));
}
