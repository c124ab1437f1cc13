// SPDX-FileCopyrightText: the pare authors
// SPDX-License-Identifier: Apache-2.0
// expect: token_scorer
#include <pare/kv/policy.hpp>
#include <pare/kv/window.hpp>

namespace kv = pare::kv;
#ifdef CORRECTED
const kv::policy<kv::window, kv::uniform> policy;
#else
const kv::policy<kv::uniform, kv::window> policy;
#endif
