#!/bin/sh
# Builds the libraries and installs them with header, pkg-config and CMake files: install.sh PREFIX [FOLDER WITH LIBRARIES].
set -eu
prefix=${1:?"usage: install.sh PREFIX [FOLDER WITH LIBRARIES]"}
here=$(cd "$(dirname "$0")" && pwd)
libraries=${2:-}
if [ -z "$libraries" ]; then
    cargo build --release --manifest-path "$here/Cargo.toml"
    libraries=${CARGO_TARGET_DIR:-$here/../../target}/release
fi
mkdir -p "$prefix/include" "$prefix/lib/pkgconfig" "$prefix/lib/cmake/execmem"
cp "$here/include/execmem.h" "$prefix/include/"
cp "$libraries/libexecmem_c.a" "$libraries/libexecmem_c.so" "$prefix/lib/"
cp "$here/package/execmem.pc" "$prefix/lib/pkgconfig/"
cp "$here/package/execmem-config.cmake" "$here/package/execmem-config-version.cmake" "$prefix/lib/cmake/execmem/"
