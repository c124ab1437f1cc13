// SPDX-FileCopyrightText: the pare authors
// SPDX-License-Identifier: Apache-2.0
#include "layer.hpp"

#include "common/error.hpp"
#include "common/statistics.hpp"
#include "common/tensors.hpp"
#include "error_measure.hpp"
#include "hash.hpp"

#include <pare/io/input_sums.hpp>
#include <pare/version.hpp>

#include <span>

namespace compressor {

namespace {

std::uint64_t hash_of(const pare::io::tensor_info& t) {
    return compressor::hash_of(
        t.bytes, compressor::hash_of(std::as_bytes(t.shape()), static_cast<std::uint64_t>(t.type)));
}

std::uint64_t hash_of(const pare::prune::input_sums& sums) {
    std::uint64_t hash = compressor::hash_of(std::as_bytes(sums.squares), sums.tokens);
    hash = compressor::hash_of(std::as_bytes(sums.largest), hash);
    const auto& gram = sums.gram;
    return compressor::hash_of(
        std::as_bytes(std::span(gram.data_handle(), gram.rows() * gram.cols())), hash);
}

/// One layer on its way through its recipes. What they need is made where one needs it.
class work {
  public:
    work(const layer& l, const calibration& inputs, bool with_errors, const parts* kept,
         pare::thread_pool& run)
        : layer_(l), with_errors_(with_errors), kept_(kept), run_(run),
          dense_(l.from.read(memory_)), sums_(inputs.find(l.from.name())) {}

    measured compress(const tools::recipe& r) {
        if (is_dense_as_stored(r)) return as_it_is();
        const part_name name{layer_.from.name(), r};
        const std::string key = kept_ != nullptr ? key_of(r) : "";
        if (kept_ != nullptr)
            if (const auto found = kept_->find(name, key)) return *found;
        const auto packed = tools::load_linear(dense_, r, seen(r), run_);
        measured is{packed->report(), with_errors_ ? error_of(*packed) : 0.0};
        if (kept_ != nullptr) kept_->save(name, key, *packed, layer_.from.shape(), is);
        return is;
    }

  private:
    measured as_it_is() const {
        const std::size_t bytes = dense_.bytes.size();
        const auto n = static_cast<double>(dense_.size());
        return {{.bytes = bytes, .bits_per_weight = static_cast<double>(bytes) * 8.0 / n}};
    }

    std::string key_of(const tools::recipe& r) {
        if (source_.empty()) {
            source_ = "pare " + std::to_string(PARE_VERSION_MAJOR) + '.' +
                      std::to_string(PARE_VERSION_MINOR) + '.' +
                      std::to_string(PARE_VERSION_PATCH) + ", weights " + in_hex(hash_of(dense_));
            if (sums_) inputs_ = in_hex(hash_of(*sums_));
        }
        const bool reads_inputs = tools::needs_calibration(r) || with_errors_;
        return source_ + (reads_inputs ? ", inputs " + inputs_ : "") +
               (with_errors_ ? ", error" : "");
    }

    pare::prune::calibration seen(const tools::recipe& r) {
        if (!tools::needs_calibration(r)) return {};
        if (!sums_) throw tools::failure("the calibration has no such layer");
        if (!statistics_) statistics_ = tools::statistics_of(*sums_);
        return statistics_->view();
    }

    double error_of(const tools::linear& packed) {
        if (!measure_) {
            weights_ = tools::read_floats(dense_);
            const std::size_t rows = dense_.extents[0];
            measure_.emplace(
                pare::matrix_view<const float>(weights_.data(), rows, weights_.size() / rows),
                sums_ ? &*sums_ : nullptr, run_);
        }
        return (*measure_)(packed);
    }

    const layer& layer_;
    bool with_errors_;
    const parts* kept_;
    pare::thread_pool& run_;
    std::vector<float> memory_, weights_;
    pare::io::tensor_info dense_;
    std::optional<pare::prune::input_sums> sums_;
    std::optional<tools::input_statistics> statistics_;
    std::optional<error_measure> measure_;
    std::string source_, inputs_;  // of the key
};

}  // namespace

calibration::calibration(const std::string& file) : file_(file) {
    if (!file.empty())
        sums_ = tools::value_of(pare::io::safetensors_reader::open(file.c_str()), file);
}

std::optional<pare::prune::input_sums> calibration::find(std::string_view tensor) const {
    if (!sums_) return std::nullopt;
    auto found = pare::io::load_input_sums(*sums_, tensor);
    if (!found && found.error().code == pare::errc::not_found) return std::nullopt;
    return tools::value_of(std::move(found), file_);
}

std::vector<measured> compress(const layer& l, const calibration& inputs, bool with_errors,
                               const parts* kept, pare::thread_pool& run) try {
    work layer_work(l, inputs, with_errors, kept, run);
    std::vector<measured> all;
    for (const tools::recipe& r : l.recipes) all.push_back(layer_work.compress(r));
    return all;
} catch (const tools::failure& e) {
    throw tools::failure("tensor '" + std::string(l.from.name()) + "': " + e.what());
}

}  // namespace compressor
