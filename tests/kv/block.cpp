// SPDX-FileCopyrightText: the pare authors
// SPDX-License-Identifier: Apache-2.0
#include <pare/kv/block.hpp>

#include "support/catch.hpp"
#include "support/kv.hpp"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <span>
#include <vector>

using pare::f16, pare::from_float, pare::to_float;
using pare::kv::block_layout, pare::kv::block_tokens, pare::kv::element;
using pare::testing::all_elements, pare::testing::guarded_buffer;

namespace {

// A block between guards, and the tokens that were written to it.
struct written_block {
    written_block(element keys, element values, std::size_t head_dim)
        : layout{keys, values, head_dim}, bytes(layout.bytes()) {}

    void write(std::size_t token, const std::vector<float>& key, const std::vector<float>& value) {
        pare::kv::write_token(layout, bytes.data(), token, key, value);
    }
    std::vector<float> key(std::size_t token) const {
        std::vector<float> out(layout.head_dim);
        pare::kv::read_key(layout, bytes.data(), token, out);
        return out;
    }
    std::vector<float> value(std::size_t token) const {
        std::vector<float> out(layout.head_dim);
        pare::kv::read_value(layout, bytes.data(), token, out);
        return out;
    }

    block_layout layout;
    guarded_buffer<std::byte> bytes;
};

std::vector<float> numbers(std::size_t n, float scale, float shift, pare::random& random) {
    std::vector<float> made(n);
    for (float& x : made) x = scale * random.symmetric() + shift;
    return made;
}

// Half the distance between neighbours around x of a float type with 11 or 8 bits of significand.
double half_step_16(double x, int bits, int least_exponent) {
    const int exponent = std::max(std::ilogb(x == 0.0 ? 1e-300 : x), least_exponent);
    return std::ldexp(1.0, exponent - bits);
}
double half_step_f16(double x) { return half_step_16(x, 11, -14); }

// How far a stored number may be off. i8, i4: half a step, where the minimum was rounded down and
// the step up to halves. Floats that compute in between add a few roundings of the largest number.
double error_bound(element e, double x, std::span<const float> token) {
    const auto [least, most] = std::minmax_element(token.begin(), token.end());
    const double low = static_cast<double>(*least), high = static_cast<double>(*most);
    switch (e) {
        case element::f32:
            return 0.0;
        case element::f16:
            return half_step_f16(x);
        case element::bf16:
            return half_step_16(x, 8, -126);
        case element::i8:
        case element::i4:
            break;
    }
    const double levels = e == element::i8 ? 255.0 : 15.0;
    const double step = (high - low + 2 * half_step_f16(low)) / levels;
    const double in_float = 8.0 * 0x1p-24 * std::max({std::fabs(low), std::fabs(high), step});
    return (step + 2 * half_step_f16(step)) / 2 + in_float;
}

bool within_bound(element e, const std::vector<float>& wrote, const std::vector<float>& read,
                  double bound_factor = 1.0) {
    for (std::size_t i = 0; i < wrote.size(); ++i) {
        const auto x = static_cast<double>(wrote[i]);
        if (!(std::fabs(x - static_cast<double>(read[i])) <=
              bound_factor * error_bound(e, x, wrote)))
            return false;
    }
    return true;
}

}  // namespace

TEST_CASE("a block gives a token back to within half a step of its type") {
    pare::random random(1);
    int wrong = 0, bites = 0;
    for (const element e : all_elements)
        for (std::size_t dim = 2; dim <= 130; dim += dim < 36 ? 2 : 14)
            for (const float shift : {0.0f, 3.0f, -40.0f, 1000.0f}) {
                const element other = all_elements[random.below(all_elements.size())];
                written_block block(e, other, dim), mirrored(other, e, dim);
                std::vector<std::vector<float>> keys, values;
                for (std::size_t t = 0; t < block_tokens; ++t) {
                    const float scale = std::ldexp(1.0f, static_cast<int>(random.below(30)) - 20);
                    keys.push_back(numbers(dim, scale, shift * random.symmetric(), random));
                    values.push_back(numbers(dim, scale, shift * random.symmetric(), random));
                }
                for (std::size_t i = 0; i < block_tokens; ++i) {
                    const std::size_t t = i * 13 % block_tokens;
                    block.write(t, keys[t], values[t]);
                    mirrored.write(t, values[t], keys[t]);
                }
                for (std::size_t t = 0; t < block_tokens; ++t) {
                    wrong += !within_bound(e, keys[t], block.key(t));
                    wrong += !within_bound(other, values[t], block.value(t));
                    wrong += mirrored.value(t) != block.key(t);  // rounded the same
                    wrong += mirrored.key(t) != block.value(t);
                    bites += !within_bound(e, keys[t], block.key(t), 0.5);
                }
                CAPTURE(static_cast<int>(e), static_cast<int>(other), dim, shift);
                CHECK(block.bytes.intact());
                CHECK(mirrored.bytes.intact());
            }
    CHECK(wrong == 0);
    CHECK(bites > 1000);
}

