// SPDX-FileCopyrightText: the pare authors
// SPDX-License-Identifier: Apache-2.0
#ifndef PARE_KV_QUERY_ENERGIES_HPP
#define PARE_KV_QUERY_ENERGIES_HPP

#include "../core/buffer.hpp"
#include "../core/tensor_view.hpp"
#include "block_layout.hpp"
#include "shape.hpp"
#include "think.hpp"

#include <cstddef>
#include <span>
#include <utility>

namespace pare::kv::inline PARE_ARCH_NAMESPACE {

/// What think knows of the queries of all sequences; nothing where no keys lose channels.
class query_energies {
  public:
    static result<query_energies> make(const shape& s,
                                       std::span<const block_layout> layouts) noexcept {
        bool needed = false;
        for (const block_layout& layout : layouts) needed = needed || layout.key_channels != 0;
        query_energies made;
        made.shape_ = s;
        auto numbers =
            buffer<float>::make(needed ? s.sequences * s.layers * s.kv_heads * s.head_dim : 0);
        if (!numbers) return numbers.error();
        made.numbers_ = std::move(*numbers);
        return made;
    }

    /// (kv_heads * head_dim) of a layer; empty where there is none.
    std::span<float> of(std::size_t sequence, std::size_t layer) noexcept {
        const std::size_t n = shape_.kv_heads * shape_.head_dim;
        const std::span<float> all = of(sequence);
        if (all.empty() || layer >= shape_.layers) return {};
        return all.subspan(layer * n, n);
    }

    /// Takes the newest queries of a layer (n, query_heads * head_dim).
    void observe(std::size_t sequence, std::size_t layer,
                 matrix_view<const float> queries) noexcept {
        const std::span<float> energy = of(sequence, layer);
        const std::size_t dim = shape_.head_dim, cols = shape_.group_size() * dim;
        for (std::size_t h = 0; h * dim < energy.size(); ++h)
            think::observe(queries.block(0, h * cols, queries.rows(), cols),
                           energy.subspan(h * dim, dim));
    }

    void clear(std::size_t sequence) noexcept {
        for (float& energy : of(sequence)) energy = 0.0f;
    }
    void copy(std::size_t from, std::size_t to) noexcept {
        const std::span<float> a = of(from), b = of(to);
        for (std::size_t i = 0; i < a.size(); ++i) b[i] = a[i];
    }
    void swap(std::size_t one, std::size_t other) noexcept {
        const std::span<float> a = of(one), b = of(other);
        for (std::size_t i = 0; i < a.size(); ++i) std::swap(a[i], b[i]);
    }
    std::size_t bytes() const noexcept { return numbers_.bytes(); }

  private:
    query_energies() noexcept = default;

    // Of all layers of a sequence.
    std::span<float> of(std::size_t sequence) noexcept {
        const std::size_t n = shape_.layers * shape_.kv_heads * shape_.head_dim;
        if (numbers_.size() == 0 || sequence >= shape_.sequences) return {};
        return numbers_.span().subspan(sequence * n, n);
    }

    shape shape_;
    buffer<float> numbers_;
};

}  // namespace pare::kv::inline PARE_ARCH_NAMESPACE

#endif  // PARE_KV_QUERY_ENERGIES_HPP
