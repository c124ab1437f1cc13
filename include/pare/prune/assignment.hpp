// SPDX-FileCopyrightText: the pare authors
// SPDX-License-Identifier: Apache-2.0
#ifndef PARE_PRUNE_ASSIGNMENT_HPP
#define PARE_PRUNE_ASSIGNMENT_HPP

#include "../core/buffer.hpp"
#include "../core/dtype.hpp"
#include "../core/tensor_view.hpp"

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <utility>

namespace pare::prune::inline PARE_ARCH_NAMESPACE {

/// Linear assignment: every row gets a column of its own so that the sum of costs is least.
/// Shortest augmenting paths, one per row: Jonker and Volgenant, Computing 38 (1987), in the form
/// of Crouse, "On implementing 2D rectangular assignment algorithms", IEEE TAES 52(4) (2016). At
/// most rows^2 * cols steps whatever the costs: no tolerance decides when to end. Sums are doubles,
/// so the total is least to some ulps of the largest cost. The memory is made once.
class assignment {
  public:
    static constexpr std::uint32_t none = 0xffffffffu;

    static result<assignment> make(std::size_t max_rows, std::size_t max_cols) noexcept;

    /// costs (rows, cols), rows <= cols; columns (rows) receives the column of each row.
    /// @return the least sum; shape_mismatch, not_a_number, or buffer_too_small for more rows or
    /// columns than were made. Allocates nothing.
    result<double> solve(matrix_view<const float> costs, std::span<std::uint32_t> columns) noexcept;

    /// After solve(): prices with cost(r, c) >= row + column price, equal where r has c; if rows <
    /// cols, column prices are <= 0, and 0 where no row has c. They prove that the sum is least.
    std::span<const double> row_prices() const noexcept { return row_prices_.span().first(rows_); }
    std::span<const double> column_prices() const noexcept {
        return column_prices_.span().first(cols_);
    }

  private:
    static constexpr std::size_t lanes = 8;
    // Beyond any path length; finite, for -ffast-math forgets what infinity is.
    static constexpr double beyond = 1e299, closed = 1e300;

    status check(matrix_view<const float> costs, std::span<std::uint32_t> columns) noexcept;
    void reduce_columns(matrix_view<const float> costs) noexcept;
    void add_row(matrix_view<const float> costs, std::uint32_t row) noexcept;
    std::uint32_t relax(std::span<const float> costs, std::uint32_t row, double base) noexcept;

