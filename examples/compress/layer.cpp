// SPDX-FileCopyrightText: the pare authors
// SPDX-License-Identifier: Apache-2.0
#include "layer.hpp"

#include "common/error.hpp"
#include "common/statistics.hpp"
#include "common/tensors.hpp"
#include "error_measure.hpp"
#include "hash.hpp"

#include <pare/version.hpp>

#include <algorithm>
#include <exception>
#include <optional>
#include <span>
#include <string>
#include <string_view>

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

std::uint64_t hash_of(const channel_loss& loss, std::string_view tensor) {
    std::uint64_t hash = compressor::hash_of(std::as_bytes(std::span(loss.rows)), loss.taps);
    hash = compressor::hash_of(std::as_bytes(std::span(loss.inputs)), hash);
    return loss.repair == nullptr ? hash : hash ^ hash_of(loss.repair->find(tensor).value());
}

/// One layer on its way through its recipes. What they need is made where one needs it.
class work {
  public:
    work(const layer& l, const calibration& inputs, bool with_errors, const parts* kept,
         pare::thread_pool& run)
        : layer_(l), with_errors_(with_errors), kept_(kept), run_(run),
          whole_(l.from.read_whole(whole_memory_)), sums_(inputs.find(l.from.name())) {
        const channel_loss* const loss = l.from.loss();
        if (loss == nullptr || loss->inputs.empty() || !sums_) return;
        sums_left_ = loss->apply(*sums_);
        sums_ = sums_left_->view();
    }

    measured compress(const tools::recipe& r) {
        if (is_dense_as_stored(r)) return as_it_is();
        const part_name name{layer_.from.name(), r};
        const std::string key = kept_ != nullptr ? key_of(r) : "";
        if (kept_ != nullptr)
            if (const auto found = kept_->find(name, key)) return *found;
        const auto packed = tools::load_linear(dense(), r, seen(r), run_);
        measured is{packed->report(), with_errors_ ? error_of(*packed) : 0.0};
        if (kept_ != nullptr) kept_->save(name, key, *packed, layer_.from.shape(), is);
        return is;
    }

  private:
    measured as_it_is() const {
        const std::size_t bits = describe(whole_.type).bits;
        return {
            {.bytes = layer_.from.size() * bits / 8, .bits_per_weight = static_cast<double>(bits)}};
    }

    // Where channels leave it is made anew, which takes time where others make up for them.
    const pare::io::tensor_info& dense() {
        if (!dense_) {
            const channel_loss* const loss = layer_.from.loss();
            dense_ = loss != nullptr ? loss->apply(whole_, memory_) : whole_;
        }
        return *dense_;
    }

    std::string key_of(const tools::recipe& r) {
        if (source_.empty()) {
            source_ = "pare " + std::to_string(PARE_VERSION_MAJOR) + '.' +
                      std::to_string(PARE_VERSION_MINOR) + '.' +
                      std::to_string(PARE_VERSION_PATCH) + ", weights " + in_hex(hash_of(whole_));
            if (const channel_loss* const loss = layer_.from.loss())
                source_ += ", channels " + in_hex(hash_of(*loss, layer_.from.name()));
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
            weights_ = tools::read_floats(dense());
            const std::size_t rows = dense().extents[0];
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
    std::vector<float> whole_memory_, memory_, weights_;
    pare::io::tensor_info whole_;
    std::optional<pare::io::tensor_info> dense_;
    std::optional<own_sums> sums_left_;
    std::optional<pare::prune::input_sums> sums_;
    std::optional<tools::input_statistics> statistics_;
    std::optional<error_measure> measure_;
    std::string source_, inputs_;  // of the key
};

}  // namespace

std::vector<measured> compress(const layer& l, const calibration& inputs, bool with_errors,
                               const parts* kept, pare::thread_pool& run) try {
    work layer_work(l, inputs, with_errors, kept, run);
    std::vector<measured> all;
    std::exception_ptr why;
    for (const tools::recipe& r : l.recipes) try {
            all.push_back(layer_work.compress(r));
        } catch (const tools::refusal& e) {
            if (e.code != pare::errc::shape_mismatch) throw;
            all.push_back({.report = {.retained = 0.0}, .refused = true});
            why = std::current_exception();
        }
    if (std::ranges::all_of(all, &measured::refused)) std::rethrow_exception(why);
    return all;
} catch (const tools::failure& e) {
    throw tools::failure("tensor '" + std::string(l.from.name()) + "': " + e.what());
}

}  // namespace compressor
