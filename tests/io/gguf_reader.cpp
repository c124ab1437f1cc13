// SPDX-FileCopyrightText: the pare authors
// SPDX-License-Identifier: Apache-2.0
#include <pare/io/gguf_reader.hpp>

#include "files.hpp"
#include "gguf_file.hpp"
#include "support/catch.hpp"

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

using pare::io::gguf_reader;
using pare::io::gguf_type;
using pare::testing::bytes_of;
using pare::testing::gguf_file;
using pare::testing::gguf_text;
using namespace std::string_view_literals;

namespace {

// Types as numbered in the file.
constexpr std::uint32_t u8 = 0, i8 = 1, u16 = 2, i16 = 3, u32 = 4, i32 = 5, f32 = 6, boolean = 7,
                        text = 8, array = 9, u64 = 10, i64 = 11, f64 = 12;
constexpr std::uint32_t F32 = 0, F16 = 1, Q4_0 = 2, Q8_0 = 8, Q6_K = 14, I16 = 25, BF16 = 30;

pare::result<gguf_reader> parse(const std::string& file) {
    return gguf_reader::parse(std::as_bytes(std::span(file)));
}

std::vector<float> floats_of(const gguf_reader& file, std::string_view name) {
    const auto tensor = file.find(name);
    REQUIRE(tensor);
    std::vector<float> values(tensor->size());
    REQUIRE(pare::io::read_as_float(*tensor, values));
    return values;
}

// A block whose scale, in f16, is 2^-3.
std::string block(std::string_view codes) { return bytes_of(std::uint16_t{0x3000}).append(codes); }

}  // namespace

TEST_CASE("gguf_reader gives tensors by name, rows first, in place") {
    const std::uint32_t version = GENERATE(2u, 3u);
    const std::string file =
        gguf_file()
            .tensor("b", {3, 2}, F32, bytes_of(1.f, 2.f, 3.f, 4.f, 5.f, 6.f))
            .tensor("a.half", {2}, F16, bytes_of(std::uint16_t{0x3c00}, std::uint16_t{0xc000}))
            .tensor("brain", {1, 1, 1, 2}, BF16,
                    bytes_of(std::uint16_t{0x3f80}, std::uint16_t{0xc000}))
            .tensor("scalar", {}, I16, bytes_of(std::int16_t{-2}))
            .tensor("empty", {0, 7}, F32, "")
            .bytes(version);
    const auto reader = parse(file);
    REQUIRE(reader);
    std::string names;
    for (const auto& tensor : reader->tensors()) names += std::string(tensor.name) + ' ';
    CHECK(names == "a.half b brain empty scalar ");

    const auto b = reader->find("b");
    REQUIRE(b);
    CHECK(std::vector(b->shape().begin(), b->shape().end()) == std::vector<std::size_t>{2, 3});
    CHECK(b->bytes.data() == reinterpret_cast<const std::byte*>(file.data()) + file.size() - 128);
    CHECK(floats_of(*reader, "b") == std::vector<float>{1, 2, 3, 4, 5, 6});
    CHECK(floats_of(*reader, "a.half") == std::vector<float>{1, -2});
    CHECK(floats_of(*reader, "brain") == std::vector<float>{1, -2});
    CHECK(floats_of(*reader, "empty").empty());

    const auto as_stored = pare::io::as_tensor_info(*reader->find("scalar"));
    REQUIRE(as_stored);
    CHECK(as_stored->type == pare::io::dtype::i16);
    CHECK(as_stored->rank == 0);
    CHECK(as_stored->bytes.size() == 2);
    CHECK(reader->find("c").error().code == pare::errc::not_found);
}

TEST_CASE("blocks are dequantised exactly") {
    std::string codes8, codes4;
    std::vector<float> expected8, expected4(32);
    for (int i = 0; i < 32; ++i) {
        codes8 += static_cast<char>(8 * i - 128);
        expected8.push_back(static_cast<float>(8 * i - 128) / 8.0f);
    }
    for (std::size_t i = 0; i < 16; ++i) {  // low nibbles 0 .. 15, high ones 15 .. 0
        codes4 += static_cast<char>(i | (15 - i) << 4);
        expected4[i] = (static_cast<float>(i) - 8) / 8;
        expected4[i + 16] = (7 - static_cast<float>(i)) / 8;
    }
    for (std::size_t i = 0; i < 32; ++i) expected8.push_back(2 * expected8[i]);
    const std::string file =
        gguf_file()
            .tensor("q8", {32, 2}, Q8_0, block(codes8) + bytes_of(std::uint16_t{0x3400}) + codes8)
            .tensor("q4", {32}, Q4_0, block(codes4))
            .bytes();
    const auto reader = parse(file);
    REQUIRE(reader);
    CHECK(floats_of(*reader, "q8") == expected8);
    CHECK(floats_of(*reader, "q4") == expected4);
}

