// SPDX-FileCopyrightText: the pare authors
// SPDX-License-Identifier: Apache-2.0
// expect: the selection needs a class column with
#include <pare/prune/unaligned_block.hpp>

struct topmost {
    struct column {
        static pare::result<column> make(std::size_t, std::size_t) noexcept { return column{}; }
#ifdef CORRECTED
        std::size_t place(std::span<const float>, std::span<double>) noexcept { return 0; }
#endif
        bool keeps(std::size_t) const noexcept { return false; }
    };
};

pare::prune::unaligned_block<8, topmost> pattern;
