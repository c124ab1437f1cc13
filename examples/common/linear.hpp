// SPDX-FileCopyrightText: the pare authors
// SPDX-License-Identifier: Apache-2.0
#ifndef PARE_EXAMPLES_COMMON_LINEAR_HPP
#define PARE_EXAMPLES_COMMON_LINEAR_HPP

#include "recipe.hpp"

#include <pare/compress.hpp>
#include <pare/core/thread_pool.hpp>
#include <pare/io/safetensors_reader.hpp>
#include <pare/io/safetensors_writer.hpp>
#include <pare/kernel/epilogue.hpp>
#include <pare/kernel/maps.hpp>

#include <memory>
#include <span>
#include <string>

namespace tools {

/// A linear layer whose packed format was chosen at run time: the one place where the tool erases
/// the library's compile-time types.
class linear {
  public:
    virtual ~linear() = default;
    /// y (tokens, out_features) = x (tokens, in_features) W^T + bias (none when empty).
    virtual void apply(pare::matrix_view<const float> x, pare::matrix_view<float> y,
                       std::span<const float> bias, pare::thread_pool& run,
                       activation_kind inputs = activation_kind::f32) const = 0;
    /// y = x convolved with the layer's rows, flattened as OIHW; see pare::convolve. Of whole
    /// numbers, what an output pixel sees is a token. @pre the images of y lie side by side
    virtual void convolve(const pare::window& over, pare::maps<const float> x, pare::maps<float> y,
                          std::span<float> workspace, pare::thread_pool& run,
                          const pare::epilogue& after,
                          activation_kind inputs = activation_kind::f32) const = 0;
    /// Whether inputs of 8 bits stay so: its weights are whole numbers, and its pattern has a
    /// kernel.
    virtual bool multiplies_integers() const = 0;
    virtual const pare::layer_report& report() const = 0;
    /// Adds the packed weights, which must live until out.commit(). @throws failure
    virtual void save(pare::io::safetensors_writer& out, const std::string& name) const = 0;
};

/// @throws usage_error when the recipe's pattern is none of those compiled in, or it is about
/// channels, which a layer alone cannot lose
void check_compiled(const recipe& r);

/// Compresses weights (out_features, in_features).
/// @param codec  anything but `stored`
/// @param run    what searches for an order
/// @throws failure when the library refuses
std::unique_ptr<linear> make_linear(pare::matrix_view<const float> weights, const recipe& r,
                                    codec_kind codec, const pare::prune::calibration& inputs,
                                    pare::thread_pool& run);

/// The layer `name` that save() wrote to a file, in place.
/// @param report  what the file does not say: its sparsity and retained saliency
/// @throws failure when its packed format is none of those compiled in, or the library refuses
std::unique_ptr<linear> open_linear(std::shared_ptr<const pare::io::safetensors_reader> file,
                                    const std::string& name, pare::layer_report report);

}  // namespace tools

#endif  // PARE_EXAMPLES_COMMON_LINEAR_HPP
