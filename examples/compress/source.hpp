// SPDX-FileCopyrightText: the pare authors
// SPDX-License-Identifier: Apache-2.0
#ifndef PARE_EXAMPLES_COMPRESS_SOURCE_HPP
#define PARE_EXAMPLES_COMPRESS_SOURCE_HPP

#include "channel_loss.hpp"

#include <pare/io/gguf_reader.hpp>
#include <pare/io/safetensors_reader.hpp>

#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

namespace compressor {

/// A dense tensor of a source.
class tensor {
  public:
    tensor(const pare::io::tensor_info& t) : info_(t) {}
    tensor(const pare::io::gguf_tensor& t) : info_(t) {}

    std::string_view name() const {
        return std::visit([](const auto& t) { return t.name; }, info_);
    }
    std::span<const std::size_t> shape() const {
        return loss_ ? std::span<const std::size_t>(shape_left_) : whole_shape();
    }
    std::size_t size() const { return pare::io::n_elements(shape()); }
    /// Of a type that is read as float.
    bool holds_floats() const;
    /// As which it is read.
    pare::io::dtype type() const;

    /// As safetensors have it: in place, or in `memory` where they have no such type, floats then,
    /// or where channels are lost. @throws tools::failure, naming a type that is not read
    pare::io::tensor_info read(std::vector<float>& memory) const;

    /// Channels that it loses; nullptr: none.
    const channel_loss* loss() const { return loss_.get(); }
    void lose(std::shared_ptr<const channel_loss> channels);
    /// The same without regard to these.
    pare::io::tensor_info read_whole(std::vector<float>& memory) const;

  private:
    std::span<const std::size_t> whole_shape() const {
        return std::visit([](const auto& t) { return t.shape(); }, info_);
    }

    std::variant<pare::io::tensor_info, pare::io::gguf_tensor> info_;
    std::shared_ptr<const channel_loss> loss_;
    std::vector<std::size_t> shape_left_;  // with a loss
};

/// A dense model on disk, mapped.
class source {
  public:
    /// A GGUF file, known by how it begins, or a safetensors file. @throws tools::failure, also
    /// when the model is compressed already
    explicit source(const std::string& path);

    std::span<const tensor> tensors() const { return tensors_; }
    std::span<tensor> tensors() { return tensors_; }
    /// Texts; numbers and bools as such.
    const std::map<std::string, std::string>& metadata() const { return metadata_; }
    /// Arrays among the metadata, which are left out.
    std::size_t n_arrays() const { return n_arrays_; }

  private:
    void read_gguf(const std::string& path);
    void read_safetensors(const std::string& path);

    std::optional<pare::io::gguf_reader> gguf_;
    std::optional<pare::io::safetensors_reader> safetensors_;
    std::vector<tensor> tensors_;
    std::map<std::string, std::string> metadata_;
    std::size_t n_arrays_ = 0;
};

}  // namespace compressor

#endif  // PARE_EXAMPLES_COMPRESS_SOURCE_HPP
