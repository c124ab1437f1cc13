// SPDX-FileCopyrightText: the pare authors
// SPDX-License-Identifier: Apache-2.0
#include <pare/io/safetensors.hpp>

#include "forged_layer.hpp"
#include "support/catch.hpp"
#include "support/layouts.hpp"
#include "support/matrix.hpp"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <tuple>
#include <type_traits>
#include <vector>

using namespace pare::testing;
using pare::code_e4m3, pare::code_i4, pare::code_i8, pare::code_nf4, pare::errc;
using pare::io::dtype;
namespace packed = pare::packed;
using packed::coded;

namespace {

constexpr std::size_t rows = 37, cols = 129;

using groups = packed_matrix<2, 4, coded<code_i4, 32>>;
using tiles = hinm_matrix<2, 4, 16, coded<code_nf4, 64>>;
using blocks = block_matrix<8, coded<code_e4m3, 32>>;
using matrices = std::tuple<groups, packed_matrix<1, 1, coded<code_i8, 0, true>>, tiles, blocks>;

// Dense i4 of 2 x 40, two groups of 32: two halves of a word of scales for each of 16 rows.
using forged = forged_layer<packed::dense<coded<code_i4, 32>>>;
const forged valid{{{"format", "\"n_m\""},
                    {"version", "1"},
                    {"n", "1"},
                    {"m", "1"},
                    {"dtype", "\"i4:g32\""},
                    {"rows", "2"},
                    {"cols", "40"}},
                   {{"w.values", {{1, 8, 16}, std::vector<std::uint32_t>(128, 0x12345678)}},
                    {"w.scales", {{1, 1, 16}, std::vector<std::uint32_t>(16, 0x3f804000)}}}};

void check_refused(errc code, std::string_view message, auto&& spoil) {
    valid.check_refused(code, message, spoil);
}

}  // namespace

TEMPLATE_LIST_TEST_CASE("coded weights that were saved are loaded with the same bytes", "",
                        matrices) {
    const temporary_folder folder;
    for (std::uint64_t seed = 1; seed < 4; ++seed) {
        const TestType weights(matrix::uniform(rows, cols, 1), seed);
        save(folder / "f", weights);
        const auto file = opened(folder / "f");
        const auto loaded = pare::io::load<TestType>(file, "w");
        CAPTURE(TestType::name(), seed);
        REQUIRE(loaded);
        CHECK(std::ranges::equal(bytes_of(file, {"w.values", "w.dense"}),
                                 std::as_bytes(weights.values())));
        const auto lists = packed::block_weights<TestType>
                               ? bytes_of(file, {"w.starts", "w.columns", "w.scales"})
                               : bytes_of(file, {"w.indices", "w.scales", "w.dense_scales",
                                                 "w.outputs", "w.columns"});
        CHECK(std::ranges::equal(lists, std::as_bytes(weights.words())));
        matrix restored(rows, cols);
        REQUIRE(packed::unpack(*loaded, restored.view()));
        CHECK(restored.data() == weights.dense().data());
        save(folder / "g", *loaded);
        CHECK(read_text(folder / "f") == read_text(folder / "g"));
    }
}

TEST_CASE("coded weights describe themselves") {
    const temporary_folder folder;
    const auto described = [&](const auto& weights) {
        save(folder / "f", weights);
        return std::string(*opened(folder / "f").metadata("pare.w"));
    };
    const auto has = [&](const char* name, std::initializer_list<std::size_t> shape) {
        const auto file = opened(folder / "f");
        const auto tensor = file.find(name);
        return tensor && tensor->type == dtype::u32 && std::ranges::equal(tensor->shape(), shape);
    };
    const matrix weights = matrix::uniform(rows, cols, 1);
    CHECK(described(groups(weights, 2)) ==
          R"({"format":"n_m","version":1,"n":2,"m":4,"dtype":"i4:g32","rows":37,"cols":129})");
    // 65 steps fill 96: 12 words of codes, 6 of indices, 3 scales in 2 words.
    CHECK(has("w.values", {3, 12, 16}));
    CHECK(has("w.indices", {3, 6, 16}));
    CHECK(has("w.scales", {3, 2, 16}));

    const tiles compact(weights, 2);
    const auto& [s, grouped] = std::pair<const packed::hinm_shape&, std::size_t>(
        compact.view(), compact.view().compact_grouped().steps());
    CHECK(described(compact).find(R"("dtype":"nf4:g64")") != std::string::npos);
    CHECK(has("w.values", {3, (grouped + 31) / 32 * 4, 16}));
    CHECK(has("w.scales", {3, ((grouped + 63) / 64 + 1) / 2, 16}));
    CHECK(has("w.dense", {3, (s.dense + 31) / 32 * 4, 16}));
    CHECK(has("w.dense_scales", {3, ((s.dense + 63) / 64 + 1) / 2, 16}));

    const blocks in_blocks(weights, 2);
    CHECK(described(in_blocks).find(R"("block_rows":8,"dtype":"e4m3:g32")") != std::string::npos);
    CHECK(has("w.values", {in_blocks.view().n_blocks * 2}));
    CHECK(has("w.scales", {(5 * rows + 1) / 2}));
}

