// SPDX-FileCopyrightText: the pare authors
// SPDX-License-Identifier: Apache-2.0
#include "laws.hpp"
#include "policies.hpp"

#include <pare/prune/prune.hpp>

#include "support/catch.hpp"

#include <array>
#include <string>
#include <utility>

using namespace pare::testing;
namespace prune = pare::prune;

TEMPLATE_LIST_TEST_CASE("a pattern writes every bit of the mask", "", patterns) {
    for (const auto& [name, scores] : signals()) {
        CAPTURE(name);
        CHECK(writes_every_bit(TestType{}, scores));
    }
}

TEMPLATE_LIST_TEST_CASE("a pattern does not change when all scores grow by 2^k", "", patterns) {
    for (const auto& [name, scores] : signals()) {
        CAPTURE(name);
        CHECK(ignores_scale(TestType{}, scores));
    }
}

TEMPLATE_LIST_TEST_CASE("a pattern leaves an empty mask empty", "", patterns) {
    for (const auto& [rows, cols] : {std::array<std::size_t, 2>{0, 0}, {0, 5}, {5, 0}})
        CHECK(selected(TestType{}, matrix(rows, cols)).find('1') == std::string::npos);
}

TEMPLATE_LIST_TEST_CASE("a pattern keeps a single weight", "", patterns) {
    CHECK(selected(TestType{}, matrix(1, 1, {0.0f})) == "1");
    CHECK(selected(TestType{}, matrix(1, 1, {5.0f})) == "1");
}

TEMPLATE_LIST_TEST_CASE("a pattern accepts its defaults", "", patterns) {
    CHECK(TestType{}.check());
}

TEMPLATE_LIST_TEST_CASE("n_m keeps exactly N of every M", "", n_m_patterns) {
    for (const auto& [name, scores] : signals()) {
        CAPTURE(name);
        CHECK(keeps_n_of_m(TestType{}, scores, TestType::n, TestType::m));
    }
}

TEMPLATE_LIST_TEST_CASE("n_m keeps the best of each group, the first of equals", "", n_m_patterns) {
    for (const auto& [name, scores] : signals()) {
        CAPTURE(name);
        CHECK(keeps_the_best(TestType{}, scores, TestType::m));
    }
}

TEMPLATE_LIST_TEST_CASE("n_m permutes with the rows", "", n_m_patterns) {
    for (const auto& [name, scores] : signals()) {
        CAPTURE(name);
        CHECK(rows_are_independent(TestType{}, scores));
    }
}

TEMPLATE_LIST_TEST_CASE("a pattern of blocks keeps whole ones", "", block_patterns) {
    STATIC_REQUIRE(prune::block_pattern<TestType>);
    for (const float sparsity : {0.0f, 0.5f, 0.8f})
        for (const auto& [name, scores] : tall_signals()) {
            CAPTURE(name, sparsity);
            CHECK(keeps_blocks(TestType{.sparsity = sparsity}, scores, TestType::block_rows));
        }
}

TEMPLATE_LIST_TEST_CASE("a pattern of blocks writes every bit and ignores the scale", "",
                        block_patterns) {
    for (const auto& [name, scores] : tall_signals()) {
        CAPTURE(name);
        CHECK(writes_every_bit(TestType{}, scores));
        CHECK(ignores_scale(TestType{}, scores));
    }
}

TEMPLATE_LIST_TEST_CASE("a pattern of blocks keeps more of a lower sparsity", "", block_patterns) {
    for (const auto& [name, scores] : tall_signals()) {
        CAPTURE(name);
        std::size_t before = 0;
        for (const float sparsity : {0.99f, 0.75f, 0.5f, 0.25f, 0.0f}) {
            bits kept(scores.rows(), scores.cols());
            REQUIRE(
                prune::detail::select(TestType{.sparsity = sparsity}, scores.view(), kept.view()));
            CHECK(kept.view().count() >= before);
            CHECK(kept.view().count() > 0);
            before = kept.view().count();
        }
    }
}

