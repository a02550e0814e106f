#!/bin/sh
# Removes what a linux/x64 server never loads from node_modules: other platforms' binaries, and what only compilers read.
set -eu
modules=${1:?expected the path of node_modules}
runtime=$modules/onnxruntime-node/bin/napi-v6
[ -f "$runtime/linux/x64/libonnxruntime.so.1" ] || { echo "expected libonnxruntime.so.1 in $runtime/linux/x64, got none" >&2; exit 1; }
rm -rf "$runtime/darwin" "$runtime/win32" "$runtime/linux/arm64"
find "$modules" -type f \( -name '*.map' -o -name '*.d.ts' -o -name '*.d.mts' -o -name '*.d.cts' \) -delete
