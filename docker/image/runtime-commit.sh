#!/bin/sh
# The commit that an ONNX Runtime library says it was built from.
set -eu
library=${1:?expected the path of an ONNX Runtime library}
commit=$(grep -a -o -m 1 'git-commit-id=[0-9a-f]*' "$library" | head -n 1 | cut -d= -f2)
[ -n "$commit" ] || { echo "expected a commit in $library, got none" >&2; exit 1; }
echo "$commit"
