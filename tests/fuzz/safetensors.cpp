// SPDX-FileCopyrightText: the pare authors
// SPDX-License-Identifier: Apache-2.0
// Any bytes at all must be refused or give tensors that lie within them. Seeds: corpus/safetensors,
// made by corpus/make_safetensors.py.
#include <pare/io/safetensors.hpp>
#include <pare/kernel/gemm.hpp>

#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <span>
#include <string_view>
#include <vector>

namespace {

void require(bool condition) {
    if (!condition) std::abort();
}

void walk(const pare::io::safetensors_reader& file, std::span<const std::byte> all) {
    std::size_t n_bytes = 0;
    for (const auto& tensor : file.tensors()) {
        const auto found = file.find(tensor.name);
        require(found && found->bytes.data() == tensor.bytes.data());
        require(tensor.bytes.empty() ||
                (tensor.bytes.data() >= all.data() &&
                 tensor.bytes.data() + tensor.bytes.size() <= all.data() + all.size()));
        require(pare::io::required_bytes(tensor.type, tensor.shape()) == tensor.bytes.size());
        n_bytes += tensor.bytes.size();
        std::vector<float> values(tensor.bytes.size());
        if (tensor.size() > values.size()) continue;  // less than a byte each
        const auto copied = pare::io::read_as_float(tensor, std::span(values).first(tensor.size()));
        const auto same = pare::io::elements<float>(tensor);
        if (same && !same->empty())
            require(copied && std::memcmp(same->data(), values.data(), same->size_bytes()) == 0);
    }
    require(n_bytes <= all.size());
    for (const auto& entry : file.metadata()) require(*file.metadata(entry.name) == entry.value);
}

template <class Layout>
void load(const pare::io::safetensors_reader& file) {
    for (const auto& entry : file.metadata()) {
        if (!entry.name.starts_with("pare.")) continue;
        const auto layer = pare::io::load<Layout>(file, entry.name.substr(5));
        if (!layer) continue;
        // Output channels in lanes, then tokens; both read whole tiles, padding included.
        for (const std::size_t tokens : {1u, 13u}) {
            const std::vector<float> x(layer->cols * tokens, 1.0f);
            std::vector<float> y(layer->rows * tokens);
            const pare::matrix_view<const float> features(x.data(), layer->cols, tokens);
            require(pare::gemm(*layer, features.transposed(),
                               pare::matrix_view<float>(y.data(), tokens, layer->rows))
                        .has_value());
        }
    }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    const auto bytes = std::as_bytes(std::span(data, size));
    const auto file = pare::io::safetensors_reader::parse(bytes);
    if (!file) {
        require(file.error().code == pare::errc::malformed_file && file.error().where <= size);
        return 0;
    }
    walk(*file, bytes);
    load<pare::packed::n_m<2, 4, pare::f16>>(*file);
    load<pare::packed::n_m<1, 3, float>>(*file);
    load<pare::packed::n_m<3, 5, pare::bf16>>(*file);
    load<pare::packed::dense<float>>(*file);
    load<pare::packed::hinm<2, 4, pare::f16>>(*file);
    load<pare::packed::hinm<1, 3, float>>(*file);
    load<pare::packed::block<4, float>>(*file);
    load<pare::packed::block<16, pare::f16>>(*file);
    using pare::packed::coded;
    load<pare::packed::n_m<2, 4, coded<pare::code_i4, 32, true>>>(*file);
    load<pare::packed::hinm<1, 3, coded<pare::code_nf4, 32>>>(*file);
    load<pare::packed::block<4, coded<pare::code_e4m3>>>(*file);
    return 0;
}