TEST_CASE("tensors of other types are listed, and refused when read") {
    const std::string file = gguf_file()
                                 .tensor("k", {256, 2}, Q6_K, std::string(420, '\1'))
                                 .tensor("q", {32}, Q8_0, block(std::string(32, '\1')))
                                 .bytes();
    const auto reader = parse(file);
    REQUIRE(reader);
    const auto k = reader->find("k");
    REQUIRE(k);
    CHECK(describe(k->type).name == "Q6_K");
    CHECK(k->bytes.size() == 420);
    std::vector<float> values(512);
    CHECK(pare::io::read_as_float(*k, values).error().code == pare::errc::wrong_type);
    CHECK(pare::io::as_tensor_info(*k).error().code == pare::errc::wrong_type);
    const auto q = reader->find("q");
    REQUIRE(q);
    CHECK(pare::io::read_as_float(*q, values).error().code == pare::errc::shape_mismatch);
}

TEST_CASE("metadata are numbers, bools, texts and arrays of these") {
    const std::string file =
        gguf_file()
            .entry("u8", u8, bytes_of(std::uint8_t{200}))
            .entry("i8", i8, bytes_of(std::int8_t{-100}))
            .entry("u16", u16, bytes_of(std::uint16_t{60000}))
            .entry("i16", i16, bytes_of(std::int16_t{-30000}))
            .entry("u32", u32, bytes_of(std::uint32_t{4000000000}))
            .entry("i32", i32, bytes_of(std::int32_t{7}))
            .entry("f32", f32, bytes_of(0.5f))
            .entry("bool", boolean, bytes_of(std::uint8_t{1}))
            .entry("text", text, gguf_text("llama"))
            .entry("u64", u64, bytes_of(~std::uint64_t{0}))
            .entry("i64", i64, bytes_of(std::int64_t{-1}))
            .entry("f64", f64, bytes_of(-2.25))
            .entry("words", array,
                   bytes_of(text, std::uint64_t{3}) + gguf_text("a") + gguf_text("") +
                       gguf_text("b c"))
            .entry("numbers", array,
                   bytes_of(i16, std::uint64_t{2}, std::int16_t{-1}, std::int16_t{2}))
            .entry("none", array, bytes_of(f64, std::uint64_t{0}))
            .bytes();
    const auto reader = parse(file);
    REQUIRE(reader);
    CHECK(reader->metadata().size() == 15);
    const auto at = [&](std::string_view key) { return *reader->metadata(key); };

    const std::pair<const char*, double> numbers[] = {
        {"u8", 200}, {"i8", -100}, {"u16", 60000},  {"i16", -30000}, {"u32", 4e9},
        {"i32", 7},  {"f32", 0.5}, {"u64", 0x1p64}, {"i64", -1},     {"f64", -2.25}};
    for (const auto& [key, number] : numbers) {
        CAPTURE(key);
        REQUIRE(at(key).number());
        CHECK(*at(key).number() == number);
        CHECK(at(key).text().error().code == pare::errc::wrong_type);
    }
    CHECK(*at("u64").unsigned_integer() == ~std::uint64_t{0});
    CHECK(*at("i32").unsigned_integer() == 7);
    for (const char* const key : {"i64", "f64", "bool", "text", "numbers"})
        CHECK(at(key).unsigned_integer().error().code == pare::errc::wrong_type);
    CHECK(*at("bool").boolean());
    CHECK(at("u8").boolean().error().code == pare::errc::wrong_type);
    CHECK(*at("text").text() == "llama");
    CHECK(at("words").text().error().code == pare::errc::wrong_type);

    std::string words;
    std::size_t where = 0;
    at("words").for_each([&](const auto& word) {
        words.append(*word.text()).append("|");
        where = word.where;
    });
    CHECK(words == "a||b c|");
    CHECK(where == file.find("b c"));
    double sum = 0.0;
    at("numbers").for_each([&](const auto& number) { sum = 10 * sum + *number.number(); });
    CHECK(sum == -8.0);
    CHECK(at("none").size == 0);
    CHECK(at("text").where == file.find("llama"));
    CHECK(reader->metadata("x").error().code == pare::errc::not_found);
}