TEMPLATE_LIST_TEST_CASE("a pattern of blocks accepts its defaults and leaves empty masks", "",
                        block_patterns) {
    CHECK(TestType{}.check());
    for (const auto& [rows, cols] : {std::array<std::size_t, 2>{0, 0}, {0, 5}, {5, 0}})
        CHECK(selected(TestType{}, matrix(rows, cols)).find('1') == std::string::npos);
}

TEST_CASE("unstructured keeps the best of a row, the first of equals") {
    for (const float sparsity : {0.25f, 0.5f, 0.9f})
        for (const auto& [name, scores] : signals()) {
            CAPTURE(name, sparsity);
            CHECK(keeps_the_best(prune::unstructured{sparsity}, scores, scores.cols()));
        }
}

namespace {

// Whether n_m<N, M> keeps all that n_m<N - 1, M> does, for N = 2 .. M.
template <int M, int... I>
bool grows_with_n(const matrix& scores, std::integer_sequence<int, I...>) {
    const auto contains = [](const std::string& larger, const std::string& smaller) {
        for (std::size_t i = 0; i < larger.size(); ++i)
            if (smaller[i] == '1' && larger[i] != '1') return false;
        return true;
    };
    return (contains(selected(prune::n_m<I + 2, M>{}, scores),
                     selected(prune::n_m<I + 1, M>{}, scores)) &&
            ...);
}

}  // namespace

TEST_CASE("a larger N keeps a superset") {
    for (const auto& [name, scores] : signals()) {
        CAPTURE(name);
        CHECK(grows_with_n<4>(scores, std::make_integer_sequence<int, 3>{}));
        CHECK(grows_with_n<7>(scores, std::make_integer_sequence<int, 6>{}));
        CHECK(grows_with_n<16>(scores, std::make_integer_sequence<int, 15>{}));
    }
}

TEST_CASE("a lower sparsity keeps a superset") {
    for (const auto& [name, scores] : signals()) {
        CAPTURE(name);
        std::string before = selected(prune::unstructured{0.95f}, scores);
        for (const float sparsity : {0.9f, 0.75f, 0.5f, 0.3f, 0.0f}) {
            const std::string mask = selected(prune::unstructured{sparsity}, scores);
            for (std::size_t i = 0; i < mask.size(); ++i)
                if (before[i] == '1') CHECK(mask[i] == '1');
            before = mask;
        }
    }
}

TEMPLATE_LIST_TEST_CASE("unstructured retains at least as much as any n_m that keeps as many", "",
                        n_m_patterns) {
    for (const auto& [name, scores] : signals()) {
        if (scores.cols() % TestType::m != 0) continue;
        const prune::unstructured same_count{1.0f - static_cast<float>(TestType::n) / TestType::m};
        CAPTURE(name);
        CHECK(retained(same_count, scores) >= retained(TestType{}, scores));
    }
}

// --- The laws bite ------------------------------------------------------------------------------

