// SPDX-FileCopyrightText: the pare authors
// SPDX-License-Identifier: Apache-2.0
#include <pare/kv/channel_scales.hpp>

#include <pare/kv/block.hpp>

#include "support/catch.hpp"
#include "support/kv.hpp"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <limits>
#include <vector>

using pare::to_float, pare::kv::block_layout, pare::kv::block_tokens, pare::kv::element;
using pare::testing::guarded_buffer, pare::testing::matrix;

namespace {

constexpr std::size_t dim = 18;

// Keys whose channels differ in size by far, as real ones do.
matrix uneven(std::size_t n, std::uint64_t seed) {
    matrix x = matrix::uniform(n, dim, seed);
    for (std::size_t i = 0; i < n; ++i)
        for (std::size_t c = 0; c < dim; ++c)
            x(i, c) = x(i, c) * std::ldexp(1.0f, static_cast<int>(c % 9) - 4) +
                      (c % 3 == 0 ? 0.0f : std::ldexp(3.0f, static_cast<int>(c % 5)));
    return x;
}

struct written_keys {
    explicit written_keys(element e)
        : layout{e, element::f32, dim, true}, bytes(layout.bytes()), values(block_tokens, dim) {}

    void write(const matrix& keys, std::size_t first, std::size_t n) {
        pare::kv::write_tokens(layout, bytes.data(), first, keys.view().block(first, 0, n, dim),
                               values.view().block(first, 0, n, dim));
    }
    std::vector<float> key(std::size_t token) const {
        std::vector<float> x(dim);
        pare::kv::read_key(layout, bytes.data(), token, x);
        return x;
    }
    pare::kv::detail::affine scale(std::size_t c) {
        return pare::kv::detail::key_of(layout, bytes.data(), 0).scale(c);
    }
    double step(std::size_t c) { return static_cast<double>(to_float(scale(c).scale)); }
    // How far the worst number of a channel is off, in steps.
    double worst(const matrix& keys, std::size_t c, std::size_t n) {
        double most = 0.0;
        for (std::size_t t = 0; t < n; ++t)
            most = std::max(
                most, std::fabs(static_cast<double>(key(t)[c]) - static_cast<double>(keys(t, c))));
        return most / step(c);
    }

    block_layout layout;
    guarded_buffer<std::byte> bytes;
    matrix values;
};

// Floats that compute codes and numbers round: a few u of the largest number, in steps.
double in_float(const matrix& keys, std::size_t c, double step) {
    double most = 0.0;
    for (std::size_t t = 0; t < keys.rows(); ++t)
        most = std::max(most, std::fabs(static_cast<double>(keys(t, c))));
    return 16 * 0x1p-24 * most / step;
}

}  // namespace

TEST_CASE("keys of a whole block are rounded once, to their channel's range") {
    for (const element e : {element::i8, element::i4})
        for (const bool used_before : {false, true}) {
            written_keys block(e);
            const matrix keys = uneven(block_tokens, 1);
            matrix far = uneven(block_tokens, 2);
            for (float& x : far.data()) x *= 50.0f;
            if (used_before) block.write(far, 0, 20);
            block.write(keys, 0, block_tokens);
            for (std::size_t c = 0; c < dim; ++c) {
                CAPTURE(static_cast<int>(e), used_before, c);
                float least = keys(0, c), most = least;
                for (std::size_t t = 0; t < block_tokens; ++t)
                    least = std::min(least, keys(t, c)), most = std::max(most, keys(t, c));
                const double range = static_cast<double>(most) - static_cast<double>(least);
                // The minimum is rounded down by a step of f16, the scale up by one.
                const double lowered = 0x1p-10 * std::fabs(static_cast<double>(least));
                CHECK(block.step(c) <= (range + lowered) / pare::kv::levels_of(e) * (1 + 0x1p-9));
                const double off = block.worst(keys, c, block_tokens);
                CHECK(off <= 0.5 + in_float(keys, c, block.step(c)));
                CHECK(off > 0.3);  // it bites
            }
            CHECK(block.bytes.intact());
        }
}

TEST_CASE("tokens that come one by one widen channels, and stay within 5/2 of the last step") {
    pare::random random(3);
    for (const element e : {element::i8, element::i4})
        for (std::uint64_t seed = 0; seed < 40; ++seed) {
            written_keys block(e);
            matrix keys = uneven(block_tokens, seed);
            if (seed % 4 == 1)  // ever larger, in one direction and in both
                for (std::size_t t = 0; t < block_tokens; ++t)
                    for (std::size_t c = 0; c < dim; ++c)
                        keys(t, c) *= std::pow(1.2f, static_cast<float>(t));
            if (seed % 4 == 2)
                for (std::size_t t = 0; t < block_tokens; ++t)
                    for (std::size_t c = 0; c < dim; ++c)
                        keys(t, c) =
                            (t % 2 == 0 ? 1.0f : -1.0f) * std::pow(1.3f, static_cast<float>(t));
            for (std::size_t t = 0; t < block_tokens;) {
                const std::size_t n =
                    seed % 2 == 0 ? 1 : std::min(1 + random.below(5), block_tokens - t);
                block.write(keys, t, n);
                t += n;
            }
            for (std::size_t c = 0; c < dim; ++c) {
                CAPTURE(static_cast<int>(e), seed, c);
                CHECK(block.worst(keys, c, block_tokens) <=
                      2.5 + 10 * in_float(keys, c, block.step(c)));
                float least = keys(0, c), most = least;
                for (std::size_t t = 0; t < block_tokens; ++t)
                    least = std::min(least, keys(t, c)), most = std::max(most, keys(t, c));
                const double range = static_cast<double>(most) - static_cast<double>(least);
                const double rounded = 0x1p-8 * std::max(std::fabs(static_cast<double>(least)),
                                                         std::fabs(static_cast<double>(most)));
                CHECK(block.step(c) * pare::kv::levels_of(e) <= 5.0 / 3.0 * range + rounded);
            }
            CHECK(block.bytes.intact());
        }
}

