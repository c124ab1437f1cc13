// SPDX-FileCopyrightText: the pare authors
// SPDX-License-Identifier: Apache-2.0
#ifndef PARE_EXAMPLES_COMPRESS_PARTS_HPP
#define PARE_EXAMPLES_COMPRESS_PARTS_HPP

#include "common/linear.hpp"
#include "measured.hpp"

#include <pare/io/safetensors_reader.hpp>

#include <filesystem>
#include <optional>
#include <span>
#include <string>
#include <string_view>

namespace compressor {

/// A layer that went through a recipe.
struct part_name {
    std::string_view tensor;
    const tools::recipe& recipe;
};

/// The finished layers of a run that is to write OUT: of each a safetensors file and a record of
/// it, in the folder OUT.parts. A run that is interrupted leaves them to the next one.
class parts {
  public:
    explicit parts(const std::string& out) : folder_(out + ".parts") {}
    ~parts();
    parts(const parts&) = delete;
    parts& operator=(const parts&) = delete;

    bool exist() const { return std::filesystem::exists(folder_); }
    /// Makes the folder, and clears it of files that were not finished. Until the process ends no
    /// other can. @throws failure
    void claim();

    /// A layer that an earlier run finished.
    /// @param key  says what it was made of
    /// @return nothing when there is none, it was made of something else, or is broken
    std::optional<measured> find(const part_name& name, const std::string& key) const;
    /// @param shape  of the dense tensor. @throws failure
    void save(const part_name& name, const std::string& key, const tools::linear& layer,
              std::span<const std::size_t> shape, const measured& is) const;
    /// A layer that is there. @throws failure
    pare::io::safetensors_reader open(const part_name& name) const;

    /// Where OUT lies until it is complete.
    std::string whole() const;
    /// Takes all away. @pre claim()
    void remove() const;

  private:
    std::filesystem::path file(const part_name& name, const char* extension) const;
    void remove_files(bool finished_ones) const;

    std::filesystem::path folder_;
    int lock_ = -1;  // the folder, open
};

}  // namespace compressor

#endif  // PARE_EXAMPLES_COMPRESS_PARTS_HPP
