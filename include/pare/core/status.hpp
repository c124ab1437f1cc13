// SPDX-FileCopyrightText: the pare authors
// SPDX-License-Identifier: Apache-2.0
#ifndef PARE_CORE_STATUS_HPP
#define PARE_CORE_STATUS_HPP

#include "config.hpp"

#include <cstddef>
#include <cstdint>
#include <optional>
#include <utility>

namespace pare {

/// Why a call was refused. Nothing in the library throws; every refusal leaves the output untouched
/// unless the function says otherwise.
enum class errc : std::uint8_t {
    shape_mismatch,       ///< extents of two arguments disagree
    not_contiguous,       ///< a view has a stride the operation cannot take
    not_a_number,         ///< NaN or infinity where a finite value is required
    invalid_argument,     ///< a parameter outside its documented range
    missing_calibration,  ///< the saliency needs statistics that the calibration lacks
    pattern_violated,     ///< a mask does not have the pattern it is packed for
    buffer_too_small,     ///< the caller's memory is smaller than required_bytes()
    out_of_memory,        ///< an allocation failed
    io_failure,           ///< the operating system refused a file operation, or a driver a call
    malformed_file,       ///< a file breaks the rules of its format
    not_found,            ///< no tensor of that name
    wrong_type,           ///< the stored tensor has another dtype or format
};

/// A refusal: its kind, one sentence (a string literal) and, where it helps, a position: the row of
/// a weight, the byte of a file.
struct error {
    errc code;
    const char* message;
    std::size_t where = 0;
};

/// Either a T or an error, in the manner of std::expected.
template <class T>
class [[nodiscard]] result {
  public:
    using value_type = T;

    result(T value) : value_(std::move(value)), error_{} {}
    constexpr result(pare::error e) noexcept : error_(e) {}

    constexpr explicit operator bool() const noexcept { return value_.has_value(); }
    constexpr bool has_value() const noexcept { return value_.has_value(); }

    /// @pre has_value()
    constexpr T& operator*() & noexcept { return *checked(); }
    constexpr const T& operator*() const& noexcept { return *checked(); }
    constexpr T&& operator*() && noexcept { return std::move(*checked()); }
    constexpr T* operator->() noexcept { return &*checked(); }
    constexpr const T* operator->() const noexcept { return &*checked(); }

    /// @pre !has_value()
    constexpr const pare::error& error() const noexcept {
        PARE_ASSERT(!value_, "error() of a result that holds a value");
        return error_;
    }

  private:
    constexpr std::optional<T>& checked() noexcept {
        PARE_ASSERT(value_, "value of a result that holds an error");
        return value_;
    }
    constexpr const std::optional<T>& checked() const noexcept {
        PARE_ASSERT(value_, "value of a result that holds an error");
        return value_;
    }

    std::optional<T> value_;
    pare::error error_;
};

/// Success or an error.
template <>
class [[nodiscard]] result<void> {
  public:
    using value_type = void;

    constexpr result() noexcept = default;
    constexpr result(pare::error e) noexcept : error_(e), failed_(true) {}

    constexpr explicit operator bool() const noexcept { return !failed_; }
    constexpr bool has_value() const noexcept { return !failed_; }
    /// @pre !has_value()
    constexpr const pare::error& error() const noexcept {
        PARE_ASSERT(failed_, "error() of a result that succeeded");
        return error_;
    }

  private:
    pare::error error_{};
    bool failed_ = false;
};

using status = result<void>;

}  // namespace pare

#endif  // PARE_CORE_STATUS_HPP
