// SPDX-FileCopyrightText: the pare authors
// SPDX-License-Identifier: Apache-2.0
#ifndef PARE_IO_LAYER_DESCRIPTION_HPP
#define PARE_IO_LAYER_DESCRIPTION_HPP

#include "json_scanner.hpp"
#include "json_text.hpp"
#include "safetensors_reader.hpp"

#include <cstddef>
#include <string_view>
#include <utility>

namespace pare::io {

/// What the metadata `pare.<name>` says of a compressed layer (docs/formats.md).
struct layer_description {
    std::string_view format;  ///< "n_m", "hinm", "block"
    std::size_t version = 0;  ///< 1
    std::string_view dtype;   ///< of the values: "f32", "bf16", "i4:g32"
    std::size_t rows = 0;
    std::size_t cols = 0;
    std::size_t n = 0;  ///< of n_m and hinm, as m
    std::size_t m = 0;
    std::size_t tile_rows = 0;  ///< of hinm, as the following
    std::size_t kept = 0;
    std::size_t dense = 0;
    std::size_t in_place = 0;    ///< 1: there is no list of outputs
    std::size_t block_rows = 0;  ///< of block, as n_blocks
    std::size_t n_blocks = 0;
};

inline namespace PARE_ARCH_NAMESPACE {

namespace detail {

inline json_text joined(std::string_view a, std::string_view b) noexcept {
    json_text text;
    text.raw(a).raw(b);
    return text;
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
    } members[] = {{"format", &is.format, nullptr},
                   {"version", nullptr, &is.version},
                   {"n", nullptr, &is.n},
                   {"m", nullptr, &is.m},
                   {"dtype", &is.dtype, nullptr},
                   {"rows", nullptr, &is.rows},
                   {"cols", nullptr, &is.cols},
                   {"tile_rows", nullptr, &is.tile_rows},
                   {"kept", nullptr, &is.kept},
                   {"dense", nullptr, &is.dense},
                   {"in_place", nullptr, &is.in_place},
                   {"block_rows", nullptr, &is.block_rows},
                   {"n_blocks", nullptr, &is.n_blocks}};
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

}  // namespace PARE_ARCH_NAMESPACE
}  // namespace pare::io

#endif  // PARE_IO_LAYER_DESCRIPTION_HPP
