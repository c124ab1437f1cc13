// SPDX-FileCopyrightText: the pare authors
// SPDX-License-Identifier: Apache-2.0
#ifndef PARE_PARE_HPP
#define PARE_PARE_HPP

// The front door: the whole library except eigen/ and io/, which are doors of their own. Nothing
// inside the library includes this file.

#include "cache.hpp"
#include "compress.hpp"
#include "core/random.hpp"
#include "core/thread_pool.hpp"
#include "kernel/attention_error.hpp"
#include "kernel/convert.hpp"
#include "kernel/convolution.hpp"
#include "kernel/depthwise.hpp"
#include "kernel/gemm.hpp"
#include "kernel/integer_products.hpp"
#include "kernel/lserve.hpp"
#include "kernel/token_select.hpp"
#include "kernel/transpose.hpp"
#include "kv/a2sf.hpp"
#include "kv/ada.hpp"
#include "kv/cache_bytes.hpp"
#include "kv/cam.hpp"
#include "kv/gather.hpp"
#include "kv/h2o.hpp"
#include "kv/key_norm.hpp"
#include "kv/pyramid.hpp"
#include "kv/random_tokens.hpp"
#include "kv/snapkv.hpp"
#include "kv/tova.hpp"
#include "kv/tracker.hpp"
#include "kv/window.hpp"
#include "kv/zipvl.hpp"
#include "prune/block.hpp"
#include "prune/churn.hpp"
#include "prune/column_order.hpp"
#include "prune/flex_hinm.hpp"
#include "prune/greedy.hpp"
#include "prune/gyro.hpp"
#include "prune/lpvit.hpp"
#include "prune/observer.hpp"
#include "prune/optimal_brain.hpp"
#include "prune/optimum.hpp"
#include "prune/permutation_plan.hpp"
#include "prune/sparsity_ramp.hpp"
#include "prune/unaligned_block.hpp"
#include "prune/v_n_m.hpp"
#include "prune/wanda.hpp"
#include "version.hpp"

#endif  // PARE_PARE_HPP
