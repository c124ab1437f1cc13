// SPDX-FileCopyrightText: the pare authors
// SPDX-License-Identifier: Apache-2.0
#ifndef PARE_IO_INPUT_SUMS_HPP
#define PARE_IO_INPUT_SUMS_HPP

#include "../prune/input_sums.hpp"
#include "layer_description.hpp"
#include "safetensors_reader.hpp"
#include "safetensors_writer.hpp"

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

namespace pare::io::inline PARE_ARCH_NAMESPACE {

namespace detail {

template <class T, std::size_t Rank>
result<tensor_view<const T, Rank>> find_view(const safetensors_reader& file, std::string_view name,
                                             std::string_view part) noexcept {
    const json_text full = joined(name, part);
    if (!full.outcome()) return full.outcome().error();
    const auto tensor = file.find(full.view());
    if (!tensor) return tensor.error();
    return view_as<T, Rank>(*tensor);
}

}  // namespace detail

/// The input_sums `name` in place: views of the file, which must stay open. What they hold is not
/// checked: it may be any bits.
/// @return not_found, wrong_type, shape_mismatch for another rank, out_of_memory; malformed_file
/// when the tensors disagree
inline result<prune::input_sums> load_input_sums(const safetensors_reader& file,
                                                 std::string_view name) noexcept {
    const auto tokens = detail::find_view<std::uint64_t, 1>(file, name, ".tokens");
    const auto squares = detail::find_view<double, 1>(file, name, ".squares");
    const auto largest = detail::find_view<float, 1>(file, name, ".largest");
    const auto gram = detail::find_view<float, 2>(file, name, ".gram");
    if (!tokens) return tokens.error();
    if (!squares) return squares.error();
    if (!largest) return largest.error();
    if (!gram && gram.error().code != errc::not_found) return gram.error();
    const std::size_t n = squares->size();
    if (tokens->size() != 1 || largest->size() != n ||
        (gram && (gram->rows() != n || gram->cols() != n)))
        return error{errc::malformed_file, "the statistics of a layer disagree about its features"};
    return prune::input_sums{(*tokens)[0],
                             {squares->data_handle(), n},
                             {largest->data_handle(), n},
                             gram ? *gram : matrix_view<const float>()};
}

inline const status& safetensors_writer::add(std::string_view name,
                                             const prune::input_sums& sums) noexcept {
    const std::size_t n = sums.squares.size();
    const auto part = [&](std::string_view suffix, auto values,
                          std::span<const std::size_t> shape) {
        const json_text full = detail::joined(name, suffix);
        if (!keep(full.outcome())) return;
        add(full.view(), dtype_of<typename decltype(values)::value_type>(), shape,
            std::as_bytes(values));
    };
    part(".tokens", std::span(&sums.tokens, 1), std::array<std::size_t, 1>{1});
    part(".squares", sums.squares, std::array{n});
    part(".largest", sums.largest, std::array{n});
    if (!sums.gram.empty())
        part(".gram", std::span(sums.gram.data_handle(), n * n), std::array{n, n});
    return outcome_;
}

}  // namespace pare::io::inline PARE_ARCH_NAMESPACE

#endif  // PARE_IO_INPUT_SUMS_HPP