TEST_CASE("a token is copied bit for bit to any lane and its neighbours stay as they are") {
    pare::random random(2);
    int wrong = 0;
    for (const element keys : all_elements)
        for (const element values : all_elements) {
            const std::size_t dim = 2 * (1 + random.below(20));
            written_block from(keys, values, dim), to(keys, values, dim);
            for (std::size_t t = 0; t < block_tokens; ++t) {
                from.write(t, numbers(dim, 2, 1, random), numbers(dim, 3, 0, random));
                to.write(t, numbers(dim, 2, 1, random), numbers(dim, 3, 0, random));
            }
            for (std::size_t a = 0; a < block_tokens; ++a)
                for (std::size_t b = 0; b < block_tokens; ++b) {
                    written_block copy(keys, values, dim);
                    std::copy(to.bytes.begin(), to.bytes.end(), copy.bytes.begin());
                    pare::kv::copy_token(from.layout, from.bytes.data(), a, copy.bytes.data(), b);
                    wrong += copy.key(b) != from.key(a) || copy.value(b) != from.value(a);
                    wrong += !copy.bytes.intact();
                    // With b's own token copied back, every byte is as before.
                    pare::kv::copy_token(from.layout, to.bytes.data(), b, copy.bytes.data(), b);
                    wrong += !std::equal(to.bytes.begin(), to.bytes.end(), copy.bytes.begin());
                    // Within one block.
                    if (a == b) continue;
                    pare::kv::copy_token(from.layout, copy.bytes.data(), a, copy.bytes.data(), b);
                    wrong += copy.key(b) != to.key(a) || copy.value(b) != to.value(a);
                }
        }
    CHECK(wrong == 0);
}

TEST_CASE("overwriting a token leaves no trace of what was there") {
    pare::random random(3);
    for (const element e : all_elements) {
        written_block once(e, e, 18), twice(e, e, 18);
        for (std::size_t t = 0; t < block_tokens; ++t) {
            const auto key = numbers(18, 2, 1, random), value = numbers(18, 2, 1, random);
            twice.write(t, numbers(18, 9, -5, random), numbers(18, 9, -5, random));
            twice.write(t, key, value);
            once.write(t, key, value);
        }
        CAPTURE(static_cast<int>(e));
        CHECK(std::equal(once.bytes.begin(), once.bytes.end(), twice.bytes.begin()));
    }
}

TEST_CASE("i8 and i4 store whatever comes as finite numbers within the range of f16") {
    constexpr float inf = std::numeric_limits<float>::infinity();
    constexpr float nan = std::numeric_limits<float>::quiet_NaN();
    const std::vector<std::vector<float>> tokens{
        {nan, nan, nan, nan},    {inf, inf, inf, inf},     {-inf, -inf, -inf, -inf},
        {inf, -inf, nan, 0},     {1, 2, nan, 3},           {1, inf, 2, 3},
        {-1e38f, 1e38f, 0, 1},   {7e4f, 8e4f, 9e4f, 7e4f}, {-7e4f, -9e4f, 0, 1},
        {1e-45f, 0, -1e-45f, 0}, {65504, -65504, 0, 1}};
    for (const element e : {element::i8, element::i4}) {
        const float levels = e == element::i8 ? 255.0f : 15.0f;
        // The scale may be rounded up by half a step of f16, which counts `levels` times.
        const float largest = 65504.0f * (1.0f + 2.0f * 0x1p-11f) + levels * 0x1p-25f;
        for (const auto& token : tokens) {
            written_block block(e, e, 4);
            block.write(5, token, token);
            for (const float x : block.key(5)) CHECK(std::fabs(x) <= largest);
            CHECK(block.key(5) == block.value(5));
        }
        written_block block(e, e, 4);
        block.write(0, {1, 2, nan, 3}, {1, inf, 2, -inf});
#if !__FINITE_MATH_ONLY__  // the numbers beside a NaN keep theirs
        CHECK(within_bound(e, {1, 2, 1, 3}, block.key(0)));
#endif
        CHECK(within_bound(e, {1, 65504, 2, -65504}, block.value(0)));
        CHECK(block.value(0)[1] > block.value(0)[0]);
    }
}

