// SPDX-FileCopyrightText: the pare authors
// SPDX-License-Identifier: Apache-2.0
#ifndef PARE_EXAMPLES_COMPRESS_HASH_HPP
#define PARE_EXAMPLES_COMPRESS_HASH_HPP

#include <algorithm>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <span>
#include <string>

namespace compressor {

/// 64 bits that tell bytes from others, not from those of somebody who means harm: FNV-1a by words,
/// turned so that high bits count as low ones do.
/// @param before  the hash of what comes before them
inline std::uint64_t hash_of(std::span<const std::byte> bytes,
                             std::uint64_t before = 0xcbf29ce484222325) {
    constexpr std::uint64_t prime = 0x00000100000001b3;
    std::uint64_t hash = (before ^ bytes.size()) * prime;
    while (!bytes.empty()) {
        std::uint64_t word = 0;
        const std::size_t n = std::min(bytes.size(), sizeof(word));
        std::memcpy(&word, bytes.data(), n);
        hash = std::rotl(hash ^ word, 29) * prime;
        bytes = bytes.subspan(n);
    }
    return hash ^ (hash >> 32);
}

inline std::string in_hex(std::uint64_t hash) {
    char text[17];
    std::snprintf(text, sizeof(text), "%016llx", static_cast<unsigned long long>(hash));
    return text;
}

}  // namespace compressor

#endif  // PARE_EXAMPLES_COMPRESS_HASH_HPP