TEST_CASE("general.alignment says where the data begin") {
    const auto with = [](std::uint32_t alignment) {
        return gguf_file()
            .entry("general.alignment", u32, bytes_of(alignment))
            .entry("k", u8, "\1")  // so that the header ends in the first half of 64 bytes
            .tensor("a", {1}, F32, bytes_of(1.f))
            .tensor("b", {1}, F32, bytes_of(2.f), 64);
    };
    const std::string file = with(64).bytes(3, 64) + std::string(28, '\0') + bytes_of(3.f);
    const auto reader = parse(file);  // b at 64 of the data, where the 3 lies
    REQUIRE(reader);
    CHECK(floats_of(*reader, "a") == std::vector<float>{1});
    CHECK(floats_of(*reader, "b") == std::vector<float>{3});
    for (const std::uint32_t bad : {0u, 24u, 1u << 21}) {
        const auto refused = parse(with(bad).bytes(3, 64));
        REQUIRE_FALSE(refused);
        CHECK(refused.error().message == "general.alignment is no power of two up to 1 MiB"sv);
    }
}

namespace {

struct malformed {
    std::string file;
    const char* message;
    std::size_t where;
};

std::vector<malformed> malformed_files() {
    constexpr std::size_t first = 24;  // byte of the first pair or tensor
    const auto one = bytes_of(1.f);
    const auto with = [&](std::uint32_t type, const std::string& value) {
        return gguf_file().entry("k", type, value).bytes();
    };
    const auto huge = ~std::uint64_t{0};
    const std::string counts = bytes_of(std::uint32_t{3}, huge, huge);
    const std::size_t value_at = first + 8 + 1;
    const auto listed = [&](const std::vector<std::uint64_t>& ne, std::uint32_t type) {
        return gguf_file().tensor("a", ne, type, std::string(64, '\0')).bytes();
    };
    const char* const short_header = "the file ends within its header";
    const char* const bad_type = "a metadata value is of an unknown type or an array of arrays";
    const char* const bad_size = "the size of a tensor overflows or its rows are not whole blocks";
    const std::size_t second = first + 8 + 1 + 4 + 8 + 4 + 8;  // behind a tensor of one extent
    return {
        {"", short_header, 0},
        {"GGU", short_header, 0},
        {"GGML" + gguf_file().bytes().substr(4), "the file does not begin with GGUF", 0},
        {gguf_file().bytes(1), "the file is not of version 2 or 3", 4},
        {gguf_file().bytes(4), "the file is not of version 2 or 3", 4},
        {gguf_file().bytes(0x03000000), "the file is big-endian", 4},
        {"GGUF" + counts, short_header, first},
        {"GGUF" + bytes_of(std::uint32_t{3}, huge, std::uint64_t{0}), short_header, first},
        {"GGUF" + bytes_of(std::uint32_t{3}, std::uint64_t{0}, std::uint64_t{1}, huge),
         short_header, first + 8},
        {gguf_file().entry("", u8, "\1").bytes(), "a metadata key is empty or not UTF-8", first},
        {gguf_file().entry("\xff", u8, "\1").bytes(), "a metadata key is empty or not UTF-8",
         first},
        {gguf_file().entry("k", u8, "\1").entry("k", u8, "\1").bytes(),
         "two metadata keys are equal", first + 8 + 1 + 4 + 1},
        {with(13, one), bad_type, value_at},
        {with(array, bytes_of(array, std::uint64_t{1}, u8, std::uint64_t{1}, u8)), bad_type,
         value_at},
        {with(array, bytes_of(std::uint32_t{13}, std::uint64_t{1})), bad_type, value_at},
        {with(array, bytes_of(u64, std::uint64_t{1} << 61)), short_header, value_at + 16},
        {with(array, bytes_of(u8, huge)), short_header, value_at + 16},
        {with(array, bytes_of(text, huge) + gguf_text("a")), short_header, value_at + 16 + 9},
        {with(text, bytes_of(huge)), short_header, value_at + 12},
        {with(boolean, "\2"), "a metadata bool is neither 0 nor 1", value_at + 4},
        {with(array, bytes_of(boolean, std::uint64_t{2}) + "\1\2"),
         "a metadata bool is neither 0 nor 1", value_at + 16},
        {gguf_file().entry("general.alignment", text, gguf_text("32")).bytes(),
         "general.alignment is no power of two up to 1 MiB", first + 8 + 17 + 12},
        {gguf_file().tensor("\xff", {1}, F32, one).bytes(), "the name of a tensor is not UTF-8",
         first},
        {listed({1, 1, 1, 1, 1}, F32), "a tensor has more than 4 extents", first},
        {listed({1}, 4), "a tensor has an unknown type", first},
        {listed({1}, 40), "a tensor has an unknown type", first},
        {listed({1}, 0xffffffff), "a tensor has an unknown type", first},
        {listed({std::uint64_t{1} << 62}, F32), bad_size, first},
        {listed({std::uint64_t{1} << 32, std::uint64_t{1} << 32}, F32), bad_size, first},
        {listed({33}, Q8_0), bad_size, first},
        {listed({1, 32}, Q8_0), bad_size, first},
        {listed({}, Q8_0), bad_size, first},
        {listed({17}, F32), "a tensor ends after the file", first},
        {gguf_file().tensor("a", {1}, F32, one, 32).bytes(), "a tensor ends after the file", first},
        {gguf_file().tensor("a", {1}, F32, one, -32 & (std::int64_t{1} << 62)).bytes(),
         "a tensor ends after the file", first},
        {gguf_file().tensor("a", {1}, F32, one).header(), "a tensor ends after the file", first},
        {gguf_file().tensor("a", {1}, F32, one, 4).bytes(), "a tensor is not aligned", first},
        {gguf_file().tensor("a", {1}, F32, one).tensor("b", {1}, F32, one, 0).bytes(),
         "two tensors share bytes", second},
        {gguf_file()
             .tensor("a", {9}, F32, std::string(36, '\0'))
             .tensor("b", {1}, F32, one, 32)
             .bytes(),
         "two tensors share bytes", second},
        {gguf_file().tensor("a", {1}, F32, one).tensor("a", {1}, F32, one).bytes(),
         "two tensors have the same name", second},
    };
}

}  // namespace

