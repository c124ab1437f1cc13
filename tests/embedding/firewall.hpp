// SPDX-FileCopyrightText: the pare authors
// SPDX-License-Identifier: Apache-2.0
// How an engine in C++17 uses the library: one file in C++20 behind a plain interface.
#ifndef PARE_TESTS_EMBEDDING_FIREWALL_HPP
#define PARE_TESTS_EMBEDDING_FIREWALL_HPP

#include <cstddef>
#include <memory>

/// A pruned linear layer, y = W x.
class sparse_linear {
  public:
    /// @param weights  rows x cols, row-major; copied. Not ok() if they could not be packed.
    sparse_linear(const float* weights, std::size_t rows, std::size_t cols);
    ~sparse_linear();

    bool ok() const { return layer_ != nullptr; }
    /// @param x  cols elements  @param y  rows elements, written
    bool forward(const float* x, float* y) const;

  private:
    struct layer;
    std::unique_ptr<layer> layer_;
};

#endif  // PARE_TESTS_EMBEDDING_FIREWALL_HPP
