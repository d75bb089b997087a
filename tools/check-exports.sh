#!/bin/sh
# The shared library exports esp_ names only.   tools/check-exports.sh LIBRARY
set -eu
foreign=$(nm -D --defined-only "$1" | awk '{print $3}' | grep -v '^esp_' || true)
[ -z "$foreign" ] && exit 0
echo "exported without the esp_ prefix:" $foreign >&2
exit 1