TEST_CASE("i8 and i4 store a token of equal numbers as exactly as f16 does") {
    for (const element e : {element::i8, element::i4})
        for (const float x : {0.0f, 1.0f, -2.5f, 65504.0f, -65504.0f, 0x1p-24f, 0.1f, -1234.567f}) {
            written_block block(e, e, 6);
            block.write(17, std::vector<float>(6, x), std::vector<float>(6, x));
            const double rounded = static_cast<double>(to_float(from_float<f16>(x)));
            // Where the minimum was rounded down, codes of a tiny scale get nearer.
            const double allowed = std::fabs(rounded - static_cast<double>(x));
            for (const float y : block.key(17))
                CHECK(std::fabs(static_cast<double>(y) - static_cast<double>(x)) <= allowed);
        }
}

TEST_CASE("integers that span the codes come back exactly") {
    for (const element e : {element::i8, element::i4}) {
        const int levels = e == element::i8 ? 255 : 15;
        std::vector<float> all;
        for (int code = 0; code <= levels; ++code) all.push_back(static_cast<float>(code - 7));
        written_block block(e, e, all.size());
        for (const std::size_t t : {0u, 15u, 16u, 31u}) {
            block.write(t, all, all);
            CHECK(block.key(t) == all);
            CHECK(block.value(t) == all);
        }
    }
}

TEST_CASE("a block of f16 at 128 channels takes 16384 bytes, one of i4 and i8 what they say") {
    CHECK(block_layout{element::f16, element::f16, 128}.bytes() == 16384);
    CHECK(block_layout{element::f32, element::bf16, 2}.bytes() == 32 * (2 * 4 + 16 * 2));
    CHECK(block_layout{element::i8, element::i4, 18}.bytes() == 32 * (20 + 4 + 32 / 2 + 4));
    CHECK(block_layout{element::i4, element::i4, 18}.bytes() == 32 * (24 / 2 + 4 + 32 / 2 + 4));
}

// Changing these bytes is a change of the format: docs/formats.md.
TEST_CASE("scales per channel take 4 bytes a channel, padded to groups") {
    CHECK(block_layout{element::i8, element::f32, 18, true}.bytes() ==
          32 * 20 + 32 * 32 * 4 + 32 * 4);
    CHECK(block_layout{element::f16, element::i8, 18, true}.bytes() ==
          block_layout{element::f16, element::i8, 18}.bytes());  // exact keys have none
    CHECK(block_layout{element::i8, element::i8, 1024, true, true}.is_valid());
    CHECK(block_layout{element::i8, element::i8, 1026}.is_valid());
    CHECK_FALSE(block_layout{element::i8, element::i8, 1026, true}.is_valid());
    CHECK_FALSE(block_layout{element::i8, element::i8, 1026, false, true}.is_valid());
    CHECK_FALSE(block_layout{element::i8, element::i8, 7}.is_valid());
    CHECK_FALSE(block_layout{element::i8, element::i8, 0}.is_valid());
}

TEST_CASE("tokens written together are those written one by one, but for scales per channel") {
    for (const element e : all_elements)
        for (const bool hadamard : {false, true}) {
            written_block together(e, e, 18), single(e, e, 18);
            together.layout.hadamard = single.layout.hadamard = hadamard;
            const pare::testing::matrix keys = pare::testing::matrix::uniform(7, 18, 1),
                                        values = pare::testing::matrix::uniform(7, 18, 2);
            pare::kv::write_tokens(together.layout, together.bytes.data(), 11, keys.view(),
                                   values.view());
            for (std::size_t t = 0; t < 7; ++t) {
                const auto k = keys.view().row_span(t), v = values.view().row_span(t);
                single.write(11 + t, {k.begin(), k.end()}, {v.begin(), v.end()});
            }
            CHECK(std::equal(single.bytes.begin(), single.bytes.end(), together.bytes.begin()));
        }
}

TEST_CASE("a block that stores transforms gives a token back as near as its type is") {
    pare::random random(5);
    int wrong = 0, helped = 0;
    for (const element e : all_elements)
        for (const std::size_t dim : {2u, 18u, 64u, 80u, 128u}) {
            written_block block(e, e, dim), plain(e, e, dim);
            block.layout.hadamard = true;
            for (std::size_t t = 0; t < block_tokens; ++t) {
                auto x = numbers(dim, 1, 0, random);
                x[t % dim] = 20.0f;  // an outlier, which costs the others their precision
                block.write(t, x, x);
                plain.write(t, x, x);
                std::vector<float> stored = x;
                pare::kv::hadamard(stored);
                // Errors rotate: their norm stays. Two transforms round, log2 additions and a
                // scale.
                double squares = 0.0, norm = 0.0, off = 0.0, plainly_off = 0.0;
                for (const float y : stored) {
                    squares += std::pow(error_bound(e, static_cast<double>(y), stored), 2);
                    norm += static_cast<double>(y) * static_cast<double>(y);
                }
                const auto read = block.key(t), other = plain.key(t);
                for (std::size_t d = 0; d < dim; ++d) {
                    off += std::pow(static_cast<double>(read[d]) - static_cast<double>(x[d]), 2);
                    plainly_off +=
                        std::pow(static_cast<double>(other[d]) - static_cast<double>(x[d]), 2);
                }
                const double rounded = 2 * 9 * 0x1p-24 * std::sqrt(static_cast<double>(dim) * norm);
                wrong += !(std::sqrt(off) <= std::sqrt(squares) + rounded);
                wrong += block.value(t) != read;
                helped += has_scales(e) && dim % 64 == 0 && off < plainly_off / 4;
            }
            CHECK(block.bytes.intact());
        }
    CHECK(wrong == 0);
    CHECK(helped > 2 * 2 * 32 * 9 / 10);
}

