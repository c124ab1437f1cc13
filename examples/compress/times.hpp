// SPDX-FileCopyrightText: the pare authors
// SPDX-License-Identifier: Apache-2.0
#ifndef PARE_EXAMPLES_COMPRESS_TIMES_HPP
#define PARE_EXAMPLES_COMPRESS_TIMES_HPP

#include "common/recipe.hpp"
#include "source.hpp"

#include <cstddef>
#include <map>
#include <optional>
#include <string>
#include <utility>

namespace compressor {

/// One of the settings of a file of times; what is not said its only one has.
struct timed_setting {
    std::string file;
    std::optional<std::size_t> tokens, threads;
};

/// Seconds that a product takes at most: sums over layers, in picoseconds, fit 64 bits.
inline constexpr double longest_time = 1000.0;

/// What products with layers of a model take on some machine, as pare_tune --json wrote it.
class times {
  public:
    /// @throws tools::failure, also where several settings fit
    explicit times(const timed_setting& in);

    /// Seconds of a product with a layer. Which weights a recipe keeps and how they are rounded
    /// costs no time: those parts of it need not be those timed.
    /// @throws tools::failure where it was not timed
    double of(const tensor& layer, const tools::recipe& r) const { return find(layer, r).seconds; }
    /// Whether its inputs were rounded to 8 bits. @throws tools::failure where it was not timed
    bool rounds_inputs(const tensor& layer, const tools::recipe& r) const {
        return find(layer, r).rounds_inputs;
    }

  private:
    struct timed {
        double seconds;
        bool rounds_inputs;
    };

    const timed& find(const tensor& layer, const tools::recipe& r) const;

    std::string file_;
    std::map<std::pair<std::string, std::string>, timed> all_;  // by shape and recipe
};

}  // namespace compressor

#endif  // PARE_EXAMPLES_COMPRESS_TIMES_HPP
