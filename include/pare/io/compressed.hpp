// SPDX-FileCopyrightText: the pare authors
// SPDX-License-Identifier: Apache-2.0
#ifndef PARE_IO_COMPRESSED_HPP
#define PARE_IO_COMPRESSED_HPP

#include "../packed/n_m.hpp"
#include "safetensors_reader.hpp"
#include "safetensors_writer.hpp"

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>
#include <type_traits>
#include <utility>

namespace pare::io {

/// What the metadata `pare.<name>` says of a compressed layer (docs/formats.md).
struct layer_description {
    std::string_view format;  ///< "n_m"
    std::size_t version = 0;  ///< 1
    std::size_t n = 0;
    std::size_t m = 0;
    std::string_view dtype;  ///< of the values: "f32", "f16", "bf16"
    std::size_t rows = 0;
    std::size_t cols = 0;
};

inline namespace PARE_ARCH_NAMESPACE {

namespace detail {

/// Of rows and of cols: rounded up to tiles, or counted in index bits, they still fit std::size_t,
/// of 32 bits too. Their product fits because the tensors of that size lie in memory.
inline constexpr std::size_t max_extent = sizeof(std::size_t) > 4 ? 0xffffffff : 0x03ffffff;

inline json_text joined(std::string_view a, std::string_view b) noexcept {
    json_text text;
    text.raw(a).raw(b);
    return text;
}

template <class Layout>
std::array<std::size_t, 3> values_shape(std::size_t rows, std::size_t cols) noexcept {
    return {Layout::tiles(rows), Layout::steps(cols), packed::tile_rows};
}
template <class Layout>
std::array<std::size_t, 3> indices_shape(std::size_t rows, std::size_t cols) noexcept {
    return {Layout::tiles(rows), Layout::index_words(cols), packed::tile_rows};
}

/// A tensor of a layer in place. @return wrong_type, not_found, malformed_file for another shape.
template <class T>
result<const T*> find_part(const safetensors_reader& file, std::string_view name,
                           std::string_view part, std::array<std::size_t, 3> shape) noexcept {
    const json_text full = joined(name, part);
    if (!full.outcome()) return full.outcome().error();
    const auto tensor = file.find(full.view());
    if (!tensor) return tensor.error();
    const auto found = view_as<T, 3>(*tensor);
    if (!found) return found.error();
    if (found->extents() != shape)
        return error{errc::malformed_file, "a layer's tensor does not have its described shape",
                     tensor->where};
    return found->data_handle();
}

template <int N, int M, class T>
result<packed::n_m<N, M, T>> load_packed(std::type_identity<packed::n_m<N, M, T>>,
                                         const safetensors_reader& file, std::string_view name,
                                         const layer_description& is) noexcept {
    using layout = packed::n_m<N, M, T>;
    if (is.format != "n_m") return error{errc::wrong_type, "the layer has another format than n_m"};
    if (is.version != 1) return error{errc::wrong_type, "the layer's format has another version"};
    if (is.n != N) return error{errc::wrong_type, "the layer has another N", is.n};
    if (is.m != M) return error{errc::wrong_type, "the layer has another M", is.m};
    if (is.dtype != dtype_name<T>())
        return error{errc::wrong_type, "the layer's values have another dtype"};
    if (is.rows == 0 || is.cols == 0 || is.rows > max_extent || is.cols > max_extent)
        return error{errc::malformed_file, "a layer is empty or too large"};

    layout loaded{is.rows, is.cols, nullptr, nullptr};
    const auto values = find_part<T>(file, name, ".values", values_shape<layout>(is.rows, is.cols));
    if (!values) return values.error();
    loaded.values = *values;
    if constexpr (layout::index_bits > 0) {
        const auto indices = find_part<std::uint32_t>(file, name, ".indices",
                                                      indices_shape<layout>(is.rows, is.cols));
        if (!indices) return indices.error();
        loaded.indices = *indices;
    }
    if (auto ok = packed::check(loaded); !ok) return ok.error();
    return loaded;
}

}  // namespace detail

/// What a file says of the compressed layer `name`; the texts are views of the file.
/// @return not_found when it has none, malformed_file with the position within the description.
inline result<layer_description> describe_layer(const safetensors_reader& file,
                                                std::string_view name) noexcept {
    const json_text key = detail::joined("pare.", name);
    if (!key.outcome()) return key.outcome().error();
    const auto text = file.metadata(key.view());
    if (!text) return error{errc::not_found, "no compressed layer of that name"};

    layer_description is;
    struct {
        std::string_view name;
        std::string_view* text;
        std::size_t* number;
        bool seen = false;
    } members[] = {{"format", &is.format, nullptr}, {"version", nullptr, &is.version},
                   {"n", nullptr, &is.n},           {"m", nullptr, &is.m},
                   {"dtype", &is.dtype, nullptr},   {"rows", nullptr, &is.rows},
                   {"cols", nullptr, &is.cols}};
    json_scanner in(*text, 0);
    in.object([&](std::string_view field) {
        for (auto& member : members) {
            if (member.name != field) continue;
            if (std::exchange(member.seen, true))
                return in.fail("a layer's description has a member twice");
            if (member.text != nullptr) *member.text = in.string();
            else *member.number = in.unsigned_integer();
            return;
        }
        if (in.at_string()) in.string();
        else in.unsigned_integer();
    });
    in.finish("a layer's description goes on after its end");
    if (!in.outcome()) return in.outcome().error();
    if (in.release().size() != 0)  // is.format would be a view of memory that ends here
        return error{errc::malformed_file, "a layer's description has escapes"};
    return is;
}

/// The compressed layer `name` in place: the layout's values and indices are views of the file,
/// which must stay open. `Weights` is the layout or a type that owns one (pare::layer). Every index
/// is checked, so a kernel stays within its memory whatever the file holds.
/// @return not_found; wrong_type for another format, N, M or dtype, or unaligned tensors;
/// malformed_file when tensors and description disagree or an index is out of range.
template <packed::n_m_weights Weights>
result<packed::layout_of<Weights>> load(const safetensors_reader& file,
                                        std::string_view name) noexcept {
    const auto description = describe_layer(file, name);
    if (!description) return description.error();
    return detail::load_packed(std::type_identity<packed::layout_of<Weights>>{}, file, name,
                               *description);
}

template <packed::n_m_weights Weights>
const status& safetensors_writer::add(std::string_view name, const Weights& weights) noexcept {
    using layout = packed::layout_of<Weights>;
    const layout& w = weights.view();
    if (w.rows == 0 || w.cols == 0) return refuse(errc::shape_mismatch, "a packed layer is empty");
    const json_text key = detail::joined("pare.", name), values = detail::joined(name, ".values"),
                    indices = detail::joined(name, ".indices");
    json_text description;
    description.raw("{\"format\":\"n_m\",\"version\":1,\"n\":").number(layout::n);
    description.raw(",\"m\":").number(layout::m);
    description.raw(",\"dtype\":").string(dtype_name<typename layout::value_type>());
    description.raw(",\"rows\":").number(w.rows).raw(",\"cols\":").number(w.cols).raw("}");
    for (const json_text* made : {&key, &values, &indices, &std::as_const(description)})
        if (!keep(made->outcome())) return outcome_;

    add_metadata(key.view(), description.view());
    add(values.view(), dtype_of<typename layout::value_type>(),
        detail::values_shape<layout>(w.rows, w.cols),
        std::as_bytes(std::span(w.values, layout::n_values(w.rows, w.cols))));
    if constexpr (layout::index_bits > 0)
        add(indices.view(), dtype::u32, detail::indices_shape<layout>(w.rows, w.cols),
            std::as_bytes(std::span(w.indices, layout::n_indices(w.rows, w.cols))));
    return outcome_;
}

}  // namespace PARE_ARCH_NAMESPACE
}  // namespace pare::io

#endif  // PARE_IO_COMPRESSED_HPP
