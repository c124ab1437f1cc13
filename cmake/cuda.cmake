# What the project's own GPU code is compiled with, for sm_80 and sm_90 unless CMAKE_CUDA_ARCHITECTURES
# says otherwise, and pare_gpu: the kernels that tests, example and benchmarks run, and cuBLAS. The
# library itself asks for none of this.
if(NOT DEFINED CMAKE_CUDA_ARCHITECTURES)
    set(CMAKE_CUDA_ARCHITECTURES 80 90)
endif()
enable_language(CUDA)
find_package(CUDAToolkit 12.5 REQUIRED)  # PTX 8.5: mma.sp of ordered metadata

set(gpu_dir ${PROJECT_SOURCE_DIR}/examples/gpu)
add_library(pare_gpu STATIC ${gpu_dir}/device.cu ${gpu_dir}/cublas.cpp)
# CMake before 3.26 does not know that nvcc can do C++20.
target_compile_options(pare_gpu PRIVATE
    $<$<COMPILE_LANGUAGE:CUDA>:-std=c++20 -Werror=all-warnings -Xptxas=-warn-spills>)
target_include_directories(pare_gpu PUBLIC ${gpu_dir})
target_link_libraries(pare_gpu PUBLIC pare::cuda CUDA::cudart CUDA::cublas)
