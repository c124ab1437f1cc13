// SPDX-FileCopyrightText: the pare authors
// SPDX-License-Identifier: Apache-2.0
#include <pare/io/safetensors.hpp>

#include "forged_layer.hpp"
#include "support/catch.hpp"
#include "support/layouts.hpp"
#include "support/matrix.hpp"

#include <pare/kernel/gemm.hpp>

#include <algorithm>
#include <array>
#include <cstring>
#include <span>
#include <string>
#include <string_view>
#include <tuple>
#include <type_traits>
#include <vector>

using namespace pare::testing;
using pare::bf16, pare::errc, pare::f16;
using pare::io::dtype;
using pare::io::safetensors_reader;
namespace packed = pare::packed;

namespace {

constexpr std::size_t rows = 37, cols = 29;  // a cut tile and cut groups

std::vector<float> outputs_of(const auto& weights, std::size_t tokens) {
    const matrix x = matrix::uniform(cols, tokens, 4);
    matrix y(tokens, rows);
    REQUIRE(pare::gemm(weights, x.view().transposed(), y.view()));
    return y.data();
}

using matrices = std::tuple<hinm_matrix<2, 4, 16, f16>, hinm_matrix<1, 4, 32, float>,
                            hinm_matrix<3, 7, 24, bf16>, hinm_matrix<1, 1, 4, float>>;

}  // namespace

TEMPLATE_LIST_TEST_CASE("hinm weights that were saved are loaded with the same bytes", "",
                        matrices) {
    const temporary_folder folder;
    for (std::uint64_t seed = 0; seed < 6; ++seed) {
        const TestType weights(matrix::uniform(rows, cols, 1), seed);
        save(folder / "f", weights);
        const auto file = opened(folder / "f");
        const auto loaded = pare::io::load<TestType>(file, "w");
        CAPTURE(TestType::name(), seed);
        REQUIRE(loaded);
        static_assert(std::is_same_v<decltype(*loaded), const typename TestType::layout&>);
        const packed::hinm_shape &before = weights.view(), &after = *loaded;
        CHECK(before == after);
        CHECK(std::ranges::equal(bytes_of(file, {"w.values", "w.dense"}),
                                 std::as_bytes(weights.values())));
        CHECK(std::ranges::equal(bytes_of(file, {"w.indices", "w.outputs", "w.columns"}),
                                 std::as_bytes(weights.words())));
        for (const std::size_t tokens : {1u, 8u, 13u}) {
            const auto expected = outputs_of(weights, tokens), got = outputs_of(*loaded, tokens);
            CHECK(std::memcmp(expected.data(), got.data(), got.size() * sizeof(float)) == 0);
        }
        // A layout, as loaded, can be saved again.
        save(folder / "g", *loaded);
        CHECK(read_text(folder / "f") == read_text(folder / "g"));
    }
}

TEST_CASE("hinm weights describe themselves") {
    const temporary_folder folder;
    const hinm_matrix<2, 4, 32, f16> weights(matrix::uniform(rows, cols, 1), 2);
    save(folder / "f", weights);
    const auto file = opened(folder / "f");
    CHECK(*file.metadata("pare.w") == R"({"format":"hinm","version":1,"n":2,"m":4,"dtype":"f16",)"
                                      R"("rows":37,"cols":29,)"
                                      R"("tile_rows":32,"kept":21,"dense":10,"in_place":0})");
    const auto is = pare::io::describe_layer(file, "w");
    REQUIRE(is);
    CHECK(is->format == "hinm");
    CHECK(is->tile_rows == 32);
    CHECK(is->kept == 21);
    CHECK(is->dense == 10);
    CHECK(is->in_place == 0);
    const auto has = [&](const char* name, dtype type, std::initializer_list<std::size_t> shape) {
        const auto tensor = file.find(name);
        return tensor && tensor->type == type && std::ranges::equal(tensor->shape(), shape);
    };
    // 37 compact rows, 11 grouped columns: 6 slots.
    CHECK(has("w.values", dtype::f16, {3, 6, 16}));
    CHECK(has("w.indices", dtype::u32, {3, 1, 16}));
    CHECK(has("w.dense", dtype::f16, {3, 10, 16}));
    CHECK(has("w.columns", dtype::u32, {2, 11}));
    CHECK(has("w.outputs", dtype::u32, {37}));
}

TEST_CASE("load names what differs from the hinm layout that is asked for") {
    const temporary_folder folder;
    save(folder / "f", hinm_matrix<2, 4, 16, f16>(matrix::uniform(rows, cols, 1), 2));
    save(folder / "g", packed_matrix<2, 4, f16>(matrix::uniform(rows, cols, 1), 2));
    const auto refusal = [&]<class Layout>(const char* name, std::type_identity<Layout>) {
        const auto file = opened(folder / name);
        const auto loaded = pare::io::load<Layout>(file, "w");
        REQUIRE_FALSE(loaded);
        CHECK(loaded.error().code == errc::wrong_type);
        return std::string_view(loaded.error().message);
    };
    using packed::hinm;
    CHECK(refusal("f", std::type_identity<packed::n_m<2, 4, f16>>{}) ==
          "the layer has another format");
    CHECK(refusal("g", std::type_identity<hinm<2, 4, f16>>{}) == "the layer has another format");
    CHECK(refusal("f", std::type_identity<hinm<1, 4, f16>>{}) == "the layer has another N");
    CHECK(refusal("f", std::type_identity<hinm<2, 8, f16>>{}) == "the layer has another M");
    CHECK(refusal("f", std::type_identity<hinm<2, 4, bf16>>{}) ==
          "the layer's values have another dtype");
}

