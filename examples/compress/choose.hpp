// SPDX-FileCopyrightText: the pare authors
// SPDX-License-Identifier: Apache-2.0
#ifndef PARE_EXAMPLES_COMPRESS_CHOOSE_HPP
#define PARE_EXAMPLES_COMPRESS_CHOOSE_HPP

#include "prices.hpp"

#include <cstddef>
#include <span>
#include <vector>

namespace compressor {

/// Which of its candidates each layer gets, so that their mean error by weights is small:
/// pare::allocate::greedy, then evo_press from there.
/// @param layers  what each candidate of each layer comes to
/// @throws tools::failure when not even the cheapest candidates fit
std::vector<std::size_t> choose(std::span<const std::vector<measured>> layers, const prices& p);

}  // namespace compressor

#endif  // PARE_EXAMPLES_COMPRESS_CHOOSE_HPP
