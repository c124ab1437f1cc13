// SPDX-FileCopyrightText: the pare authors
// SPDX-License-Identifier: Apache-2.0
#ifndef PARE_EXAMPLES_VISION_ARCHITECTURE_HPP
#define PARE_EXAMPLES_VISION_ARCHITECTURE_HPP

#include "common/model_file.hpp"

#include <pare/kernel/window.hpp>

#include <cstddef>
#include <cstdint>
#include <string>
#include <variant>
#include <vector>

namespace vision {

/// The maps of one image.
struct extents {
    std::size_t channels = 0, height = 1, width = 1;

    std::size_t pixels() const { return height * width; }
    std::size_t size() const { return channels * pixels(); }
    pare::extent_2d map() const { return {height, width}; }
    bool operator==(const extents&) const = default;
};

/// Convolution, then per channel a scale and a shift, then perhaps ReLU. A fully connected layer is
/// one whose kernel covers its whole input.
struct convolution {
    std::string name;  ///< of its tensors: name.weight (out, in, height, width), perhaps name.bias
    std::string norm;  ///< of the tensors of its batch norm; empty: none
    pare::window over{};
    bool relu = true;
    bool has_bias = true;
    bool depthwise = false;  ///< channel by channel: name.weight (channels, 1, height, width)
};

/// to = ReLU(to + from). Where `from` has other extents, every stride-th of its pixels and zeros
/// for the channels it lacks, some of them in front: option A of He et al., arXiv:1512.03385.
struct residual {
    std::size_t front = 0;  ///< half of them, but where channels were cut
};

/// The largest of each window; no zeros around.
struct max_pool {
    pare::window over{};
};

/// The mean over all pixels.
struct average_pool {};

struct step {
    std::variant<convolution, residual, max_pool, average_pool> what;
    std::size_t from, to;  ///< slots of activations; different ones
    extents in, out;
};

/// What the files of a network's data set hold, and what the network sees of it.
struct image_format {
    enum class file : std::uint8_t {
        records,  ///< each a byte with the class, then the pixels
        idx       ///< MNIST's: images in one file, classes in another
    };

    extents each;
    file stored = file::records;
    bool is_signed = false;          ///< bytes are in [-128, 127]
    std::vector<float> mean, scale;  ///< per channel: (byte - mean) * scale is seen

    float seen(std::size_t channel, std::uint8_t byte) const {
        const int value = is_signed ? static_cast<std::int8_t>(byte) : byte;
        return (static_cast<float>(value) - mean[channel]) * scale[channel];
    }
};

/// A network as the list of its steps. Slot 0 has the image, the last step writes the logits.
struct architecture {
    static constexpr std::size_t n_slots = 4;

    std::string name;
    image_format input;
    float norm_eps = 0.0f;  ///< of the batch norms
    std::vector<step> steps;

    std::size_t n_classes() const { return steps.back().out.channels; }
    std::size_t multiply_adds() const;  ///< of its convolutions, per image
};

/// The key of the metadata that say how many channels a residual lacks in front.
inline std::string front_key(std::size_t step) { return "shortcut." + std::to_string(step); }

/// The network whose tensors these are, of any widths that fit together; every tensor has then been
/// found to have its shape, and no other to be there. @throws tools::failure, which names the
/// networks that are understood
architecture recognise(const tools::model_file& file);

}  // namespace vision

#endif  // PARE_EXAMPLES_VISION_ARCHITECTURE_HPP
