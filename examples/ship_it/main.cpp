// SPDX-FileCopyrightText: the pare authors
// SPDX-License-Identifier: Apache-2.0

// Saves a compressed layer, loads it again and runs it: the same outputs, bit for bit.
#include <pare/io/safetensors.hpp>
#include <pare/pare.hpp>

#include <cstdio>
#include <cstring>
#include <filesystem>
#include <string>
#include <vector>

namespace {

int report(const pare::error& e) {
    std::fprintf(stderr, "ship_it: %s\n", e.message);
    return 1;
}

}  // namespace

int main(int argc, char** argv) {
    const std::string path =
        argc > 1 ? argv[1]
                 : (std::filesystem::temp_directory_path() / "ship_it.pare.safetensors").string();
    constexpr std::size_t rows = 48, cols = 120;
    std::vector<float> weights(rows * cols), x(cols), before(rows), after(rows);
    pare::random random(1);
    for (float& v : weights) v = random.symmetric();
    for (float& v : x) v = random.symmetric();

    // [readme-ship]
    using layout = pare::packed::n_m<2, 4, pare::bf16>;
    const auto layer = pare::compress(pare::matrix_view<const float>(weights.data(), rows, cols),
                                      pare::prune::n_m<2, 4>{}, pare::quant::cast<pare::bf16>{});
    if (!layer) return report(layer.error());

    pare::io::safetensors_writer out(path);  // written beside, renamed when complete
    out.add("layers.0.mlp.up", *layer);
    if (auto done = out.commit(); !done) return report(done.error());

    const auto file = pare::io::safetensors_reader::open(path.c_str());
    if (!file) return report(file.error());
    const auto again = pare::io::load<layout>(*file, "layers.0.mlp.up");  // views into the file
    if (!again) return report(again.error());
    // [readme-ship]

    if (auto ok = pare::gemv(*layer, x, before); !ok) return report(ok.error());
    if (auto ok = pare::gemv(*again, x, after); !ok) return report(ok.error());
    const bool same = std::memcmp(before.data(), after.data(), rows * sizeof(float)) == 0;
    std::printf("%s: %zu bytes, outputs %s\n", path.c_str(),
                static_cast<std::size_t>(std::filesystem::file_size(path)),
                same ? "the same bits" : "DIFFERENT");
    std::filesystem::remove(path);
    return same ? 0 : 1;
}
