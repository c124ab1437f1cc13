// SPDX-FileCopyrightText: the pare authors
// SPDX-License-Identifier: Apache-2.0
#ifndef PARE_TESTS_CONTRACT_POLICIES_HPP
#define PARE_TESTS_CONTRACT_POLICIES_HPP

#include <pare/kv/a2sf.hpp>
#include <pare/kv/ada.hpp>
#include <pare/kv/by_value.hpp>
#include <pare/kv/cam.hpp>
#include <pare/kv/h2o.hpp>
#include <pare/kv/key_norm.hpp>
#include <pare/kv/policy.hpp>
#include <pare/kv/pyramid.hpp>
#include <pare/kv/random_tokens.hpp>
#include <pare/kv/snapkv.hpp>
#include <pare/kv/tova.hpp>
#include <pare/kv/window.hpp>
#include <pare/kv/zipvl.hpp>
#include <pare/prune/block.hpp>
#include <pare/prune/bn_gamma.hpp>
#include <pare/prune/dense.hpp>
#include <pare/prune/filter_norm.hpp>
#include <pare/prune/flex_hinm.hpp>
#include <pare/prune/geometric_median.hpp>
#include <pare/prune/greedy.hpp>
#include <pare/prune/hinm.hpp>
#include <pare/prune/lpvit.hpp>
#include <pare/prune/magnitude.hpp>
#include <pare/prune/mean_activation.hpp>
#include <pare/prune/n_m.hpp>
#include <pare/prune/optimal_brain.hpp>
#include <pare/prune/optimum.hpp>
#include <pare/prune/taylor.hpp>
#include <pare/prune/unaligned_block.hpp>
#include <pare/prune/unstructured.hpp>
#include <pare/prune/v_n_m.hpp>
#include <pare/prune/wanda.hpp>

#include <tuple>

namespace pare::testing {

// A new policy is added to its list, and every law of its family then holds for it.

using saliencies = std::tuple<prune::magnitude, prune::wanda, prune::optimal_brain, prune::lpvit>;

using channel_criteria = std::tuple<prune::l1_norm, prune::l2_norm, prune::bn_gamma, prune::taylor,
                                    prune::geometric_median, prune::mean_activation>;

using n_m_patterns =
    std::tuple<prune::n_m<1, 1>, prune::n_m<1, 2>, prune::n_m<2, 4>, prune::n_m<3, 4>,
               prune::n_m<1, 8>, prune::n_m<3, 7>, prune::n_m<8, 16>, prune::n_m<5, 32>>;

using patterns =
    std::tuple<prune::dense, prune::n_m<1, 1>, prune::n_m<1, 2>, prune::n_m<2, 4>, prune::n_m<3, 4>,
               prune::n_m<1, 8>, prune::n_m<3, 7>, prune::n_m<8, 16>, prune::n_m<5, 32>,
               prune::hinm<2, 4, 4>, prune::hinm<1, 4, 32>, prune::hinm<3, 7, 1>,
               prune::v_n_m<4, 2, 8>, prune::v_n_m<32, 1, 16>, prune::v_n_m<1, 3, 5>,
               prune::flex_hinm<2, 4, 4>, prune::flex_hinm<1, 4, 32>, prune::flex_hinm<3, 7, 1>,
               prune::block<4>, prune::block<8, 2>, prune::block<1, 4>, prune::unstructured>;

// Those that may begin blocks anywhere need as many rows.
using block_patterns =
    std::tuple<prune::block<2>, prune::block<8>, prune::block<16, 4>, prune::unaligned_block<2>,
               prune::unaligned_block<4>, prune::unaligned_block<8>, prune::unaligned_block<32>,
               prune::unaligned_block<4, prune::greedy>, prune::unaligned_block<16, prune::greedy>,
               prune::unaligned_block<3, prune::optimum>,
               prune::unaligned_block<16, prune::optimum>>;

using kv_policies =
    std::tuple<kv::policy<kv::a2sf>, kv::policy<kv::h2o>, kv::policy<kv::window>,
               kv::policy<kv::tova>, kv::policy<kv::snapkv>, kv::policy<kv::key_norm>,
               kv::policy<kv::random_tokens>, kv::policy<kv::a2sf, kv::pyramid>,
               kv::policy<kv::a2sf, kv::ada<>>, kv::policy<kv::snapkv, kv::ada<kv::pyramid>>,
               kv::policy<kv::h2o, kv::zipvl>, kv::policy<kv::tova, kv::zipvl>,
               kv::policy<kv::a2sf, kv::uniform, kv::cam>, kv::policy<kv::by_value<kv::a2sf>>>;

}  // namespace pare::testing

#endif  // PARE_TESTS_CONTRACT_POLICIES_HPP