TEST_CASE("a channel is encoded again a few times only") {
    int widenings = 0;
    constexpr int n_blocks = 50;
    for (std::uint64_t seed = 0; seed < n_blocks; ++seed) {
        written_keys block(element::i8);
        const matrix keys = uneven(block_tokens, seed);
        for (std::size_t t = 0; t < block_tokens; ++t) {
            std::vector<pare::kv::detail::affine> before;
            for (std::size_t c = 0; c < dim; ++c) before.push_back(block.scale(c));
            block.write(keys, t, 1);
            for (std::size_t c = 0; c < dim; ++c)
                widenings += t > 0 && (before[c].scale != block.scale(c).scale ||
                                       before[c].minimum != block.scale(c).minimum);
        }
    }
    CHECK(widenings < 5 * n_blocks * static_cast<int>(dim));
}

TEST_CASE("copies between blocks with scales per channel are exact where the scales agree") {
    for (const element e : {element::i8, element::i4}) {
        written_keys from(e), to(e), empty(e);
        const matrix keys = uneven(block_tokens, 1), others = uneven(block_tokens, 2);
        from.write(keys, 0, block_tokens);
        to.write(others, 0, block_tokens);
        pare::kv::copy_token(from.layout, from.bytes.data(), 3, empty.bytes.data(), 9);
        CHECK(empty.key(9) == from.key(3));
        pare::kv::copy_token(from.layout, from.bytes.data(), 3, from.bytes.data(), 7);
        CHECK(from.key(7) == from.key(3));
        pare::kv::copy_token(from.layout, from.bytes.data(), 3, to.bytes.data(), 9);
        for (std::size_t c = 0; c < dim; ++c) {
            const double off =
                std::fabs(static_cast<double>(to.key(9)[c]) - static_cast<double>(from.key(3)[c]));
            CHECK(off <= (0.5 + 2 * in_float(keys, c, to.step(c))) * to.step(c));
        }
        for (std::size_t c = 0; c < dim; ++c)  // the others were rounded once more at most
            for (std::size_t t = 0; t < block_tokens; ++t)
                if (t != 9)
                    CHECK(std::fabs(static_cast<double>(to.key(t)[c]) -
                                    static_cast<double>(others(t, c))) <=
                          (1.0 + 4 * in_float(others, c, to.step(c))) * to.step(c));
    }
}

TEST_CASE("a channel that held zeros alone keeps them when others come") {
    written_keys block(element::i4);
    matrix keys(block_tokens, dim);
    for (std::size_t c = 0; c < dim; ++c) keys(1, c) = c % 2 == 0 ? 5.0f : -5.0f;
    block.write(keys, 0, 1);
    CHECK(block.key(0) == std::vector<float>(dim, 0.0f));
    block.write(keys, 1, 1);
    for (std::size_t c = 0; c < dim; ++c) {
        CHECK(std::fabs(block.key(0)[c]) <= 0.51f * static_cast<float>(block.step(c)));
        CHECK(std::fabs(block.key(1)[c] - keys(1, c)) <= 0.51f * static_cast<float>(block.step(c)));
    }
}

TEST_CASE("whatever comes, a channel holds finite numbers") {
    constexpr float inf = std::numeric_limits<float>::infinity();
    constexpr float nan = std::numeric_limits<float>::quiet_NaN();
    for (const element e : {element::i8, element::i4}) {
        written_keys block(e);
        matrix keys = uneven(block_tokens, 1);
        const std::vector<float> odd{nan, inf, -inf, 1e38f, -1e38f, 1e-45f, 65504.0f, -65504.0f};
        for (std::size_t t = 0; t < block_tokens; ++t)
            for (std::size_t c = 0; c < dim; ++c)
                if ((t + c) % 3 == 0) keys(t, c) = odd[(t * 5 + c) % odd.size()];
        for (std::size_t t = 0; t < block_tokens; ++t) {
            block.write(keys, t, 1);
            for (const float x : block.key(t)) CHECK(std::fabs(x) <= 65504.0f * 2.02f);
        }
        block.write(keys, 0, block_tokens);
        for (const float x : block.key(5)) CHECK(std::fabs(x) <= 65504.0f * 2.02f);
    }
}
