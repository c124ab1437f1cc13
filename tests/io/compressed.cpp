// SPDX-FileCopyrightText: the pare authors
// SPDX-License-Identifier: Apache-2.0
#include <pare/io/safetensors.hpp>

#include "files.hpp"
#include "support/catch.hpp"

#include <pare/pare.hpp>

#include <array>
#include <cstring>
#include <string>
#include <string_view>
#include <tuple>
#include <vector>

using pare::io::dtype;
using pare::io::safetensors_reader;
using pare::io::safetensors_writer;
using pare::testing::temporary_folder;

namespace {

constexpr std::size_t rows = 37, cols = 29;  // a cut tile and cut groups

std::vector<float> random_floats(std::size_t n, std::uint64_t seed) {
    pare::random random(seed);
    std::vector<float> values(n);
    for (float& v : values) v = random.symmetric();
    return values;
}

template <class Layout>
pare::result<pare::layer<Layout>> make_layer() {
    const auto weights = random_floats(rows * cols, 3);
    return pare::compress(pare::matrix_view<const float>(weights.data(), rows, cols),
                          pare::prune::n_m<Layout::n, Layout::m>{},
                          pare::quant::cast<typename Layout::value_type>{});
}

std::vector<float> outputs_of(const auto& weights, std::size_t tokens) {
    const auto x = random_floats(tokens * cols, 4);
    std::vector<float> y(tokens * rows);
    REQUIRE(pare::gemm(weights, pare::matrix_view<const float>(x.data(), tokens, cols),
                       pare::matrix_view<float>(y.data(), tokens, rows)));
    return y;
}

using two_four = pare::packed::n_m<2, 4, pare::f16>;
using layouts = std::tuple<two_four, pare::packed::n_m<1, 4, float>,
                           pare::packed::n_m<2, 8, pare::bf16>, pare::packed::n_m<5, 7, float>,
                           pare::packed::n_m<3, 32, pare::f16>, pare::packed::n_m<2, 2, float>,
                           pare::packed::dense<pare::f16>, pare::packed::dense<float>>;

}  // namespace

TEMPLATE_LIST_TEST_CASE("a compressed layer that was saved is loaded with the same bytes", "",
                        layouts) {
    const temporary_folder folder;
    const std::array<std::byte, 3> bias{};
    const auto layer = make_layer<TestType>();
    REQUIRE(layer);
    safetensors_writer out(folder / "f");
    out.add("bias", dtype::u8, std::array<std::size_t, 1>{3}, bias);
    out.add("layers.0.up", *layer);
    REQUIRE(out.commit());

    const auto file = safetensors_reader::open((folder / "f").c_str());
    REQUIRE(file);
    const auto loaded = pare::io::load<typename std::remove_cvref_t<decltype(layer)>::value_type>(
        *file, "layers.0.up");
    REQUIRE(loaded);
    static_assert(std::is_same_v<decltype(*loaded), const TestType&>);
    const TestType& before = layer->view();
    CHECK(loaded->rows == rows);
    CHECK(loaded->cols == cols);
    CHECK(std::memcmp(loaded->values, before.values,
                      before.n_values(rows, cols) * sizeof(*before.values)) == 0);
    CHECK((TestType::index_bits == 0 ||
           std::memcmp(loaded->indices, before.indices, before.n_indices(rows, cols) * 4) == 0));
    CHECK(reinterpret_cast<std::uintptr_t>(loaded->values) % 32 == 0);

    // A layout, as loaded, can be saved again.
    safetensors_writer again(folder / "g");
    again.add("bias", dtype::u8, std::array<std::size_t, 1>{3}, bias);
    again.add("layers.0.up", *loaded);
    REQUIRE(again.commit());
    CHECK(pare::testing::read_text(folder / "f") == pare::testing::read_text(folder / "g"));
}

TEST_CASE("a compressed layer that was saved and loaded computes the same bits") {
    const temporary_folder folder;
    const auto layer = make_layer<two_four>();
    REQUIRE(layer);
    safetensors_writer out(folder / "f");
    out.add("w", *layer);
    REQUIRE(out.commit());
    const auto file = safetensors_reader::open((folder / "f").c_str());
    REQUIRE(file);
    const auto loaded = pare::io::load<two_four>(*file, "w");
    REQUIRE(loaded);
    for (const std::size_t tokens : {1u, 8u, 13u}) {
        const auto expected = outputs_of(*layer, tokens), got = outputs_of(*loaded, tokens);
        CHECK(std::memcmp(expected.data(), got.data(), got.size() * sizeof(float)) == 0);
    }
}

