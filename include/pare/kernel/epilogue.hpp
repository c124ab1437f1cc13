// SPDX-FileCopyrightText: the pare authors
// SPDX-License-Identifier: Apache-2.0
#ifndef PARE_KERNEL_EPILOGUE_HPP
#define PARE_KERNEL_EPILOGUE_HPP

#include "../core/config.hpp"

#include <span>

namespace pare::kernel {

/// What a matrix product does to its result before storing it.
struct epilogue {
    std::span<const float> bias{};  ///< (out_features), added once; none when empty.
                                    ///< Undefined where it overlaps the result
};

}  // namespace pare::kernel

#endif  // PARE_KERNEL_EPILOGUE_HPP
