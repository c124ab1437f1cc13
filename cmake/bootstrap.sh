# Sourced by the run scripts: makes sure that the tools and libraries a job needs are there.
# On Debian 12 it installs what is missing; elsewhere it names what is needed and goes on with what is
# there (CMake then says what it cannot find).

pare_build_packages=(g++ cmake ninja-build libxsimd-dev libeigen3-dev)
pare_example_packages=(libcli11-dev nlohmann-json3-dev)
pare_test_packages=(catch2)
pare_bench_packages=(libbenchmark-dev libopenblas-dev libdnnl-dev libxsmm-dev python3)
pare_ci_packages=(clang-14 libclang-rt-14-dev clang-format-14 g++-aarch64-linux-gnu qemu-user
    libopenmpi-dev openmpi-bin)

die() {
    echo "pare: $*" >&2
    exit 1
}

# bootstrap PACKAGE...  (names of Debian 12)
bootstrap() {
    local missing=() package command log
    if ! (. /etc/os-release && [[ $ID == debian && $VERSION_ID == 12 ]]) 2>/dev/null; then
        echo "pare: not Debian 12, so nothing is installed; needed, by their Debian names: $*"
        for command in "${CXX:-c++}" cmake ninja; do
            command -v "$command" >/dev/null ||
                die "'$command' is missing; install it with this system's package manager and run again."
        done
        return
    fi
    for package in "$@"; do
        [[ $(dpkg-query -W -f='${db:Status-Status}' "$package" 2>/dev/null) == installed ]] ||
            missing+=("$package")
    done
    [[ ${#missing[@]} -gt 0 ]] || return 0

    local as_root=(env DEBIAN_FRONTEND=noninteractive)
    if [[ $EUID -ne 0 ]]; then
        command -v sudo >/dev/null ||
            die "missing packages, and neither root nor sudo to install them; as root run: apt-get install ${missing[*]}"
        as_root=(sudo "${as_root[@]}")
    fi
    echo "pare: installing ${missing[*]} (apt-get)"
    # A stale or broken source must not stop what the other sources can still provide.
    "${as_root[@]}" apt-get -qq update </dev/null >/dev/null 2>&1 || true
    log=$("${as_root[@]}" apt-get -qq install -y --no-install-recommends "${missing[@]}" </dev/null 2>&1) || {
        echo "$log" >&2
        die "apt-get could not install the packages above; check the network and /etc/apt/sources.list*, then run again."
    }
}

# configure BUILD_DIR CMAKE_OPTION...
configure() {
    echo "pare: configuring in $1"
    cmake -S "$root" -B "$1" -G Ninja -DCMAKE_BUILD_TYPE=Release --log-level=WARNING "${@:2}" ||
        die "CMake failed, see above; install what it names, or remove $1 if it was made with other settings."
}

# build BUILD_DIR [TARGET...]
build() {
    echo "pare: building in $1"
    cmake --build "$1" ${2+--target "${@:2}"} ||
        die "the build failed, see above; if sources or compilers changed under it, remove $1 and run again."
}

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
build_dir=${PARE_BUILD_DIR:-$root/build}
