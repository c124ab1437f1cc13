// SPDX-FileCopyrightText: the pare authors
// SPDX-License-Identifier: Apache-2.0
#include "products.hpp"
#include <pare/quant/scaled.hpp>

namespace bench {

namespace {

constexpr auto product = [](const auto& w, auto x, auto y, auto&& run) {
    return pare::gemv(w, {x.data_handle(), x.cols()}, {y.data_handle(), y.cols()}, run);
};
bool is_one_token(const shape& s) { return s.batch == 1; }

const bool gemvs = add_own("gemv", is_one_token, product);

// Codes times floats: gemv/f32x/2:4/i8/...
template <class Codec>
bool add_codes(const std::string& suffix, const Codec& codec) {
    using namespace pare::prune;
    const auto add_pattern = [&](const std::string& name, const auto& pattern) {
        add(own("gemv/f32x/" + name + suffix, pare::recipe{magnitude{}, pattern, codec}, false,
                is_one_token, product));
    };
    add_pattern("dense", dense{});
    add_pattern("2:4", n_m<2, 4>{});
    add_pattern("1:4", n_m<1, 4>{});
    return true;
}

const bool i8 = add_codes("", pare::quant::int8<>{});
const bool i4 = add_codes(":g32", pare::quant::int4<pare::quant::per_group<32>>{});

}  // namespace

}  // namespace bench