namespace {

// A file with weights of 5 x 7, V = 2: of five columns two are dense, three 1:3 with 2 index bits,
// of which 3 is out of range. 33 compact rows.
using forged = forged_layer<packed::hinm<1, 3, float>>;
const forged valid{
    {{"format", "\"hinm\""},
     {"version", "1"},
     {"n", "1"},
     {"m", "3"},
     {"dtype", "\"f32\""},
     {"rows", "5"},
     {"cols", "7"},
     {"tile_rows", "2"},
     {"kept", "5"},
     {"dense", "2"},
     {"in_place", "0"}},
    {{"w.values", {{3, 1, 16}, std::vector<std::uint32_t>(48), dtype::f32}},
     {"w.indices", {{3, 1, 16}, std::vector<std::uint32_t>(48, 2)}},
     {"w.dense", {{3, 2, 16}, std::vector<std::uint32_t>(96), dtype::f32}},
     {"w.columns", {{3, 3}, {0x10000, 0x30002, 4, 0x20001, 0x40003, 5, 0x10002, 0x30006, 4}}},
     {"w.outputs", {{5}, {4, 0, 2, 1, 3}}}}};

void check_refused(errc code, std::string_view message, auto&& spoil) {
    valid.check_refused(code, message, spoil);
}

}  // namespace

TEST_CASE("load refuses forged tensors of hinm before a kernel can run on them") {
    REQUIRE(valid.load());

    for (const char* name : {"w.values", "w.indices", "w.dense", "w.columns", "w.outputs"}) {
        CAPTURE(name);
        check_refused(errc::not_found, "no tensor of that name",
                      [&](forged& f) { f.tensors.erase(name); });
        check_refused(errc::wrong_type, "the tensor has another dtype",
                      [&](forged& f) { f.tensors[name].type = dtype::i32; });
        const std::string_view other_shape = "a layer's tensor does not have its described shape";
        check_refused(errc::malformed_file, other_shape, [&](forged& f) {
            auto& [shape, words, type] = f.tensors[name];
            shape = {words.size(), 1, 1, 1};
        });
        check_refused(errc::malformed_file, other_shape, [&](forged& f) {
            auto& [shape, words, type] = f.tensors[name];
            words.resize(words.size() / shape[0] * (shape[0] - 1));
            --shape[0];
        });
    }

    for (const std::size_t row : {0u, 2u, 15u, 16u, 33u, 47u})  // of weights and of padding
        check_refused(errc::malformed_file, "an index lies outside its group or out of order",
                      [&](forged& f) { f.tensors["w.indices"].words[row] = 3; });
    for (const std::uint32_t output : {5u, 3u, 0xffffffffu})
        check_refused(errc::malformed_file, "hinm_order: outputs are no permutation",
                      [&](forged& f) { f.tensors["w.outputs"].words[0] = output; });
    for (const std::uint32_t columns : {0x30007u, 0x70003u, 0xffff0002u, 0x30003u, 0x10003u})
        check_refused(errc::malformed_file,
                      "hinm_order: a tile keeps a column twice or one out of range",
                      [&](forged& f) { f.tensors["w.columns"].words[1] = columns; });
}

TEST_CASE("load reads the description of hinm with suspicion") {
    const auto check = [](std::string_view message, std::string_view member, const char* value) {
        CAPTURE(member, value);
        check_refused(errc::malformed_file, message, [&](forged& f) { f.members[member] = value; });
    };
    const char* const huge = "18446744073709551615";
    const char* const too_large = "a layer is empty or too large";
    for (const char* const extent : {"rows", "cols"})
        for (const char* const value : {"0", "4294967296", huge}) check(too_large, extent, value);

    const char* const unsound = "a layer has a shape that hinm cannot have";
    for (const char* const value : {"0", "1025", huge}) check(unsound, "tile_rows", value);
    for (const char* const value : {"0", "1", "8", huge}) check(unsound, "kept", value);
    for (const char* const value : {"6", huge}) check(unsound, "dense", value);
    for (const char* const value : {"2", huge}) check(unsound, "in_place", value);
    check(unsound, "cols", "65537");
    for (const char* const missing : {"tile_rows", "kept"})
        check_refused(errc::malformed_file, unsound, [&](forged& f) { f.members.erase(missing); });

    const char* const other_shape = "a layer's tensor does not have its described shape";
    for (const char* const value : {"34", "4294967295"}) check(other_shape, "rows", value);
    for (const char* const value : {"1", "3", "1024"}) check(other_shape, "tile_rows", value);
    for (const char* const value : {"3", "4", "7"}) check(other_shape, "kept", value);
    check(other_shape, "dense", "1");
    // The columns that remain when there are fewer.
    check("hinm_order: a tile keeps a column twice or one out of range", "cols", "6");

    check_refused(errc::wrong_type, "the layer's format has another version",
                  [](forged& f) { f.members["version"] = "2"; });
    // Rows in place need no list of them; one that is there is another tensor.
    forged in_place = valid;
    in_place.members["in_place"] = "1";
    const auto loaded = in_place.load();
    REQUIRE(loaded);
    CHECK(loaded->output(4) == 4);
    // Claims of many rows with nothing to show for them.
    check_refused(errc::malformed_file, unsound, [&](forged& f) {
        f.members["in_place"] = "1";
        f.members["rows"] = "10000000";
        f.members["kept"] = f.members["dense"] = "0";
        f.tensors.clear();
        f.tensors["w.values"] = {{5000000, 0, 16}, {}, dtype::f32};
        f.tensors["w.indices"] = {{5000000, 0, 16}, {}};
        f.tensors["w.columns"] = {{5000000, 0}, {}};
    });
}
