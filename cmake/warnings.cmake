# How the project compiles its own executables: linked by them as pare_dev, never by the library.
if(NOT DEFINED PARE_ARCH_FLAGS AND NOT CMAKE_CROSSCOMPILING)
    include(CheckCXXCompilerFlag)
    check_cxx_compiler_flag(-march=native PARE_HAS_MARCH_NATIVE)
    if(PARE_HAS_MARCH_NATIVE)
        set(arch_default -march=native)
    endif()
endif()
set(PARE_ARCH_FLAGS "${arch_default}" CACHE STRING
    "Instruction-set flags of the tests, examples and benchmarks, such as \"-mavx2 -mfma -mf16c\"")
separate_arguments(pare_arch_flags NATIVE_COMMAND "${PARE_ARCH_FLAGS}")

if(NOT TARGET xsimd AND NOT CMAKE_CXX_FLAGS MATCHES "-DPARE_NO_XSIMD")
    message(FATAL_ERROR "pare: no xsimd found; install it (Debian: libxsimd-dev) or configure with "
                        "-DCMAKE_CXX_FLAGS=-DPARE_NO_XSIMD for the scalar kernels alone")
endif()

add_library(pare_dev INTERFACE)
target_compile_options(pare_dev INTERFACE
    -Wall -Wextra -Wpedantic -Wconversion -Wsign-conversion -Wshadow -Wold-style-cast
    -Wdouble-promotion ${pare_arch_flags})
if(CMAKE_CXX_COMPILER_ID STREQUAL GNU AND CMAKE_CXX_COMPILER_VERSION VERSION_LESS 13)
    # GCC bug 105593: version 12 warns about its own AVX-512 intrinsics.
    target_compile_options(pare_dev INTERFACE -Wno-uninitialized -Wno-maybe-uninitialized)
endif()
target_link_libraries(pare_dev INTERFACE pare::pare)
