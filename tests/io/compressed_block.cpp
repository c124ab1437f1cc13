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
using pare::bf16, pare::errc, pare::f16;
using pare::io::dtype;
namespace packed = pare::packed;

namespace {

constexpr std::size_t rows = 37, cols = 1030;  // two bands

using matrices = std::tuple<block_matrix<4, float>, block_matrix<8, f16>, block_matrix<16, bf16>,
                            block_matrix<32, float>>;

// Weights of 3 x 2 in two blocks of 4 rows, both cut short by the last row.
using forged = forged_layer<packed::block<4>>;
const forged valid{{{"format", "\"block\""},
                    {"version", "1"},
                    {"block_rows", "4"},
                    {"dtype", "\"f32\""},
                    {"rows", "3"},
                    {"cols", "2"},
                    {"n_blocks", "2"}},
                   {{"w.values", {{2, 4}, std::vector<std::uint32_t>(8), dtype::f32}},
                    {"w.starts", {{4}, {0, 1, 2, 2}}},
                    {"w.columns", {{1}, {1}}}}};

void check_refused(errc code, std::string_view message, auto&& spoil) {
    valid.check_refused(code, message, spoil);
}

}  // namespace

TEMPLATE_LIST_TEST_CASE("block weights that were saved are loaded with the same bytes", "",
                        matrices) {
    const temporary_folder folder;
    for (std::uint64_t seed = 0; seed < 4; ++seed) {
        const TestType weights(matrix::uniform(rows, cols, 1), seed);
        save(folder / "f", weights);
        const auto file = opened(folder / "f");
        const auto loaded = pare::io::load<TestType>(file, "w");
        CAPTURE(TestType::name(), seed);
        REQUIRE(loaded);
        const packed::block_shape &before = weights.view(), &after = *loaded;
        CHECK(before == after);
        CHECK(std::ranges::equal(file.find("w.values")->bytes, std::as_bytes(weights.values())));
        const auto starts = file.find("w.starts")->bytes, columns = file.find("w.columns")->bytes;
        const auto words = std::as_bytes(weights.words());
        CHECK(std::ranges::equal(starts, words.first(starts.size())));
        CHECK(std::ranges::equal(columns, words.subspan(starts.size())));
        matrix dense(rows, cols);
        REQUIRE(packed::unpack(*loaded, dense.view()));
        CHECK(dense.data() == weights.dense().data());
        save(folder / "g", *loaded);
        CHECK(read_text(folder / "f") == read_text(folder / "g"));
    }
}

TEST_CASE("block weights describe themselves") {
    const temporary_folder folder;
    const block_matrix<8, f16> weights(matrix::uniform(rows, cols, 1), 2);
    save(folder / "f", weights);
    const auto file = opened(folder / "f");
    const auto is = pare::io::describe_layer(file, "w");
    REQUIRE(is);
    CHECK(is->block_rows == 8);
    CHECK(is->n_blocks == weights.view().n_blocks);
    CHECK(*file.metadata("pare.w") ==
          R"({"format":"block","version":1,"block_rows":8,"dtype":"f16","rows":37,"cols":1030,)"
          R"("n_blocks":)" +
              std::to_string(is->n_blocks) + "}");
    CHECK(file.find("w.starts")->extents[0] == 2 * rows + 1);
}

TEST_CASE("load names what differs from the block layout that is asked for") {
    const temporary_folder folder;
    save(folder / "f", block_matrix<8, f16>(matrix::uniform(rows, cols, 1), 2));
    const auto refusal = [&]<class Layout>(std::type_identity<Layout>) {
        const auto file = opened(folder / "f");
        const auto loaded = pare::io::load<Layout>(file, "w");
        REQUIRE_FALSE(loaded);
        CHECK(loaded.error().code == errc::wrong_type);
        return std::string_view(loaded.error().message);
    };
    CHECK(refusal(std::type_identity<packed::n_m<2, 4, f16>>{}) == "the layer has another format");
    CHECK(refusal(std::type_identity<packed::block<4, f16>>{}) ==
          "the layer has blocks of other rows");
    CHECK(refusal(std::type_identity<packed::block<8, bf16>>{}) ==
          "the layer's values have another dtype");
}

TEST_CASE("load refuses forged tensors of blocks before a kernel can run on them") {
    REQUIRE(valid.load());
    for (const char* name : {"w.values", "w.starts", "w.columns"}) {
        CAPTURE(name);
        check_refused(errc::not_found, "no tensor of that name",
                      [&](forged& f) { f.tensors.erase(name); });
        check_refused(errc::malformed_file, "a layer's tensor does not have its described shape",
                      [&](forged& f) {
                          auto& [shape, words, type] = f.tensors[name];
                          words.resize(words.size() + words.size() / shape[0]);
                          ++shape[0];
                      });
    }
    const auto spoil = [](std::string_view message, const char* name, std::size_t i,
                          std::uint32_t word) {
        check_refused(errc::malformed_file, message,
                      [&](forged& f) { f.tensors[name].words[i] = word; });
    };
    spoil("starts do not count the blocks", "w.starts", 0, 1);
    spoil("starts do not count the blocks", "w.starts", 3, 0xffffffff);
    for (const std::uint32_t start : {3u, 0xffffffffu})
        spoil("starts do not ascend", "w.starts", 2, start);
    for (const std::uint32_t columns : {2u, 0xffffu, 0x20001u, 0x10001u})
        spoil("a block's column does not exist, is out of order or taken", "w.columns", 0, columns);
}

TEST_CASE("load reads the description of blocks with suspicion") {
    const auto check = [](std::string_view message, std::string_view member, const char* value) {
        CAPTURE(member, value);
        check_refused(errc::malformed_file, message, [&](forged& f) { f.members[member] = value; });
    };
    const char* const huge = "18446744073709551615";
    for (const char* const extent : {"rows", "cols"})
        for (const char* const value : {"0", "4294967296", huge})
            check("a layer is empty or too large", extent, value);
    for (const char* const value : {"4294967296", huge})
        check("a layer is too large", "n_blocks", value);
    check_refused(errc::malformed_file, "a layer is too large",
                  [](forged& f) { f.members["rows"] = f.members["cols"] = "4294967295"; });
    const char* const other_shape = "a layer's tensor does not have its described shape";
    for (const char* const value : {"1", "3", "4294967295"}) check(other_shape, "n_blocks", value);
    for (const char* const value : {"2", "4", "1000000"}) check(other_shape, "rows", value);
    check(other_shape, "cols", "1025");
    check("a block's column does not exist, is out of order or taken", "cols", "1");
}

// A layer that keeps nothing is a layer.
TEST_CASE("block weights without any block are saved and loaded") {
    const temporary_folder folder;
    const std::vector<std::uint32_t> starts(2 * rows + 1);
    const packed::block<8> none = packed::block<8>{{rows, cols, 0}}.over(nullptr, starts.data());
    save(folder / "f", none);
    const auto loaded = pare::io::load<packed::block<8>>(opened(folder / "f"), "w");
    REQUIRE(loaded);
    CHECK(loaded->n_blocks == 0);
}
