// SPDX-FileCopyrightText: the pare authors
// SPDX-License-Identifier: Apache-2.0
#ifndef PARE_EXAMPLES_COMPRESS_TIMES_HPP
#define PARE_EXAMPLES_COMPRESS_TIMES_HPP

#include "common/recipe.hpp"
#include "source.hpp"

#include <cstddef>
#include <functional>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <utility>

namespace compressor {

/// One of the settings of a file of times; what is not said its only one has.
struct timed_setting {
    std::string file;
    std::optional<std::size_t> tokens, threads;
};

/// What products with layers of a model take on some machine, as pare_tune --json wrote it.
class times {
  public:
    /// @throws tools::failure, also where several settings fit
    explicit times(const timed_setting& in);

    /// Seconds of a product with a layer. Which weights a recipe keeps and how they are rounded
    /// costs no time: those parts of it need not be those timed.
    /// @throws tools::failure where it was not timed
    double of(const tensor& layer, const tools::recipe& r) const;
    /// That there are times of the layer's shape and of the recipe, be it for another one, which it
    /// may not fit. @throws tools::failure
    void check(const tensor& layer, const tools::recipe& r) const;

  private:
    std::string file_;
    std::map<std::pair<std::string, std::string>, double> seconds_;  // by shape and recipe
    std::set<std::string, std::less<>> shapes_, recipes_;
};

}  // namespace compressor

#endif  // PARE_EXAMPLES_COMPRESS_TIMES_HPP