TEST_CASE("number k of a lane of i4 lies in byte k % 4, the second four in high halves") {
    written_block block(element::i4, element::i4, 16);
    std::vector<float> key;
    for (unsigned c = 0; c < 16; ++c) key.push_back(static_cast<float>(c));
    for (std::size_t t = 0; t < block_tokens; ++t) {
        std::vector<float> value(16, static_cast<float>(t % 16));
        value[14] = 0, value[15] = 15;
        block.write(t, key, value);
    }
    const auto byte = [&](std::size_t at) { return static_cast<unsigned>(block.bytes[at]); };
    for (std::size_t t = 0; t < block_tokens; ++t)
        for (std::size_t c = 0; c < 16; ++c) {
            const unsigned shift = c % 8 < 4 ? 0 : 4;
            const std::size_t at = t / 16 * 128 + c / 8 * 64 + t % 16 * 4 + c % 4;
            CHECK((byte(at) >> shift & 15) == c);
        }
    for (std::size_t t = 0; t < block_tokens; ++t) {
        const unsigned shift = t % 8 < 4 ? 0 : 4;
        CHECK((byte(256 + t / 8 * 64 + 5 * 4 + t % 4) >> shift & 15) == t % 16);
    }
}

TEST_CASE("golden bytes of a small block of i4 keys and i8 values") {
    written_block block(element::i4, element::i8, 2);
    // Key of token t: channels 0 and 15, so scale 1 and minimum 0. Value: t and t + 127.5, so
    // scale 0.5, minimum t, codes 0 and 255.
    for (std::size_t t = 0; t < block_tokens; ++t) {
        const auto x = static_cast<float>(t);
        if (t % 2 == 0) block.write(t, {0, 15}, {x, x + 127.5f});
        else block.write(t, {15, 0}, {x + 127.5f, x});
    }
    block.write(9, {4, 19}, {1, 1});  // minimum 4; a constant has scale 0
    std::vector<unsigned> bytes;
    for (const std::byte b : block.bytes.span()) bytes.push_back(static_cast<unsigned>(b));

    // Keys: four bytes for each token, channels 0 to 3 of eight in their low halves.
    std::vector<unsigned> golden;
    for (unsigned t = 0; t < block_tokens; ++t) {
        const bool even = t % 2 == 0 || t == 9;
        for (const unsigned byte : {even ? 0u : 15u, even ? 15u : 0u, 0u, 0u})
            golden.push_back(byte);
    }
    // Values: rows of four tokens, side by side in each of two channels and 14 of padding.
    for (unsigned t = 0; t < block_tokens; t += 4) {
        for (unsigned i = t; i < t + 4; ++i) golden.push_back(i % 2 == 0 || i == 9 ? 0 : 255);
        for (unsigned i = t; i < t + 4; ++i) golden.push_back(i % 2 == 0 ? 255 : 0);
        golden.insert(golden.end(), 4 * 14, 0);
    }
    const auto add_f16 = [&](unsigned code) {
        golden.push_back(code & 0xff);
        golden.push_back(code >> 8);
    };
    for (unsigned t = 0; t < block_tokens; ++t) add_f16(0x3c00);               // scales 1
    for (unsigned t = 0; t < block_tokens; ++t) add_f16(t == 9 ? 0x4400 : 0);  // minima 0, one 4
    for (unsigned t = 0; t < block_tokens; ++t) add_f16(t == 9 ? 0 : 0x3800);  // scales 0.5
    for (unsigned t = 0; t < block_tokens; ++t)                                // minima t, one 1
        add_f16(t == 9 ? 0x3c00u : from_float<f16>(static_cast<float>(t)).bits);
    CHECK(bytes == golden);
}

TEST_CASE("with_element names the element that it is given") {
    for (const element e : all_elements) {
        bool same = false;
        pare::kv::with_element(e, [&]<element E>() { same = E == e; });
        CHECK(same);
    }
}
