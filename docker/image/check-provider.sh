#!/bin/sh
# Does the CUDA provider in a directory belong to the runtime beside it, to this CUDA, and does it find its libraries?
# Usage: check-provider.sh <directory of libonnxruntime.so.1> <major version of CUDA>
set -eu
directory=${1:?expected the directory of libonnxruntime.so.1}
major=${2:?expected the major version of CUDA}
provider=$directory/libonnxruntime_providers_cuda.so
fail() { echo "CUDA provider: $1" >&2; exit 1; }

for file in libonnxruntime.so.1 libonnxruntime_providers_shared.so libonnxruntime_providers_cuda.so provider-commit; do
  [ -f "$directory/$file" ] || fail "expected $file in $directory, got none"
done

# Provider and runtime share C++ objects, so both must be built from one commit.
wanted=$(sh "$(dirname "$0")/runtime-commit.sh" "$directory/libonnxruntime.so.1")
got=$(cat "$directory/provider-commit")
[ "$got" = "$wanted" ] || fail "expected one of commit $wanted, got $got"

libraries=$(ldd "$provider")
cudart=$(echo "$libraries" | sed -n 's/^[[:space:]]*\(libcudart\.so\.[0-9]*\).*/\1/p' | sort -u)
[ "$cudart" = "libcudart.so.$major" ] ||
  fail "expected one linked against libcudart.so.$major, got ${cudart:-none}; pass --build-arg CUDA_VERSION"

# libcuda.so.1 is the driver's: the container runtime puts it there.
missing=$(echo "$libraries" | sed -n 's/^[[:space:]]*\(.*\) => not found$/\1/p' | grep -v '^libcuda\.so\.1$' | tr '\n' ' ' || true)
[ -z "$missing" ] || fail "expected its libraries, missing: $missing"
echo "CUDA provider: commit $got, CUDA $major"
