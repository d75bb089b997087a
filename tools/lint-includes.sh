#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# The layers of docs/architecture.md: a folder includes only itself and folders before it in the list; run and create
# never include each other; only the command line sees both. JSON is written in one place, no tag is defined twice, and each
# source file names its licence. Prints every line that breaks this.
set -eu
cd "$(dirname "$0")/.."

bad=0
# allowed LAYER OTHER...: the includes "x/..." in src/LAYER name only LAYER or OTHER.
allowed() {
    layer=$1
    pattern=$(echo "$*" | tr ' ' '|')
    [ -d "src/$layer" ] || return 0
    if grep -rnE '^#include "[a-z_]+/' "src/$layer" | grep -vE "#include \"($pattern)/"; then
        echo "src/$layer may include only: $*" >&2
        bad=1
    fi
    if grep -rnE '^#include "\.\.' "src/$layer"; then
        echo "includes are written \"layer/file.h\"" >&2
        bad=1
    fi
}
allowed base
allowed kernels base
allowed text base kernels
allowed model base kernels text
allowed tasks base kernels text model
allowed eval base kernels text model tasks
allowed run base kernels text model tasks
allowed api base kernels text model tasks run
allowed create base kernels text model tasks eval
allowed serve base kernels text model tasks run

if grep -rnE '#include [<"](oneapi/|dnnl|mpi|microhttpd)' src --include='*.[ch]' | grep -vE '^src/(create|serve)/'; then
    echo "the runtime library links neither oneDNN nor MPI nor HTTP" >&2
    bad=1
fi
if grep -rnE '\<json_((pack|dump|load|array|object|string|integer|real|boolean)[a-z]*|v?pack_ex|[v]?sprintf|stringn?_nocheck|(object|array)_(set|update|append|insert|extend)[a-z_]*)\(' \
    src cli --include='*.[ch]' | grep -v '^src/base/'; then
    echo "JSON is written by base/json_writer.h, and changed by espi_json_update: see docs/architecture.md" >&2
    bad=1
fi
repeated=$(grep -rhoE '^(struct|enum|union) espi?_[a-z0-9_]+ \{' src cli include --include='*.[ch]' | sort | uniq -d)
if [ -n "$repeated" ]; then
    echo "defined twice, so that nobody knows which one a line means: $repeated" >&2
    bad=1
fi
unlicensed=$(git grep -L 'SPDX-License-Identifier: Apache-2.0' -- .ci '*Makefile' '*CMakeLists.txt' '*.cmake' '*.in' \
    '*.[ch]' '*.inc' '*.sh' '*.bash' '*.py' '*.mjs' '*.supp' '*.1' || true)
if [ -n "$unlicensed" ]; then
    echo "the first lines of a source file hold \"SPDX-License-Identifier: Apache-2.0\"; not so in: $unlicensed" >&2
    bad=1
fi
exit $bad
