// SPDX-FileCopyrightText: the pare authors
// SPDX-License-Identifier: Apache-2.0
#ifndef PARE_EXAMPLES_GPU_DEVICE_HPP
#define PARE_EXAMPLES_GPU_DEVICE_HPP

#include <pare/core/tensor_view.hpp>
#include <pare/cuda/pack_hinm.hpp>
#include <pare/kernel/epilogue.hpp>

#include <cuda_runtime_api.h>
#include <cstddef>
#include <cstdio>
#include <cstdlib>
#include <span>
#include <string>
#include <utility>
#include <vector>

/// What a program needs around cuda::hinm_gemm: memory, a stream, times, and cuBLAS to compare
/// with.
namespace gpu {

inline void check(cudaError_t returned) {
    if (returned == cudaSuccess) return;
    std::fprintf(stderr, "CUDA: %s\n", cudaGetErrorString(returned));
    std::exit(1);
}
/// Why the kernel cannot run here; empty where it can.
inline std::string obstacle() {
    int n_devices = 0, major = 0;
    if (const auto returned = cudaGetDeviceCount(&n_devices); returned != cudaSuccess)
        return cudaGetErrorString(returned);
    if (n_devices == 0) return "no GPU";
    check(cudaDeviceGetAttribute(&major, cudaDevAttrComputeCapabilityMajor, 0));
    return major < 8 ? "the GPU is older than compute capability 8.0" : "";
}

/// Device memory of n Ts.
template <class T>
class array {
  public:
    explicit array(std::size_t n) : size_(n) {
        check(cudaMalloc(reinterpret_cast<void**>(&data_), n * sizeof(T) + 1));
    }
    explicit array(std::span<const T> values) : array(values.size()) {
        check(cudaMemcpy(data_, values.data(), values.size_bytes(), cudaMemcpyHostToDevice));
    }
    array(array&& other) noexcept
        : data_(std::exchange(other.data_, nullptr)), size_(other.size_) {}
    array& operator=(array&&) = delete;
    ~array() { cudaFree(data_); }

    T* data() const { return data_; }
    std::size_t size() const { return size_; }
    std::span<T> span() const { return {data_, size_}; }
    /// After all work that was queued.
    std::vector<T> to_host() const {
        check(cudaDeviceSynchronize());
        std::vector<T> values(size_);
        check(cudaMemcpy(values.data(), data_, size_ * sizeof(T), cudaMemcpyDeviceToHost));
        return values;
    }

  private:
    T* data_ = nullptr;
    std::size_t size_;
};

class stream {
  public:
    stream() {
        check(cudaStreamCreate(&stream_));
        for (cudaEvent_t& event : events_) check(cudaEventCreate(&event));
    }
    stream(const stream&) = delete;
    stream& operator=(const stream&) = delete;
    ~stream() {
        for (cudaEvent_t event : events_) cudaEventDestroy(event);
        cudaStreamDestroy(stream_);
    }
    operator cudaStream_t() const { return stream_; }

    /// Seconds that the device takes for what run() queues.
    template <class Run>
    double seconds(Run&& run) const {
        check(cudaEventRecord(events_[0], stream_));
        run();
        check(cudaEventRecord(events_[1], stream_));
        check(cudaEventSynchronize(events_[1]));
        float milliseconds = 0.0f;
        check(cudaEventElapsedTime(&milliseconds, events_[0], events_[1]));
        return static_cast<double>(milliseconds) * 1e-3;
    }

  private:
    cudaStream_t stream_ = nullptr;
    cudaEvent_t events_[2] = {};
};

/// Packed hinm weights on the device.
template <class T>
struct weights {
    array<T> values;
    array<std::uint32_t> words;
    pare::cuda::hinm<T> layout;

    explicit weights(const pare::packed::hinm<2, 4, T>& packed)
        : weights(packed, pare::cuda::shape_of(packed)) {}

  private:
    weights(const pare::packed::hinm<2, 4, T>& packed, const pare::cuda::hinm_shape& shape)
        : values(shape.n_values()), words(shape.n_words()) {
        std::vector<T> host_values(shape.n_values());
        std::vector<std::uint32_t> host_words(shape.n_words());
        const auto made = pare::cuda::pack(packed, std::span(host_values), std::span(host_words));
        if (!made) {
            std::fprintf(stderr, "%s\n", made.error().message);
            std::exit(1);
        }
        check(cudaMemcpy(values.data(), host_values.data(), host_values.size() * sizeof(T),
                         cudaMemcpyHostToDevice));
        check(cudaMemcpy(words.data(), host_words.data(), host_words.size() * 4,
                         cudaMemcpyHostToDevice));
        layout = made->over(values.data(), words.data());
    }
};

/// cuda::hinm_gemm as nvcc compiled it, for T f16 or bf16 and Y that or float.
template <class T, class Y>
pare::status hinm_gemm(const pare::cuda::hinm<T>& weights, pare::matrix_view<const T> x,
                       pare::matrix_view<Y> y, cudaStream_t stream,
                       const pare::epilogue& after = {}, std::span<std::byte> workspace = {});
template <class T, class Y>
std::size_t workspace_bytes(pare::matrix_view<const T> x, pare::matrix_view<Y> y);

/// Dense products by cuBLAS, summed in f32: y = x W^T for W (rows, cols), row by row, and x and y
/// token by token or feature by feature, without gaps.
class cublas {
  public:
    explicit cublas(cudaStream_t stream);
    cublas(const cublas&) = delete;
    cublas& operator=(const cublas&) = delete;
    ~cublas();

    template <class T>
    void gemm(const T* w, std::size_t rows, std::size_t cols, const T* x, T* y, std::size_t tokens,
              bool feature_major) const;

  private:
    void* handle_ = nullptr;
};

}  // namespace gpu

#endif  // PARE_EXAMPLES_GPU_DEVICE_HPP
