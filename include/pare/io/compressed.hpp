// SPDX-FileCopyrightText: the pare authors
// SPDX-License-Identifier: Apache-2.0
#ifndef PARE_IO_COMPRESSED_HPP
#define PARE_IO_COMPRESSED_HPP

#include "../packed/block.hpp"
#include "../packed/hinm.hpp"
#include "../packed/n_m.hpp"
#include "layer_description.hpp"
#include "safetensors_reader.hpp"
#include "safetensors_writer.hpp"

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>
#include <type_traits>
#include <utility>

namespace pare::io::inline PARE_ARCH_NAMESPACE {

namespace detail {

/// Of rows and of cols: rounded up to tiles, or counted in index bits, they still fit std::size_t,
/// of 32 bits too. Their product fits because the tensors of that size lie in memory.
inline constexpr std::size_t max_extent = sizeof(std::size_t) > 4 ? 0xffffffff : 0x03ffffff;

/// visit(suffix, pointer, shape) for each tensor of a layout. The shapes are known before the
/// pointers are: a loader sets them.
template <int N, int M, class T>
void for_each_part(auto& w, std::type_identity<packed::n_m<N, M, T>>, auto&& visit) noexcept {
    using layout = packed::n_m<N, M, T>;
    const auto tiles = w.tiles(w.rows);
    visit(".values", w.values, std::array{tiles, w.value_elements(w.cols), packed::tile_rows});
    if constexpr (layout::index_bits > 0)
        visit(".indices", w.indices, std::array{tiles, w.index_words(w.cols), packed::tile_rows});
    if constexpr (packed::is_coded<T>)
        visit(".scales", w.scales, std::array{tiles, w.scale_words(w.cols), packed::tile_rows});
}
template <int N, int M, class T>
void for_each_part(auto& w, std::type_identity<packed::hinm<N, M, T>>, auto&& visit) noexcept {
    auto grouped = w.compact_grouped();
    for_each_part(grouped, std::type_identity<packed::n_m<N, M, T>>{}, visit);
    w.values = grouped.values;
    w.indices = grouped.indices;
    w.scales = grouped.scales;
    if (w.dense > 0) {
        const auto tiles = grouped.tiles(grouped.rows);
        const auto dense = w.compact_dense();
        visit(".dense", w.dense_values,
              std::array{tiles, dense.value_elements(w.dense), packed::tile_rows});
        if constexpr (packed::is_coded<T>)
            visit(".dense_scales", w.dense_scales,
                  std::array{tiles, dense.scale_words(w.dense), packed::tile_rows});
    }
    visit(".columns", w.columns, std::array{w.n_tiles(), w.column_words()});
    if (!w.in_place) visit(".outputs", w.outputs, std::array{w.rows});
}

template <int B, class T>
void for_each_part(auto& w, std::type_identity<packed::block<B, T>>, auto&& visit) noexcept {
    if constexpr (packed::is_coded<T>) visit(".values", w.values, std::array{w.n_values(w)});
    else visit(".values", w.values, std::array{w.n_blocks, w.block_rows});
    visit(".starts", w.starts, std::array{w.n_starts()});
    visit(".columns", w.columns, std::array{w.column_words()});
    if constexpr (packed::is_coded<T>) visit(".scales", w.scales, std::array{w.n_scales(w)});
}

/// A tensor of a layer in place. @return wrong_type, not_found, malformed_file for another shape.
template <class T, std::size_t Rank>
result<const T*> find_part(const safetensors_reader& file, std::string_view name,
                           std::string_view part, std::array<std::size_t, Rank> shape) noexcept {
    const json_text full = joined(name, part);
    if (!full.outcome()) return full.outcome().error();
    const auto tensor = file.find(full.view());
    if (!tensor) return tensor.error();
    const error other_shape{errc::malformed_file,
                            "a layer's tensor does not have its described shape", tensor->where};
    if (tensor->rank != Rank) return other_shape;
    const auto found = view_as<T, Rank>(*tensor);
    if (!found) return found.error();
    if (found->extents() != shape) return other_shape;
    return found->data_handle();
}

template <packed::known_weights Weights>
inline constexpr const char* format_of = packed::block_weights<Weights>  ? "block"
                                         : packed::hinm_weights<Weights> ? "hinm"
                                                                         : "n_m";

template <int N, int M>
status check_group(const layer_description& is) noexcept {
    if (is.n != N) return error{errc::wrong_type, "the layer has another N", is.n};
    if (is.m != M) return error{errc::wrong_type, "the layer has another M", is.m};
    return {};
}

template <int N, int M, class T>
result<packed::n_m<N, M, T>> described_as(std::type_identity<packed::n_m<N, M, T>>,
                                          const layer_description& is) noexcept {
    if (auto ok = check_group<N, M>(is); !ok) return ok.error();
    return packed::n_m<N, M, T>{is.rows, is.cols};
}
template <int N, int M, class T>
result<packed::hinm<N, M, T>> described_as(std::type_identity<packed::hinm<N, M, T>>,
                                           const layer_description& is) noexcept {
    if (auto ok = check_group<N, M>(is); !ok) return ok.error();
    packed::hinm<N, M, T> w{{is.rows, is.cols, is.tile_rows, is.kept, is.dense, is.in_place != 0}};
    if (!w.is_sound() || is.in_place > 1)
        return error{errc::malformed_file, "a layer has a shape that hinm cannot have"};
    return w;
}

template <int B, class T>
result<packed::block<B, T>> described_as(std::type_identity<packed::block<B, T>>,
                                         const layer_description& is) noexcept {
    if (is.block_rows != B)
        return error{errc::wrong_type, "the layer has blocks of other rows", is.block_rows};
    const packed::block<B, T> w{{is.rows, is.cols, is.n_blocks}};
    if (is.n_blocks > max_extent || is.rows > max_extent / w.n_bands())
        return error{errc::malformed_file, "a layer is too large"};
    return w;
}

/// The members of a description that follow from a layout's type, and those of its shape beside
/// rows and cols.
template <int N, int M, class T>
void describe_type(json_text& text, std::type_identity<packed::n_m<N, M, T>>) noexcept {
    text.raw(",\"n\":").number(N).raw(",\"m\":").number(M);
}
template <int N, int M, class T>
void describe_type(json_text& text, std::type_identity<packed::hinm<N, M, T>>) noexcept {
    describe_type(text, std::type_identity<packed::n_m<N, M, T>>{});
}
template <int B, class T>
void describe_type(json_text& text, std::type_identity<packed::block<B, T>>) noexcept {
    text.raw(",\"block_rows\":").number(B);
}
template <int N, int M, class T>
void describe_shape(json_text& /*text*/, const packed::n_m<N, M, T>& /*w*/) noexcept {}
template <int N, int M, class T>
void describe_shape(json_text& text, const packed::hinm<N, M, T>& w) noexcept {
    text.raw(",\"tile_rows\":").number(w.tile_rows).raw(",\"kept\":").number(w.kept);
    text.raw(",\"dense\":").number(w.dense);
    text.raw(",\"in_place\":").number(w.in_place ? 1 : 0);
}
template <int B, class T>
void describe_shape(json_text& text, const packed::block<B, T>& w) noexcept {
    text.raw(",\"n_blocks\":").number(w.n_blocks);
}

}  // namespace detail

/// The compressed layer `name` in place: the layout's arrays are views of the file, which must stay
/// open. `Weights` is the layout or a type that owns one (pare::layer). Every index is checked, so
/// a kernel stays within its memory whatever the file holds.
/// @return not_found; wrong_type for another format, N, M or dtype, or unaligned tensors;
/// malformed_file when tensors and description disagree or an index is out of range; out_of_memory.
template <packed::known_weights Weights>
result<packed::layout_of<Weights>> load(const safetensors_reader& file,
                                        std::string_view name) noexcept {
    using layout = packed::layout_of<Weights>;
    const auto is = describe_layer(file, name);
    if (!is) return is.error();
    if (is->format != detail::format_of<Weights>)
        return error{errc::wrong_type, "the layer has another format"};
    if (is->version != 1) return error{errc::wrong_type, "the layer's format has another version"};
    if (is->dtype != packed::storage_name<typename layout::value_type>())
        return error{errc::wrong_type, "the layer's values have another dtype"};
    if (is->rows == 0 || is->cols == 0 || is->rows > detail::max_extent ||
        is->cols > detail::max_extent)
        return error{errc::malformed_file, "a layer is empty or too large"};
    auto loaded = detail::described_as(std::type_identity<layout>{}, *is);
    if (!loaded) return loaded;

    status found;
    detail::for_each_part(*loaded, std::type_identity<layout>{},
                          [&]<class T>(std::string_view part, const T*& data, const auto& shape) {
                              if (!found) return;
                              const auto at = detail::find_part<T>(file, name, part, shape);
                              if (at) data = *at;
                              else found = at.error();
                          });
    if (!found) return found.error();
    if (auto ok = packed::check(*loaded); !ok) return ok.error();
    return loaded;
}

template <packed::known_weights Weights>
const status& safetensors_writer::add(std::string_view name, const Weights& weights) noexcept {
    using layout = packed::layout_of<Weights>;
    const layout& w = weights.view();
    if (w.rows == 0 || w.cols == 0) return refuse(errc::shape_mismatch, "a packed layer is empty");
    const json_text key = detail::joined("pare.", name);
    json_text description;
    description.raw("{\"format\":").string(detail::format_of<Weights>);
    description.raw(",\"version\":1");
    detail::describe_type(description, std::type_identity<layout>{});
    description.raw(",\"dtype\":").string(packed::storage_name<typename layout::value_type>());
    description.raw(",\"rows\":").number(w.rows).raw(",\"cols\":").number(w.cols);
    detail::describe_shape(description, w);
    description.raw("}");
    for (const json_text* made : {&key, &std::as_const(description)})
        if (!keep(made->outcome())) return outcome_;
    add_metadata(key.view(), description.view());

    layout parts = w;
    detail::for_each_part(parts, std::type_identity<layout>{},
                          [&]<class T>(std::string_view part, const T* data, const auto& shape) {
                              const json_text full = detail::joined(name, part);
                              if (!keep(full.outcome())) return;
                              std::size_t size = 1;
                              for (const std::size_t extent : shape) size *= extent;
                              add(full.view(), dtype_of<T>(), shape,
                                  std::as_bytes(std::span(data, size)));
                          });
    return outcome_;
}

}  // namespace pare::io::inline PARE_ARCH_NAMESPACE

#endif  // PARE_IO_COMPRESSED_HPP