TEST_CASE("a compressed layer describes itself") {
    const temporary_folder folder;
    const auto layer = make_layer<two_four>();
    REQUIRE(layer);
    safetensors_writer out(folder / "f");
    out.add("w", *layer);
    REQUIRE(out.commit());
    const auto file = safetensors_reader::open((folder / "f").c_str());
    REQUIRE(file);
    CHECK(*file->metadata("pare.w") ==
          R"({"format":"n_m","version":1,"n":2,"m":4,"dtype":"f16","rows":37,"cols":29})");
    const auto is = pare::io::describe_layer(*file, "w");
    REQUIRE(is);
    CHECK(is->format == "n_m");
    CHECK(is->n == 2);
    CHECK(is->m == 4);
    CHECK(is->dtype == "f16");
    CHECK(is->rows == rows);
    CHECK(is->cols == cols);
    const auto values = file->find("w.values"), indices = file->find("w.indices");
    REQUIRE((values && indices));
    CHECK(values->type == dtype::f16);
    CHECK(indices->type == dtype::u32);
    const std::array<std::size_t, 3> values_shape{3, 15, 16}, indices_shape{3, 1, 16};
    CHECK(std::equal(values_shape.begin(), values_shape.end(), values->shape().begin()));
    CHECK(std::equal(indices_shape.begin(), indices_shape.end(), indices->shape().begin()));
}

TEST_CASE("load names what differs from the layout that is asked for") {
    const temporary_folder folder;
    const auto layer = make_layer<two_four>();
    REQUIRE(layer);
    safetensors_writer out(folder / "f");
    out.add("w", *layer);
    REQUIRE(out.commit());
    const auto file = safetensors_reader::open((folder / "f").c_str());
    REQUIRE(file);
    const auto refused = [&]<class Layout>(std::string_view name, std::type_identity<Layout>) {
        const auto loaded = pare::io::load<Layout>(*file, name);
        REQUIRE_FALSE(loaded);
        return loaded.error();
    };
    using pare::packed::n_m;
    const auto absent = refused("v", std::type_identity<two_four>{});
    CHECK(absent.code == pare::errc::not_found);
    const auto n = refused("w", std::type_identity<n_m<1, 4, pare::f16>>{});
    CHECK(n.code == pare::errc::wrong_type);
    CHECK(n.message == std::string_view("the layer has another N"));
    CHECK(n.where == 2);
    const auto m = refused("w", std::type_identity<n_m<2, 8, pare::f16>>{});
    CHECK(m.message == std::string_view("the layer has another M"));
    CHECK(m.where == 4);
    const auto type = refused("w", std::type_identity<n_m<2, 4, pare::bf16>>{});
    CHECK(type.code == pare::errc::wrong_type);
    CHECK(type.message == std::string_view("the layer's values have another dtype"));
}

TEST_CASE("a layer with no weights is not saved") {
    const temporary_folder folder;
    safetensors_writer out(folder / "f");
    const two_four empty{};
    CHECK_FALSE(out.add("w", empty));
    CHECK(out.commit().error().code == pare::errc::shape_mismatch);
}

namespace {

using one_three = pare::packed::n_m<1, 3, float>;  // 2 index bits, of which 3 is out of range

/// A file with a 1:3 layer of 16 x 6 (2 steps), as described and with these index words.
struct forged {
    std::string description =
        R"({"format":"n_m","version":1,"n":1,"m":3,"dtype":"f32","rows":16,"cols":6})";
    std::array<std::size_t, 3> values_shape{1, 2, 16}, indices_shape{1, 1, 16};
    dtype values_type = dtype::f32, indices_type = dtype::u32;
    std::uint32_t index_word = 0b0110;  // places 2 and 1
    bool has_indices = true;

    pare::result<one_three> load() const {
        const temporary_folder folder;
        const std::vector<float> values(64, 1.0f);
        const std::vector<std::uint32_t> words(64, index_word);
        const auto bytes = [](std::span<const std::byte> all, dtype type, const auto& shape) {
            return all.first(*pare::io::required_bytes(type, shape));
        };
        safetensors_writer out(folder / "f");
        out.add_metadata("pare.w", description);
        out.add("w.values", values_type, values_shape,
                bytes(std::as_bytes(std::span(values)), values_type, values_shape));
        if (has_indices)
            out.add("w.indices", indices_type, indices_shape,
                    bytes(std::as_bytes(std::span(words)), indices_type, indices_shape));
        REQUIRE(out.commit());
        const auto file = safetensors_reader::open((folder / "f").c_str());
        REQUIRE(file);
        return pare::io::load<one_three>(*file, "w");
    }
    void expect(pare::errc code, std::string_view message) const {
        const auto loaded = load();
        CAPTURE(message);
        REQUIRE_FALSE(loaded);
        CHECK(loaded.error().code == code);
        CHECK(loaded.error().message == message);
    }
    void expect_description(std::string_view text, pare::errc code,
                            std::string_view message) const {
        forged other = *this;
        other.description = text;
        other.expect(code, message);
    }
};

}  // namespace

