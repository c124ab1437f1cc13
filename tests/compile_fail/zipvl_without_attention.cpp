// SPDX-FileCopyrightText: the pare authors
// SPDX-License-Identifier: Apache-2.0
// expect: this budget or merging needs a scorer of attention
#include <pare/kv/h2o.hpp>
#include <pare/kv/key_norm.hpp>
#include <pare/kv/policy.hpp>
#include <pare/kv/zipvl.hpp>

namespace kv = pare::kv;
#ifdef CORRECTED
const kv::policy<kv::h2o, kv::zipvl> policy;
#else
const kv::policy<kv::key_norm, kv::zipvl> policy;
#endif
