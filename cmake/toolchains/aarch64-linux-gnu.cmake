# Debian: g++-aarch64-linux-gnu, and qemu-user to run what it builds.
set(CMAKE_SYSTEM_NAME Linux)
set(CMAKE_SYSTEM_PROCESSOR aarch64)
set(CMAKE_CXX_COMPILER aarch64-linux-gnu-g++)
set(CMAKE_CROSSCOMPILING_EMULATOR qemu-aarch64 -L /usr/aarch64-linux-gnu)

# xsimd is headers alone, yet Debian files its package under the architecture of the build machine.
file(GLOB xsimd_DIR /usr/lib/*-linux-gnu/cmake/xsimd)
