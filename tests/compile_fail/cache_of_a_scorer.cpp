// SPDX-FileCopyrightText: the pare authors
// SPDX-License-Identifier: Apache-2.0
// expect: a cache is made with a kv::policy
#include <pare/cache.hpp>
#include <pare/kv/a2sf.hpp>

namespace kv = pare::kv;
#ifdef CORRECTED
using keeps = kv::policy<kv::a2sf>;
#else
using keeps = kv::a2sf;
#endif

std::size_t bytes(const kv::cache<keeps>& cache) { return cache.bytes_in_use(); }
