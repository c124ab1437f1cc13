// SPDX-FileCopyrightText: the pare authors
// SPDX-License-Identifier: Apache-2.0
#ifndef PARE_TESTS_IO_FORGED_LAYER_HPP
#define PARE_TESTS_IO_FORGED_LAYER_HPP

#include "files.hpp"
#include "support/catch.hpp"

#include <pare/io/safetensors.hpp>

#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace pare::testing {

/// Writes a file with one compressed layer, w.
void save(const std::string& path, const auto& weights) {
    io::safetensors_writer out(path);
    out.add("w", weights);
    REQUIRE(out.commit());
}

inline io::safetensors_reader opened(const std::string& path) {
    auto file = io::safetensors_reader::open(path.c_str());
    REQUIRE(file);
    return *std::move(file);
}

/// The bytes of tensors, one after the other; of those that there are.
inline std::vector<std::byte> bytes_of(const io::safetensors_reader& file,
                                       std::initializer_list<std::string_view> names) {
    std::vector<std::byte> all;
    for (const std::string_view name : names)
        if (const auto tensor = file.find(name))
            all.insert(all.end(), tensor->bytes.begin(), tensor->bytes.end());
    return all;
}

/// The layer w of a file that a test may spoil: members of its description, and tensors.
template <class Layout>
struct forged_layer {
    struct tensor {
        std::vector<std::size_t> shape;
        std::vector<std::uint32_t> words;
        io::dtype type = io::dtype::u32;
    };
    std::map<std::string_view, std::string_view> members;
    std::map<std::string, tensor> tensors;

    result<Layout> load() const {
        const temporary_folder folder;
        std::string description;
        for (const auto& [name, value] : members)
            description.append(description.empty() ? "{\"" : ",\"")
                .append(name)
                .append("\":")
                .append(value);
        io::safetensors_writer out(folder / "f");
        out.add_metadata("pare.w", description + "}");
        for (const auto& [name, t] : tensors)
            out.add(name, t.type, t.shape, std::as_bytes(std::span(t.words)));
        REQUIRE(out.commit());
        return io::load<Layout>(opened(folder / "f"), "w");
    }

    /// What loading is once spoil(*this) was called.
    void check_refused(errc code, std::string_view message, auto&& spoil) const {
        forged_layer file = *this;
        spoil(file);
        const auto loaded = file.load();
        CAPTURE(message);
        REQUIRE_FALSE(loaded);
        CHECK(loaded.error().code == code);
        CHECK(loaded.error().message == message);
    }
};

}  // namespace pare::testing

#endif  // PARE_TESTS_IO_FORGED_LAYER_HPP