    std::size_t rows_ = 0, cols_ = 0;
    buffer<double> row_prices_, column_prices_;
    buffer<double> open_price_;        // (cols) the column's price, `closed` once on the tree
    buffer<double> distance_;          // (cols) of the shortest path found to an open column
    buffer<double> taken_;             // (cols) 0, or `beyond` when a row has the column
    buffer<std::int64_t> parent_;      // (cols) the row before it on that path
    buffer<std::uint32_t> row_of_;     // (cols)
    buffer<std::uint32_t> column_of_;  // (rows)
    buffer<std::uint32_t> tree_;       // (cols) columns of the tree in the order they joined
    buffer<double> tree_distance_;     // (cols) and their distances
    buffer<float> costs_;              // (cols) a row whose columns do not lie side by side
};

inline result<assignment> assignment::make(std::size_t max_rows, std::size_t max_cols) noexcept {
    assignment made;
    const auto grow = [](auto& memory, std::size_t size) {
        auto grown = std::remove_reference_t<decltype(memory)>::make(size);
        if (grown) memory = *std::move(grown);
        return grown.has_value();
    };
    if (grow(made.row_prices_, max_rows) && grow(made.column_prices_, max_cols) &&
        grow(made.open_price_, max_cols) && grow(made.distance_, max_cols) &&
        grow(made.parent_, max_cols) && grow(made.taken_, max_cols) &&
        grow(made.row_of_, max_cols) && grow(made.column_of_, max_rows) &&
        grow(made.tree_, max_cols) && grow(made.tree_distance_, max_cols) &&
        grow(made.costs_, max_cols))
        return made;
    return error{errc::out_of_memory, "assignment: an allocation failed"};
}

inline status assignment::check(matrix_view<const float> costs,
                                std::span<std::uint32_t> columns) noexcept {
    if (costs.rows() > costs.cols() || columns.size() != costs.rows())
        return error{errc::shape_mismatch,
                     "assignment: rows must be at most as many as columns, "
                     "and one column is written per row"};
    if (costs.rows() > column_of_.size() || costs.cols() > row_of_.size())
        return error{errc::buffer_too_small, "assignment: made for fewer rows or columns"};
    for (std::size_t r = 0; r < costs.rows(); ++r) {
        const float* row = costs.data_handle() + r * costs.row_stride();
        bool finite = true;
        for (std::size_t c = 0; c < costs.cols(); ++c)
            finite &= is_finite(row[c * costs.col_stride()]);
        if (!finite) return error{errc::not_a_number, "assignment: a cost is NaN or infinite", r};
    }
    return {};
}

inline result<double> assignment::solve(matrix_view<const float> costs,
                                        std::span<std::uint32_t> columns) noexcept {
    if (auto ok = check(costs, columns); !ok) return ok.error();
    rows_ = costs.rows();
    cols_ = costs.cols();
    for (std::size_t r = 0; r < rows_; ++r) row_prices_[r] = 0.0, column_of_[r] = none;
    for (std::size_t c = 0; c < cols_; ++c)
        column_prices_[c] = 0.0, taken_[c] = 0.0, row_of_[c] = none;
    if (rows_ == cols_) reduce_columns(costs);
    for (std::size_t r = 0; r < rows_; ++r)
        if (column_of_[r] == none) add_row(costs, static_cast<std::uint32_t>(r));
    double total = 0.0;
    for (std::size_t r = 0; r < rows_; ++r) {
        columns[r] = column_of_[r];
        total += static_cast<double>(costs(r, columns[r]));
    }
    return total;
}

// Where every column will have a row, its least cost is a price to begin with, and a row to which
// it is the least takes it at once.
inline void assignment::reduce_columns(matrix_view<const float> costs) noexcept {
    for (std::size_t c = 0; c < cols_; ++c) {
        column_prices_[c] = static_cast<double>(costs(0, c));
        parent_[c] = 0;
    }
    for (std::size_t r = 1; r < rows_; ++r)
        for (std::size_t c = 0; c < cols_; ++c) {
            const double cost = static_cast<double>(costs(r, c));
            if (cost >= column_prices_[c]) continue;
            column_prices_[c] = cost;
            parent_[c] = static_cast<std::int64_t>(r);
        }
    for (std::size_t c = 0; c < cols_; ++c) {
        const auto r = static_cast<std::uint32_t>(parent_[c]);
        if (column_of_[r] != none) continue;
        column_of_[r] = static_cast<std::uint32_t>(c);
        row_of_[c] = r;
        taken_[c] = beyond;
    }
}

// Dijkstra's algorithm over reduced costs, from a row that has no column to the nearest column that
// no row has; then prices change so that costs on the path are tight, and its columns move on by
// one.
inline void assignment::add_row(matrix_view<const float> costs, std::uint32_t row) noexcept {
    for (std::size_t c = 0; c < cols_; ++c)
        open_price_[c] = column_prices_[c], distance_[c] = beyond;
    std::size_t n_tree = 0;
    double reached = 0.0;
    std::uint32_t column = none;
    for (std::uint32_t at = row;;) {
        std::span<const float> line;
        if (costs.col_stride() == 1) line = costs.row_span(at);
        else {
            for (std::size_t c = 0; c < cols_; ++c) costs_[c] = costs(at, c);
            line = costs_.span().first(cols_);
        }
        column = relax(line, at, reached - row_prices_[at]);
        reached = distance_[column];
        if (row_of_[column] == none) break;
        tree_[n_tree] = column;
        tree_distance_[n_tree++] = reached;
        distance_[column] = beyond;
        open_price_[column] = -closed;
        at = row_of_[column];
    }
    taken_[column] = beyond;
    row_prices_[row] += reached;
    for (std::size_t i = 0; i < n_tree; ++i) {
        const double change = reached - tree_distance_[i];
        row_prices_[row_of_[tree_[i]]] += change;
        column_prices_[tree_[i]] -= change;
    }
    for (std::uint32_t at = none; at != row;) {
        at = static_cast<std::uint32_t>(parent_[column]);
        row_of_[column] = at;
        column = std::exchange(column_of_[at], column);
    }
}

// Shortens paths by going through `row`, `base` = distance of the row - its price. @return the
// nearest open column, a free one among equals
inline std::uint32_t assignment::relax(std::span<const float> costs, std::uint32_t row,
                                       double base) noexcept {
    using floats [[gnu::vector_size(lanes * sizeof(float))]] = float;
    using doubles [[gnu::vector_size(lanes * sizeof(double))]] = double;
    using words [[gnu::vector_size(lanes * sizeof(double))]] = std::int64_t;
    const auto load = [](auto& to, const auto* from) { std::memcpy(&to, from, sizeof(to)); };
    const auto store = [](auto* to, const auto& from) { std::memcpy(to, &from, sizeof(from)); };
    const std::size_t whole = cols_ / lanes * lanes;
    doubles nearest = doubles{} + beyond, nearest_free = doubles{} + beyond;
    words where{}, where_free{};  // each lane's first column at that distance, / lanes
    for (std::size_t c = 0; c < whole; c += lanes) {
        floats cost;
        doubles price, distance, taken;
        words parent;
        load(cost, &costs[c]), load(price, &open_price_[c]), load(distance, &distance_[c]);
        load(taken, &taken_[c]), load(parent, &parent_[c]);
        const doubles d = base + __builtin_convertvector(cost, doubles) - price;
        const words shorter = d < distance;
        distance = shorter ? d : distance;
        parent = shorter ? words{} + row : parent;
        store(&distance_[c], distance), store(&parent_[c], parent);
        const words at = words{} + static_cast<std::int64_t>(c / lanes);
        where = distance < nearest ? at : where;
        nearest = distance < nearest ? distance : nearest;
        const doubles if_free = distance + taken;
        where_free = if_free < nearest_free ? at : where_free;
        nearest_free = if_free < nearest_free ? if_free : nearest_free;
    }
    double least = beyond;
    std::uint32_t found = none;
    const auto offer = [&](double distance, std::size_t column, bool free) {
        if (distance < least || (free && distance == least && distance < beyond))
            least = distance, found = static_cast<std::uint32_t>(column);
    };
    for (std::size_t i = 0; i < lanes; ++i)
        offer(nearest[i], static_cast<std::size_t>(where[i]) * lanes + i, false);
    for (std::size_t c = whole; c < cols_; ++c) {
        const double d = base + static_cast<double>(costs[c]) - open_price_[c];
        if (d < distance_[c]) distance_[c] = d, parent_[c] = row;
        offer(distance_[c], c, taken_[c] == 0.0);
    }
    for (std::size_t i = 0; i < lanes; ++i)
        offer(nearest_free[i], static_cast<std::size_t>(where_free[i]) * lanes + i, true);
    return found;
}

}  // namespace pare::prune::inline PARE_ARCH_NAMESPACE

#endif  // PARE_PRUNE_ASSIGNMENT_HPP
