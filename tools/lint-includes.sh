#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# The layers of docs/architecture.md, and the rooms of create: a folder includes only itself and those its row names, and no
# folder is without a row. What ends in _private.h is included by its own folder alone. JSON is written in one place, no tag is
# defined twice, and each source file names its licence. Prints every line that breaks this.
set -eu
cd "$(dirname "$0")/.."

bad=0
rows=" "
# allowed FOLDER OTHER...: the includes "x/..." in src/FOLDER name only FOLDER or OTHER.
allowed() {
    rows="$rows$1 "
    [ -d "src/$1" ] || return 0
    pattern=$(echo "$*" | tr ' ' '|')
    if grep -rnE '^#include "[a-z_]+/' "src/$1" | grep -vE "#include \"($pattern)/"; then
        echo "src/$1 may include only: $*" >&2
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
allowed serve base kernels text model tasks run

below="base kernels text model tasks eval"
allowed create/layers $below
allowed create/network $below create/layers
allowed create/state $below
allowed create/feed $below create/layers
allowed create/quantize $below create/layers create/network create/state
allowed create/prune $below create/state
allowed create/distill $below create/layers create/network create/state create/feed
allowed create/vocab $below
allowed create/init $below create/vocab
allowed create/train $below create/layers create/network create/state create/feed create/quantize create/prune create/distill
allowed create/compile $below run create/layers create/network create/feed create/quantize
allowed create/open $below run create/network
allowed create/demo $below create/init create/vocab create/train create/compile

for folder in src/*/ src/create/*/; do
    folder=${folder#src/}
    folder=${folder%/}
    case "$rows create " in
    *" $folder "*) ;;
    *)
        echo "src/$folder: has no row in tools/lint-includes.sh" >&2
        bad=1
        ;;
    esac
done
if find src src/create -maxdepth 1 -name '*.[ch]' | grep .; then
    echo "stands in no room" >&2
    bad=1
fi
if grep -rnE '^#include "\.\.' src cli; then
    echo "includes are written \"layer/file.h\"" >&2
    bad=1
fi
if grep -rnE '^#include "[a-z0-9_/]*_private\.h"' src cli | sed -E 's|^(([^:]*)/[^/:]*:.*"([^"]*)/[^/"]*")$|src/\3 \2 \1|' |
    awk '$1 != $2 && index($2, $1 "/") != 1 { sub(/^[^ ]* [^ ]* /, ""); print; found = 1 } END { exit !found }'; then
    echo "a private header is included by its own folder alone" >&2
    bad=1
fi
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