TEST_CASE("load names another code, group or zero point than the one that is asked for") {
    const temporary_folder folder;
    save(folder / "f", groups(matrix::uniform(rows, cols, 1), 2));
    const auto refused = [&]<class T>(std::type_identity<T>) {
        const auto loaded = pare::io::load<packed::n_m<2, 4, T>>(opened(folder / "f"), "w");
        REQUIRE_FALSE(loaded);
        CHECK(loaded.error().code == errc::wrong_type);
        CHECK(loaded.error().message == std::string_view("the layer's values have another dtype"));
    };
    refused(std::type_identity<coded<code_nf4, 32>>{});
    refused(std::type_identity<coded<code_i4, 64>>{});
    refused(std::type_identity<coded<code_i4>>{});
    refused(std::type_identity<coded<code_i4, 32, true>>{});
    refused(std::type_identity<pare::f16>{});
}

TEST_CASE("load refuses forged codes and scales before a kernel can run on them") {
    const auto loaded = valid.load();
    REQUIRE(loaded);
    for (const char* name : {"w.values", "w.scales"}) {
        CAPTURE(name);
        check_refused(errc::not_found, "no tensor of that name",
                      [&](forged& f) { f.tensors.erase(name); });
        check_refused(errc::wrong_type, "the tensor has another dtype",
                      [&](forged& f) { f.tensors[name].type = dtype::f32; });
        check_refused(errc::malformed_file, "a layer's tensor does not have its described shape",
                      [&](forged& f) {
                          auto& [shape, words, type] = f.tensors[name];
                          words.resize(words.size() + 16);
                          ++shape[1];
                      });
    }
    for (const std::size_t row : {0u, 1u, 15u})  // of weights and of padding
        for (const std::uint32_t scales : {0x7fc03f80u, 0x3f807f80u, 0x3f80bf80u, 0xff803f80u})
            check_refused(errc::malformed_file, "a scale or a zero point is none",
                          [&](forged& f) { f.tensors["w.scales"].words[row] = scales; });
    // What the file holds is less than what these would read.
    for (const char* const value : {"17", "4294967295"})
        check_refused(errc::malformed_file, "a layer's tensor does not have its described shape",
                      [&](forged& f) { f.members["rows"] = value; });
    for (const char* const value : {"32", "65", "4294967295"})
        check_refused(errc::malformed_file, "a layer's tensor does not have its described shape",
                      [&](forged& f) { f.members["cols"] = value; });
}

TEST_CASE("load refuses forged scales of blocks and of the dense columns of hinm") {
    // 4 rows, 1 column of which one block keeps all; scales 1 1, 1 1.
    const forged_layer<packed::block<4, coded<code_i8>>> in_blocks{
        {{"format", "\"block\""},
         {"version", "1"},
         {"block_rows", "4"},
         {"dtype", "\"i8\""},
         {"rows", "4"},
         {"cols", "1"},
         {"n_blocks", "1"}},
        {{"w.values", {{1}, {0x01020304}}},
         {"w.starts", {{5}, {0, 1, 1, 1, 1}}},
         {"w.columns", {{1}, {0}}},
         {"w.scales", {{2}, {0x3f803f80, 0x3f803f80}}}}};
    REQUIRE(in_blocks.load());
    in_blocks.check_refused(errc::malformed_file, "a scale or a zero point is none",
                            [](auto& f) { f.tensors["w.scales"].words[1] = 0x7f803f80; });
    in_blocks.check_refused(errc::malformed_file,
                            "a layer's tensor does not have its described shape", [](auto& f) {
                                f.tensors["w.scales"] = {{3}, {0, 0, 0}};
                            });

    // 1 row, 3 columns: one dense, two of 1:2. A zero point of i4 is at most 7.
    const forged_layer<packed::hinm<1, 2, coded<code_i4, 0, true>>> compact{
        {{"format", "\"hinm\""},
         {"version", "1"},
         {"n", "1"},
         {"m", "2"},
         {"dtype", "\"i4:a\""},
         {"rows", "1"},
         {"cols", "3"},
         {"tile_rows", "1"},
         {"kept", "3"},
         {"dense", "1"},
         {"in_place", "1"}},
        {{"w.values", {{1, 4, 16}, std::vector<std::uint32_t>(64)}},
         {"w.dense", {{1, 4, 16}, std::vector<std::uint32_t>(64)}},
         {"w.indices", {{1, 1, 16}, std::vector<std::uint32_t>(16)}},
         {"w.scales", {{1, 1, 16}, std::vector<std::uint32_t>(16, 0x3f800007)}},
         {"w.dense_scales", {{1, 1, 16}, std::vector<std::uint32_t>(16, 0x3f80fff8)}},
         {"w.columns", {{1, 2}, {0x10000, 2}}}}};
    REQUIRE(compact.load());
    for (const char* name : {"w.scales", "w.dense_scales"})
        for (const std::uint32_t scale : {0x3f800008u, 0xbf800000u})
            compact.check_refused(errc::malformed_file, "a scale or a zero point is none",
                                  [&](auto& f) { f.tensors[name].words[15] = scale; });
}
