// SPDX-FileCopyrightText: the pare authors
// SPDX-License-Identifier: Apache-2.0
// expect: a tracker has no keys and values to show this scorer: use kv::cache
#include <pare/kv/key_norm.hpp>
#include <pare/kv/tova.hpp>
#include <pare/kv/tracker.hpp>

namespace kv = pare::kv;
#ifdef CORRECTED
using scorer = kv::tova;
#else
using scorer = kv::key_norm;
#endif

bool plans(kv::tracker<kv::policy<scorer>>& tracker) { return tracker.plan(0).has_value(); }
