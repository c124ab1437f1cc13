// SPDX-FileCopyrightText: the pare authors
// SPDX-License-Identifier: Apache-2.0
#include "repair.hpp"

#include "common/error.hpp"
#include "common/tensors.hpp"
#include "model.hpp"

#include <pare/eigen/least_squares_repair.hpp>
#include <pare/kernel/patches.hpp>

#include <Eigen/Core>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

namespace vision {

namespace {

// Output pixels that a layer is fitted to, at least, where as many are there: runs of some, spread
// over all images.
constexpr std::size_t n_pixels = 32768, n_together = 64;

/// What a residual adds, channel by channel.
struct shortcut {
    const residual* how;
    pare::maps<const float> x;
    std::size_t stride;

    float operator()(std::size_t image, std::size_t channel, std::size_t row,
                     std::size_t col) const {
        const bool lacks = channel < how->front || channel - how->front >= x.extent(1);
        return lacks ? 0.0f : x(image, channel - how->front, row * stride, col * stride);
    }
};

/// Layers of a network that was cut, fitted one after the other, each to what it is given when
/// those before it are: so that it also makes up for what they could not.
class layer_fitter {
  public:
    layer_fitter(const checkpoint& whole, const network_channels& channels,
                 std::span<const std::uint8_t> kept, const images& seen, pare::thread_pool& run)
        : channels_(channels), kept_(kept), source_(whole), made_(cut(whole, channels, kept)),
          whole_(whole, {}, {}, {}, run), smaller_(made_, {}, {}, {}, run), target_(whole_, seen),
          now_(smaller_, seen) {}

    checkpoint fit_all();

  private:
    using moments = Eigen::Matrix<float, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;

    const step& before(std::size_t i) const { return source_.architecture().steps[i]; }
    const step& after(std::size_t i) const { return made_.architecture().steps[i]; }
    std::vector<std::uint32_t> kept_rows(std::size_t step) const;
    std::vector<double> scales(const convolution& c, std::span<const std::uint32_t> rows) const;
    void fit(const convolution& c, std::size_t step);
    moments moments_of(const convolution& c, std::size_t step, std::size_t features);
    void add_lacking(std::size_t step, std::size_t first, std::span<const std::uint32_t> rows,
                     std::span<const double> scale, Eigen::Ref<Eigen::MatrixXd> targets);

