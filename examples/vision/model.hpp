// SPDX-FileCopyrightText: the pare authors
// SPDX-License-Identifier: Apache-2.0
#ifndef PARE_EXAMPLES_VISION_MODEL_HPP
#define PARE_EXAMPLES_VISION_MODEL_HPP

#include "checkpoint.hpp"
#include "common/linear.hpp"
#include "common/model_report.hpp"
#include "common/statistics.hpp"
#include "dataset.hpp"

#include <pare/core/buffer.hpp>
#include <pare/kernel/maps.hpp>

#include <array>
#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <set>
#include <span>
#include <string>
#include <vector>

namespace vision {

/// The memory of a batch: activations of every slot, images side by side within a channel so that
/// they go through products together, and patches of convolutions.
class workspace {
  public:
    /// @param n_images  that fit at most
    /// @param n_threads that gather patches at once
    workspace(const architecture& a, std::size_t n_images, std::size_t n_threads);

  private:
    friend class model;
    friend class passage;
    pare::maps<float> slot(std::size_t which, const extents& e);

    std::size_t n_images_ = 0;  // of the present batch
    std::array<pare::buffer<float>, architecture::n_slots> slots_;
    pare::buffer<float> patches_;
};

/// Means and variances of batch norms, by name.
struct norm_estimate {
    std::vector<float> mean, variance;
};
using norm_statistics = std::map<std::string, norm_estimate>;

/// Statistics of what convolutions read, by name; see calibrate().
using layer_statistics = std::map<std::string, tools::input_statistics>;

/// A network whose convolutions went through a recipe, now or when its file was made, but for those
/// that stay dense, as depthwise ones always do: they have no columns to choose from.
///
/// A batch norm is a scale and a bias per output channel, applied with the ReLU where a product is
/// stored. Rejected: folding scales into the weights, which would have saliencies compare output
/// channels by another measure, and a norm estimated anew could not be put in without packing
/// again.
class model {
  public:
    /// Called with a convolution and its input, or its output behind the activation.
    using observer = std::function<void(const convolution&, pare::maps<const float>)>;

    /// @param statistics  of each convolution that the recipe compresses, where its saliency needs
    ///                    them; else empty
    /// @param told        called after each convolution but depthwise ones
    /// @throws tools::failure
    model(
        const checkpoint& source, const tools::recipe& r, const std::set<std::string>& keep_dense,
        const layer_statistics& statistics, pare::thread_pool& run,
        const std::function<void()>& told = [] {});

    const vision::architecture& architecture() const { return source_->architecture(); }
    workspace make_workspace(std::size_t n_images) const;

    /// logits (images, classes) of images [first, first + logits.rows()).
    /// @param read     called before each convolution that is not depthwise
    /// @param written  called behind each convolution
    void forward(const images& from, std::size_t first, workspace& w,
                 pare::matrix_view<float> logits, const observer& read = {},
                 const observer& written = {}) const;

    /// Estimates the batch norms' means and variances again on these images, in the order of the
    /// network, each below norms that are estimated already. Holds the activations of all images.
    /// @param told  called after each step
    void reestimate_norms(
        const images& from, const std::function<void()>& told = [] {});

    /// Reads a convolution again, whose tensors the source now has with other values.
    void reload(std::size_t step);

    /// Of the batch norms by name, as stored: estimated again, or those of the source.
    norm_statistics norms() const;
    /// Writes the network with what is compressed of it; checkpoint reads it again.
    /// @throws tools::failure
    void save(const std::filesystem::path& file) const;

    /// What compressed layers take from now on, those that can.
    void take_inputs(tools::activation_kind inputs) { inputs_ = inputs; }
    /// Layers that take whole numbers.
    std::size_t n_integer_layers() const;

    /// Of the compressed convolutions together.
    pare::layer_report report() const;
    /// Each of them.
    std::vector<tools::layer_row> layers() const;
    /// Of all weights, packed, and what is beside them.
    std::size_t bytes() const;

  private:
    friend class passage;
    struct layer {
        std::unique_ptr<tools::linear> weights;
        std::vector<float> filters;  // (channels, taps) of a depthwise one, which has no weights
        bool compressed = false;
        std::vector<float> gain, offset;    // of the batch norm; empty: none
        std::vector<float> mean, variance;  // likewise, of the products without the bias
        std::vector<float> scale, bias;     // what follows of these
    };

    layer load(const convolution& c, const tools::recipe& r, bool compressed,
               const layer_statistics& statistics) const;
    void set_norm(layer& l, std::vector<float> mean, std::vector<float> variance) const;
    std::vector<float> read(const std::string& tensor) const;
    void show(const images& from, std::size_t first, std::size_t n, workspace& w) const;
    void take(std::size_t step, workspace& w) const;
    void convolve(std::size_t step, workspace& w, const pare::epilogue& after) const;
    void estimate_norm(layer& l, pare::maps<const float> products) const;

    const checkpoint* source_;
    tools::recipe recipe_;
    pare::thread_pool* run_;
    tools::activation_kind inputs_ = tools::activation_kind::f32;
    std::vector<layer> layers_;  // one per step, empty where it is no convolution
};

/// Images on their way through a model, all at once, a step at a time.
class passage {
  public:
    passage(model& m, const images& on);

    /// What a step reads. @pre that is still there: of the present one, or one behind it
    pare::maps<const float> input(std::size_t step);
    /// What the present convolution makes of its input, before norm, bias and activation.
    pare::maps<const float> products();
    /// Estimates the batch norm of the present step, if there is one, on these.
    void estimate_norm();
    /// Takes the present step.
    void advance();
    bool done() const { return at_ == model_->architecture().steps.size(); }

  private:
    const step& at(std::size_t i) const { return model_->architecture().steps[i]; }

    model* model_;
    workspace w_;
    std::size_t at_ = 0;
};

}  // namespace vision

#endif  // PARE_EXAMPLES_VISION_MODEL_HPP
