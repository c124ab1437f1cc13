// SPDX-FileCopyrightText: the pare authors
// SPDX-License-Identifier: Apache-2.0
#ifndef PARE_EXAMPLES_LLM_CHECKPOINT_HPP
#define PARE_EXAMPLES_LLM_CHECKPOINT_HPP

#include "common/model_file.hpp"
#include "config.hpp"

#include <array>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace llm {

using token = std::uint32_t;

/// The linear layers of a block, in the order of their use.
enum class slot : std::uint8_t { q, k, v, o, gate, up, down };
inline constexpr std::size_t n_slots = 7;

/// The tensors of a block that are no linear layers.
enum class norm : std::uint8_t { attention, feed_forward };

/// A Llama-architecture model on disk, mapped: safetensors in one file or in shards, named as in
/// the original Llama (rotary pairs interleaved) or as in Hugging Face's (rotary halves). Opening
/// it checks that every tensor is there, has its shape and a known dtype, and that no other tensor
/// is. Linear layers may be compressed already (pare_compress).
class checkpoint {
  public:
    /// @param path  a .safetensors file, its .index.json, or the folder of either
    /// @throws tools::failure
    explicit checkpoint(const std::filesystem::path& path);

    const std::filesystem::path& path() const { return path_; }  ///< of the file, never a folder
    std::string name() const;                                    ///< for tables: the file's stem
    const config& shape() const { return config_; }
    bool interleaved_rotary() const { return !hugging_face_; }
    bool tied_output() const;
    /// Number of weights in all tensors, and in the linear layers of the blocks.
    std::size_t n_weights() const;
    std::size_t n_linear_weights() const;
    /// Stored bytes of all that is no linear layer of a block: embedding, head, norms, biases.
    std::size_t other_bytes() const;

    /// Of a layer's feed-forward part: the configuration's, or fewer where channels have left.
    std::size_t hidden_dim(std::size_t layer) const;
    /// Rows and columns of a linear layer: (out_features, in_features).
    std::array<std::size_t, 2> linear_shape(std::size_t layer, slot s) const;
    std::string linear_name(std::size_t layer, slot s) const;  ///< of its tensor
    const tools::model_tensor& linear(std::size_t layer, slot s) const;
    const tools::model_tensor& head() const;
    bool has_compressed() const;
    /// Empty when the model has none.
    std::vector<float> bias(std::size_t layer, slot s) const;
    std::vector<float> norm_weight(std::size_t layer, norm n) const;
    std::vector<float> final_norm_weight() const;
    /// Row `id` of the embedding. @pre id < vocab_size
    void embedding(token id, std::span<float> row) const;

  private:
    void open(const std::filesystem::path& path);
    void open_shards(const std::filesystem::path& index);
    void add_file(const std::filesystem::path& file);
    nlohmann::json find_config() const;
    void check_tensors() const;

    std::string layer_name(std::size_t layer, std::size_t which) const;
    std::string top_name(std::size_t which) const;
    const tools::model_tensor& tensor(const std::string& name) const;
    bool has(const std::string& name) const { return tensors_.find(name) != tensors_.end(); }
    std::vector<float> read(const std::string& name) const;

    std::filesystem::path path_;
    std::vector<tools::model_file> files_;
    std::map<std::string, tools::model_tensor, std::less<>> tensors_;
    bool hugging_face_ = false;
    config config_;
};

}  // namespace llm

#endif  // PARE_EXAMPLES_LLM_CHECKPOINT_HPP
