// SPDX-FileCopyrightText: the pare authors
// SPDX-License-Identifier: Apache-2.0
#ifndef PARE_EXAMPLES_COMPRESS_PRICES_HPP
#define PARE_EXAMPLES_COMPRESS_PRICES_HPP

#include "layer.hpp"
#include "measured.hpp"
#include "times.hpp"

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

namespace compressor {

/// What may be spent: one of these.
struct budget {
    std::optional<std::uint64_t> bytes;     ///< of all tensors of OUT
    std::optional<double> bits_per_weight;  ///< of the layers with recipes
    std::optional<double> speed;            ///< of these against dense, a product with each
    timed_setting times;                    ///< of the speed
};

/// What the candidates of each layer cost, and what there is for all layers: bytes, picoseconds.
struct prices {
    std::vector<std::vector<std::uint64_t>> of;  ///< (layers, candidates)
    std::uint64_t budget;
    std::string (*in_words)(std::uint64_t);
};

/// @param other_bytes  of the tensors that are no such layers
/// @throws tools::failure where these are too many
prices price_in_bytes(std::span<const layer> layers, std::span<const std::vector<measured>> are,
                      const budget& within, std::size_t other_bytes);

/// That each layer was timed dense and by the candidates that its shape allows.
/// @throws tools::failure
void check_timed(std::span<const layer> layers, const times& t);

/// @throws tools::failure where a candidate was not timed
prices price_in_time(std::span<const layer> layers, std::span<const std::vector<measured>> are,
                     const budget& within, const times& t);

}  // namespace compressor

#endif  // PARE_EXAMPLES_COMPRESS_PRICES_HPP