TEST_CASE("gguf_reader says of every malformed file what is wrong and where") {
    for (const malformed& m : malformed_files()) {
        const auto reader = parse(m.file);
        CAPTURE(m.message, m.where, m.file.size());
        REQUIRE_FALSE(reader);
        CHECK(reader.error().code == pare::errc::malformed_file);
        CHECK(reader.error().message == std::string_view(m.message));
        CHECK(reader.error().where == m.where);
    }
}

TEST_CASE("gguf_reader refuses every truncation of a good file") {
    const std::string file =
        gguf_file()
            .entry("t", text, gguf_text("x"))
            .entry("n", array, bytes_of(u16, std::uint64_t{1}, std::uint16_t{1}))
            .tensor("a", {1}, F32, bytes_of(1.f))
            .bytes();
    REQUIRE(parse(file));
    for (std::size_t n = 0; n < file.size(); ++n) {
        // An exact copy, so that a sanitizer sees a read past the end.
        const std::vector<char> cut(file.data(), file.data() + n);
        const auto reader = gguf_reader::parse(std::as_bytes(std::span(cut)));
        REQUIRE_FALSE(reader);
        CHECK(reader.error().code == pare::errc::malformed_file);
    }
}

TEST_CASE("gguf_reader opens a file and stays valid when it is moved") {
    const pare::testing::temporary_folder folder;
    pare::testing::write_text(folder / "f",
                              gguf_file().tensor("a", {1}, F32, bytes_of(2.f)).bytes());
    auto reader = gguf_reader::open((folder / "f").c_str());
    REQUIRE(reader);
    const gguf_reader moved = *std::move(reader);
    CHECK(floats_of(moved, "a") == std::vector<float>{2});
    CHECK(gguf_reader::open((folder / "absent").c_str()).error().code == pare::errc::io_failure);
}
