// SPDX-FileCopyrightText: the pare authors
// SPDX-License-Identifier: Apache-2.0
// expect: heads share budgets that are known beforehand
#include <pare/kv/ada.hpp>
#include <pare/kv/pyramid.hpp>
#include <pare/kv/zipvl.hpp>

namespace kv = pare::kv;
#ifdef CORRECTED
const kv::ada<kv::pyramid> budget;
#else
const kv::ada<kv::zipvl> budget;
#endif