    const network_channels& channels_;
    std::span<const std::uint8_t> kept_;
    const checkpoint& source_;
    checkpoint made_;
    model whole_, smaller_;
    passage target_, now_;
};

// The channels that a convolution of the smaller network writes, as numbered in the whole one.
std::vector<std::uint32_t> layer_fitter::kept_rows(std::size_t i) const {
    const auto classes = channels_.graph.classes(channels_.writes[i]);
    std::vector<std::uint32_t> rows;
    for (std::uint32_t r = 0; r < classes.size(); ++r)
        if (kept_[classes[r]] != 0) rows.push_back(r);
    return rows;
}

// By what the batch norm multiplies, as trained.
std::vector<double> layer_fitter::scales(const convolution& c,
                                         std::span<const std::uint32_t> rows) const {
    std::vector<double> made(rows.size(), 1.0);
    if (c.norm.empty()) return made;
    const auto read = [&](const char* part) {
        return tools::read_floats(source_.tensor(c.norm + part).dense());
    };
    const std::vector<float> gain = read(".weight"), variance = read(".running_var");
    for (std::size_t r = 0; r < rows.size(); ++r)
        made[r] = static_cast<double>(
            gain[rows[r]] / std::sqrt(variance[rows[r]] + source_.architecture().norm_eps));
    return made;
}

// What the stream that a layer's output is added to lacks beside that of the whole network, for
// some pixels: the last layer of a branch can make up for that as well.
void layer_fitter::add_lacking(std::size_t i, std::size_t first,
                               std::span<const std::uint32_t> rows, std::span<const double> scale,
                               Eigen::Ref<Eigen::MatrixXd> targets) {
    if (i + 1 == source_.architecture().steps.size() || before(i + 1).to != before(i).to) return;
    const auto* const how = std::get_if<residual>(&before(i + 1).what);
    if (how == nullptr) return;
    const extents& out = before(i).out;
    const std::size_t stride = before(i + 1).in.height / out.height;
    const shortcut wanted{how, target_.input(i + 1), stride},
        there{std::get_if<residual>(&after(i + 1).what), now_.input(i + 1), stride};
    for (std::size_t r = 0; r < rows.size(); ++r)
        for (Eigen::Index t = 0; scale[r] != 0.0 && t < targets.cols(); ++t) {
            const std::size_t pixel = first + static_cast<std::size_t>(t),
                              image = pixel / out.pixels(), row = pixel % out.pixels() / out.width,
                              col = pixel % out.width;
            const float lacks = wanted(image, rows[r], row, col) - there(image, r, row, col);
            targets(static_cast<Eigen::Index>(r), t) += static_cast<double>(lacks) / scale[r];
        }
}

// Of what the smaller network gives a layer, of 1, and of what the layer should make of these.
layer_fitter::moments layer_fitter::moments_of(const convolution& c, std::size_t i,
                                               std::size_t features) {
    const std::vector<std::uint32_t> rows = kept_rows(i);
    const std::vector<double> scale = scales(c, rows);
    const pare::maps<const float> x = now_.input(i), y = target_.products();
    const auto size = [](std::size_t n) { return static_cast<Eigen::Index>(n); };
    const Eigen::Index n_x = size(features), n_y = size(rows.size());
    Eigen::MatrixXd sums = Eigen::MatrixXd::Zero(n_x + 1 + n_y, n_x + 1 + n_y),
                    tokens(sums.rows(), size(n_together));
    tokens.row(n_x).setOnes();
    std::vector<float> patches(features * n_together);
    const std::size_t all = y.extent(0) * y.extent(2) * y.extent(3);
    // An odd number of runs: else they begin in the same rows.
    const std::size_t skip = std::max<std::size_t>(all / n_pixels, 1);
    const std::size_t stride = n_together * ((skip - 1) | 1);
    for (std::size_t first = 0; first < all; first += stride) {
        const std::size_t n = std::min(n_together, all - first);
        const pare::matrix_view<float> gathered(patches.data(), features, n);
        pare::kernel::gather_patches(c.over, x, first, gathered);
        auto seen = tokens.leftCols(size(n));
        seen.topRows(n_x) = pare::eigen::as_eigen(gathered).cast<double>();
        for (std::size_t r = 0; r < rows.size(); ++r)
            seen.row(n_x + 1 + size(r)) =
                Eigen::Map<const Eigen::RowVectorXf>(&y(0, rows[r], 0, 0) + first, size(n))
                    .cast<double>();
        add_lacking(i, first, rows, scale, seen.bottomRows(n_y));
        sums.selfadjointView<Eigen::Lower>().rankUpdate(seen);
    }
    sums.triangularView<Eigen::StrictlyUpper>() = sums.transpose();
    return sums.cast<float>();
}

void layer_fitter::fit(const convolution& c, std::size_t i) {
    const std::string name = c.name + ".weight";
    const std::vector<float> weights = tools::read_floats(made_.tensor(name).dense());
    const std::size_t outputs = after(i).out.channels, features = weights.size() / outputs;
    const moments all = moments_of(c, i, features);
    const pare::matrix_view<const float> sums(all.data(), features + 1 + outputs,
                                              features + 1 + outputs);
    std::vector<float> repaired(weights.size()), shift(outputs);
    tools::value_of(
        pare::eigen::least_squares_repair{}.fit({weights.data(), outputs, features},
                                                sums.block(0, 0, features + 1, features + 1),
                                                sums.block(features + 1, 0, outputs, features + 1),
                                                {repaired.data(), outputs, features}, shift),
        c.name);
    made_.set(name, repaired);
    if (c.has_bias) {  // where there is none a batch norm takes the shift up
        const std::vector<float> bias = tools::read_floats(made_.tensor(c.name + ".bias").dense());
        for (std::size_t r = 0; r < outputs; ++r) shift[r] += bias[r];
        made_.set(c.name + ".bias", shift);
    }
    smaller_.reload(i);
}

checkpoint layer_fitter::fit_all() {
    const std::size_t n_steps = source_.architecture().steps.size();
    bool differs = false;  // what the networks give their layers
    for (std::size_t i = 0; i < n_steps; ++i, target_.advance(), now_.advance()) {
        const auto* const c = std::get_if<convolution>(&before(i).what);
        differs = differs || after(i).in != before(i).in;
        if (c && !c->depthwise && differs) fit(*c, i);
        now_.estimate_norm();
    }
    for (const auto& [norm, estimate] : smaller_.norms()) {
        made_.set(norm + ".running_mean", estimate.mean);
        made_.set(norm + ".running_var", estimate.variance);
    }
    return std::move(made_);
}

}  // namespace

checkpoint cut_and_repair(const checkpoint& whole, const network_channels& channels,
                          std::span<const std::uint8_t> kept, const images& calibration,
                          pare::thread_pool& run) {
    return layer_fitter(whole, channels, kept, calibration, run).fit_all();
}

}  // namespace vision