namespace {

// n_m<2, 4> with one mistake each.
template <class Worse>
struct wrong_n_m {
    pare::status check() const noexcept { return {}; }
    void select(pare::matrix_view<const float> scores, prune::mask_view kept) const noexcept {
        for (std::size_t r = 0; r < scores.rows(); ++r)
            for (std::size_t c = 0; c < scores.cols(); ++c) {
                const std::size_t begin = c / 4 * 4;
                const std::size_t end = begin + 4 < scores.cols() ? begin + 4 : scores.cols();
                int better = 0;
                for (std::size_t other = begin; other < end; ++other)
                    better += Worse{}(scores(r, c), c, scores(r, other), other);
                Worse::set(kept, r, c, better < 2);
            }
    }
};
struct keeps_the_last_of_equals {
    bool operator()(float a, std::size_t i, float b, std::size_t j) const {
        return b > a || (b == a && j > i);
    }
    static void set(prune::mask_view kept, std::size_t r, std::size_t c, bool keep) {
        kept.set(r, c, keep);
    }
};
struct keeps_the_smallest {
    bool operator()(float a, std::size_t i, float b, std::size_t j) const {
        return b < a || (b == a && j < i);
    }
    static void set(prune::mask_view kept, std::size_t r, std::size_t c, bool keep) {
        kept.set(r, c, keep);
    }
};
struct keeps_all_equals {
    bool operator()(float a, std::size_t, float b, std::size_t) const { return b > a; }
    static void set(prune::mask_view kept, std::size_t r, std::size_t c, bool keep) {
        kept.set(r, c, keep);
    }
};
struct only_sets_bits {
    bool operator()(float a, std::size_t i, float b, std::size_t j) const {
        return b > a || (b == a && j < i);
    }
    static void set(prune::mask_view kept, std::size_t r, std::size_t c, bool keep) {
        if (keep) kept.set(r, c, true);
    }
};
// Prunes what is below one, whatever the scale.
struct threshold {
    pare::status check() const noexcept { return {}; }
    void select(pare::matrix_view<const float> scores, prune::mask_view kept) const noexcept {
        for (std::size_t r = 0; r < scores.rows(); ++r)
            for (std::size_t c = 0; c < scores.cols(); ++c) kept.set(r, c, scores(r, c) >= 1.0f);
    }
};
// Keeps every weight of even rows and none of odd ones.
struct by_row_number {
    pare::status check() const noexcept { return {}; }
    void select(pare::matrix_view<const float> scores, prune::mask_view kept) const noexcept {
        for (std::size_t r = 0; r < scores.rows(); ++r)
            for (std::size_t c = 0; c < scores.cols(); ++c) kept.set(r, c, r % 2 == 0);
    }
};

// Whether a law, a function of a matrix of scores, holds for every signal.
bool holds(auto law) {
    for (const auto& [name, scores] : signals())
        if (!law(scores)) return false;
    return true;
}

}  // namespace

TEST_CASE("the laws of patterns find wrong patterns") {
    STATIC_REQUIRE(prune::pattern<wrong_n_m<keeps_all_equals>>);
    const auto best = [](const auto& pattern) {
        return holds([&](const matrix& scores) { return keeps_the_best(pattern, scores, 4); });
    };
    const auto counts = [](const auto& pattern) {
        return holds([&](const matrix& scores) { return keeps_n_of_m(pattern, scores, 2, 4); });
    };
    CHECK(best(prune::n_m<2, 4>{}));
    CHECK(counts(prune::n_m<2, 4>{}));
    CHECK_FALSE(best(wrong_n_m<keeps_the_last_of_equals>{}));
    CHECK_FALSE(best(wrong_n_m<keeps_the_smallest>{}));
    CHECK_FALSE(counts(wrong_n_m<keeps_all_equals>{}));
    CHECK_FALSE(counts(prune::n_m<3, 4>{}));
    const auto blocks = [](const auto& pattern, const matrix& scores) {
        return keeps_blocks(pattern, scores, 4);
    };
    const matrix falling(9, 1, {8, 8, 8, 8, 7, 7, 7, 7, 1});
    CHECK(blocks(prune::block<4>{}, falling));
    CHECK_FALSE(blocks(prune::block<3>{}, falling));
    CHECK_FALSE(blocks(prune::unstructured{0.3f}, falling));
    CHECK_FALSE(holds([](const matrix& scores) {
        return writes_every_bit(wrong_n_m<only_sets_bits>{}, scores);
    }));
    CHECK_FALSE(holds([](const matrix& scores) { return ignores_scale(threshold{}, scores); }));
    CHECK_FALSE(
        holds([](const matrix& scores) { return rows_are_independent(by_row_number{}, scores); }));
}
