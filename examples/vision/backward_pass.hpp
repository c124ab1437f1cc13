// SPDX-FileCopyrightText: the pare authors
// SPDX-License-Identifier: Apache-2.0
#ifndef PARE_EXAMPLES_VISION_BACKWARD_PASS_HPP
#define PARE_EXAMPLES_VISION_BACKWARD_PASS_HPP

#include "gradients.hpp"

#include <Eigen/Core>

#include <cstddef>
#include <vector>

namespace vision {

/// A network in double.
struct differentiable_network {
    using matrix = Eigen::Matrix<double, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;
    struct layer {
        matrix weights;  // (out, in * taps)
        Eigen::VectorXd scale, bias;
    };
    struct reads {
        std::size_t from, before;  // the values in its two slots; a residual reads both
    };

    differentiable_network(const architecture& a, const network_parameters& p);

    const std::vector<step>* steps;
    extents image;
    std::vector<layer> layers;  // one per step, empty where it is no convolution
    std::vector<reads>
        values;  // one per step: value 0 is the image, value i + 1 what step i writes
};

/// An image forwards, then the gradient of its logits backwards; with the memory of both.
class backward_pass {
  public:
    using matrix = differentiable_network::matrix;
    using layer = differentiable_network::layer;

    explicit backward_pass(const differentiable_network& net);

    matrix& image() { return values_.front(); }  ///< (channels, pixels)
    const matrix& logits() const { return values_.back(); }
    matrix& gradient() { return gradients_.back(); }  ///< of the logits

    void forward();
    /// Adds to the sums. @pre gradient() is that of the logits of the last forward()
    void backward();
    /// Gradients of weights and biases; one per step.
    const std::vector<layer>& sums() const { return sums_; }

  private:
    const step& at(std::size_t i) const { return (*net_->steps)[i]; }
    const matrix& x(std::size_t i) const { return values_[net_->values[i].from]; }
    matrix& dx(std::size_t i) { return gradients_[net_->values[i].from]; }
    Eigen::Map<matrix> patches(std::size_t i);  // (in * taps, pixels)
    void gather(const convolution& c, std::size_t i);
    void for_each_largest(const max_pool& pool, std::size_t i, auto visit);

    // What step i writes, and what reaches that given back to what it has read.
    void take(const convolution& c, std::size_t i);
    void take(const residual& r, std::size_t i);
    void take(const max_pool& pool, std::size_t i);
    void take(const average_pool& pool, std::size_t i);
    void give_back(const convolution& c, std::size_t i);
    void give_back(const residual& r, std::size_t i);
    void give_back(const max_pool& pool, std::size_t i);
    void give_back(const average_pool& pool, std::size_t i);

    const differentiable_network* net_;
    std::vector<matrix> values_, gradients_;  // (channels, pixels)
    std::vector<double> patches_;
    std::vector<Eigen::Index> largest_;  // (pixels)
    std::vector<layer> sums_;
};

}  // namespace vision

#endif  // PARE_EXAMPLES_VISION_BACKWARD_PASS_HPP