TEST_CASE("load refuses a forged layer before a kernel can run on it") {
    using pare::errc;
    const forged sound;
    REQUIRE(sound.load());

    forged f = sound;
    f.index_word = 0b0111;
    f.expect(errc::malformed_file, "an index lies outside its group or out of order");

    const char* const other_shape = "a layer's tensor does not have its described shape";
    f = sound;
    f.values_shape = {2, 1, 16};
    f.expect(errc::malformed_file, other_shape);
    f = sound;
    f.values_shape = {1, 1, 16};
    f.expect(errc::malformed_file, other_shape);
    f = sound;
    f.indices_shape = {1, 2, 16};
    f.expect(errc::malformed_file, other_shape);
    f = sound;
    f.values_type = dtype::i32;
    f.expect(errc::wrong_type, "the tensor has another dtype");
    f = sound;
    f.indices_type = dtype::i32;
    f.expect(errc::wrong_type, "the tensor has another dtype");
    f = sound;
    f.has_indices = false;
    f.expect(errc::not_found, "no tensor of that name");
}

TEST_CASE("load reads the description with suspicion") {
    using pare::errc;
    const forged sound;
    const std::string head = R"({"format":"n_m","version":1,"n":1,"m":3,"dtype":"f32",)";
    const char* const too_large = "a layer is empty or too large";
    const char* const other_shape = "a layer's tensor does not have its described shape";
    // Sizes whose arithmetic would wrap to what the file holds, or to nothing.
    sound.expect_description(head + R"("rows":0,"cols":6})", errc::malformed_file, too_large);
    sound.expect_description(head + R"("rows":16,"cols":0})", errc::malformed_file, too_large);
    sound.expect_description(head + R"("rows":16})", errc::malformed_file, too_large);
    sound.expect_description(head + R"("rows":18446744073709551615,"cols":6})",
                             errc::malformed_file, too_large);
    sound.expect_description(head + R"("rows":16,"cols":18446744073709551615})",
                             errc::malformed_file, too_large);
    sound.expect_description(head + R"("rows":17,"cols":6})", errc::malformed_file, other_shape);
    sound.expect_description(head + R"("rows":16,"cols":7})", errc::malformed_file, other_shape);

    sound.expect_description("", errc::malformed_file, "an object is expected");
    sound.expect_description("{", errc::malformed_file, "a string is expected");
    sound.expect_description("{}", errc::wrong_type, "the layer has another format");
    sound.expect_description("{} ?", errc::malformed_file,
                             "a layer's description goes on after its end");
    sound.expect_description(R"({"n":-1})", errc::malformed_file,
                             "an unsigned integer is expected");
    sound.expect_description(R"({"format":"hinm","v":32})", errc::wrong_type,
                             "the layer has another format");
    sound.expect_description(R"({"format":"n_m","version":2})", errc::wrong_type,
                             "the layer's format has another version");
    sound.expect_description(R"({"format":"n\u005fm"})", errc::malformed_file,
                             "a layer's description has escapes");

    const char* const twice = "a layer's description has a member twice";
    sound.expect_description(head + R"("rows":16,"cols":6,"rows":16})", errc::malformed_file,
                             twice);
    sound.expect_description(head + R"("rows":16,"cols":6,"format":"n_m"})", errc::malformed_file,
                             twice);
    sound.expect_description(R"({"n":1,"n":1})", errc::malformed_file, twice);

    forged more = sound;  // members that this version does not know are passed over
    more.description.back() = ',';
    more.description += R"("tool":"x","order":7})";
    CHECK(more.load());
}

TEST_CASE("load refuses values that are not aligned") {
    const std::string header =
        R"({"__metadata__":{"pare.w":"{\"format\":\"n_m\",\"version\":1,\"n\":1,\"m\":1,)"
        R"(\"dtype\":\"f16\",\"rows\":1,\"cols\":1}"},)"
        R"("w.values":{"dtype":"F16","shape":[1,1,16],"data_offsets":[0,32]}})";
    const auto bytes = pare::testing::safetensors_bytes(header, 32);
    for (const std::size_t shift : {0u, 1u}) {
        std::vector<std::byte> memory(bytes.size() + shift);
        std::memcpy(memory.data() + shift, bytes.data(), bytes.size());
        const auto file = safetensors_reader::parse(std::span(memory).subspan(shift));
        REQUIRE(file);
        const auto loaded = pare::io::load<pare::packed::dense<pare::f16>>(*file, "w");
        CHECK(loaded.has_value() == ((header.size() + shift) % 2 == 0));
        if (!loaded) CHECK(loaded.error().code == pare::errc::wrong_type);
    }
}
