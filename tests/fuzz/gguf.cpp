// SPDX-FileCopyrightText: the pare authors
// SPDX-License-Identifier: Apache-2.0
// Any bytes at all must be refused or give tensors and values that lie within them. Seeds:
// corpus/gguf, made by corpus/make_gguf.py.
#include <pare/io/gguf_reader.hpp>

#include <cstdint>
#include <cstdlib>
#include <span>
#include <vector>

namespace {

void require(bool condition) {
    if (!condition) std::abort();
}

bool within(std::span<const std::byte> part, std::span<const std::byte> all) {
    return part.empty() ||
           (part.data() >= all.data() && part.data() + part.size() <= all.data() + all.size());
}

void walk(const pare::io::gguf_reader& file, std::span<const std::byte> all) {
    std::size_t n_bytes = 0;
    for (const auto& tensor : file.tensors()) {
        const auto found = file.find(tensor.name);
        require(found && found->bytes.data() == tensor.bytes.data());
        require(within(tensor.bytes, all));
        require(pare::io::required_bytes(tensor.type, tensor.shape()) == tensor.bytes.size());
        n_bytes += tensor.bytes.size();
        if (tensor.size() > 8 * all.size()) continue;  // of types that take less than a bit each
        std::vector<float> values(tensor.size());
        const auto copied = pare::io::read_as_float(tensor, values);
        require(copied || copied.error().code == pare::errc::wrong_type);
    }
    require(n_bytes <= all.size());
}

void walk(const pare::io::gguf_value& value, std::span<const std::byte> all) {
    std::size_t n = 0;
    value.for_each([&](const pare::io::gguf_value& element) {
        ++n;
        require(within(element.bytes, value.bytes) && !element.is_array);
        require(element.text() || element.number() || element.boolean());
        require(element.bytes.empty() || element.bytes.data() == all.data() + element.where);
    });
    require(n == value.size);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    const auto bytes = std::as_bytes(std::span(data, size));
    const auto file = pare::io::gguf_reader::parse(bytes);
    if (!file) {
        require(file.error().code == pare::errc::malformed_file && file.error().where <= size);
        return 0;
    }
    walk(*file, bytes);
    for (const auto& entry : file->metadata()) {
        require(file->metadata(entry.name)->bytes.data() == entry.value.bytes.data());
        walk(entry.value, bytes);
    }
    return 0;
}
