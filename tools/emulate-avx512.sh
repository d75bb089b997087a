#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Runs programs of a build on an emulated CPU with AVX-512 VNNI and VBMI, for machines whose own CPU has none. A Debian
# kernel boots under Bochs from a CD image that holds the programs and the libraries they need; what they print goes to
# stdout. Exit 0 when every command ended with 0.
#   tools/emulate-avx512.sh [-f FILE]... [-t SECONDS] BUILD [COMMAND]...
#     BUILD     directory of a build, such as build/release
#     COMMAND   a command line, run in BUILD, whose first word is a program there; without any: the kernel check with
#               few cases, and a unit test of kernels
#     -f FILE   a file or directory that the commands read; it stands at the same absolute path
#     -t N      give up after N seconds (default 14400)
# Needs `tools/install-deps.sh emulate` and, once for each build directory, Debian's package server for the kernel. The
# emulator has one CPU and runs some 30 million instructions a second.
set -eu

usage() {
    echo "usage: tools/emulate-avx512.sh [-f FILE]... [-t SECONDS] BUILD [COMMAND]..." >&2
    exit 2
}

fail() {
    echo "emulate-avx512.sh: $1" >&2
    exit 1
}

files=
seconds=14400
while getopts f:t: option; do
    case $option in
    f) files="$files$(realpath -es "$OPTARG" 2>/dev/null)
" || fail "$OPTARG: no such file" ;;
    t) seconds=$OPTARG ;;
    *) usage ;;
    esac
done
shift $((OPTIND - 1))
[ $# -ge 1 ] || usage
build=$(realpath -e "$1" 2>/dev/null) || fail "$1: no such directory"
shift
[ $# -ge 1 ] || set -- "tests/check/check --seed 1 --cases 40 --only avx512" tests/test_panel_ops
for tool in bochs busybox cpio strip xorriso; do
    command -v $tool >/dev/null || fail "$tool is missing: tools/install-deps.sh emulate"
done

work=$build/emulate
root=$work/root
mkdir -p "$work"
exec 9>"$work/lock"
flock -n 9 || fail "$build: another run is using this build"
rm -rf "$root" "$work/cd"
mkdir -p "$work/cd" "$root/bin" "$root/proc" "$root/dev" "$root/sys" "$root/tmp"

# ---- the kernel: Debian's for virtual machines, which is small, unpacks quickly and drives a serial line ----------------

if [ ! -f "$work/vmlinuz" ]; then
    package=$(apt-cache depends linux-image-cloud-amd64 | sed -n 's/.*Depends: //p')
    (cd "$work" && apt-get download -qq -o APT::Sandbox::User=root "${package:-linux-image-cloud-amd64}") ||
        fail "cannot download the kernel; perhaps apt-get update helps"
    dpkg-deb --fsys-tarfile "$work/$package"_*.deb | tar -xO --wildcards './boot/vmlinuz-*' >"$work/vmlinuz.new"
    rm "$work/$package"_*.deb
    mv "$work/vmlinuz.new" "$work/vmlinuz"
fi

# ---- what it finds in memory: busybox, the programs, their libraries, the files -----------------------------------------

add_libraries_of() {
    ldd "$1" | sed -n 's/^[^/]*\(\/[^ ]*\) (.*/\1/p' | while read -r library; do
        mkdir -p "$root$(dirname "$library")"
        cp -L "$library" "$root$library"
    done
}

# A program at its own path, without its debugging symbols, and the shared libraries it loads: oneDNN when it needs it.
add_program() {
    mkdir -p "$root$(dirname "$1")"
    strip -o "$root$1" "$1"
    add_libraries_of "$1"
    name=$(grep -aom 1 'libdnnl\.so\.[0-9]*' "$1" | head -1)
    [ -n "$name" ] || return 0
    library=$(/sbin/ldconfig -p | sed -n "s/^.*$name (.* => //p" | head -1)
    mkdir -p "$root$(dirname "$library")"
    cp -L "$library" "$root$library"
    add_libraries_of "$library"
}

for command; do
    program=$(realpath -e "$build/${command%% *}" 2>/dev/null) || fail "$build has no program ${command%% *}"
    add_program "$program"
    printf '%s\n' "$command" >>"$root/commands"
done
printf '%s' "$files" | while read -r file; do
    (cd / && cp -rpL --parents "${file#/}" "$root")
done
cp "$(command -v busybox)" "$root/bin/busybox"
cat >"$root/init" <<END
#!/bin/busybox sh
/bin/busybox --install -s /bin
export PATH=/bin
mount -t proc proc /proc && mount -t sysfs sys /sys && mount -t devtmpfs dev /dev
grep -m 1 'model name' /proc/cpuinfo
grep -m 1 flags /proc/cpuinfo | tr ' ' '\n' | grep avx | xargs echo
cd '$build'
while read -r command; do
    echo "+ \$command"
    sh -c "\$command" </dev/null
    echo "= exit \$?: \$command"
done </commands
sleep 1 # the serial line sends what it still holds
poweroff -f
END
chmod +x "$root/init"
(cd "$root" && find . | cpio -o -H newc --quiet) >"$work/cd/initrd"

# ---- the CD -------------------------------------------------------------------------------------------------------------

# Of what Bochs 2.7 says its CPU has, this kernel must not use protection keys (they have no place in the saved state), the
# compact formats of the saved state (their size is wrong) and fast short copies (without fast long ones, which Bochs
# switches off, the kernel's memmove runs away).
cp "$work/vmlinuz" /usr/lib/ISOLINUX/isolinux.bin /usr/lib/syslinux/modules/bios/ldlinux.c32 "$work/cd"
cat >"$work/cd/isolinux.cfg" <<END
DEFAULT linux
LABEL linux
KERNEL vmlinuz
INITRD initrd
APPEND console=ttyS0,115200 quiet nokaslr mitigations=off lsm= reboot=t panic=1 clearcpuid=fsrm,pku,ospke,xsavec,xsaves
END
xorriso -as mkisofs -quiet -o "$work/cd.iso" -b isolinux.bin -c boot.cat -no-emul-boot -boot-load-size 4 \
    -boot-info-table "$work/cd" 2>"$work/xorriso.log" || fail "cannot write the CD image: $work/xorriso.log"

# ---- the emulator -------------------------------------------------------------------------------------------------------

cat >"$work/bochsrc" <<END
config_interface: textconfig
display_library: term
cpu: model=corei7_icelake_u, count=1, ips=100000000, reset_on_triple_fault=0, ignore_bad_msrs=1
memory: guest=2048, host=2048
romimage: file=/usr/share/bochs/BIOS-bochs-latest, options=fastboot
vgaromimage: file=/usr/share/bochs/VGABIOS-lgpl-latest
pci: enabled=1, chipset=i440fx
ata0: enabled=1, ioaddr1=0x1f0, ioaddr2=0x3f0, irq=14
ata0-master: type=cdrom, path="$work/cd.iso", status=inserted
boot: cdrom
clock: sync=none
com1: enabled=1, mode=file, dev="$work/serial.txt"
speaker: enabled=1, mode=none
log: "$work/bochs.log"
panic: action=fatal
error: action=ignore
info: action=ignore
END
printf 'continue\nquit\n' >"$work/debugger" # Debian's Bochs starts in its debugger

: >"$work/serial.txt"
TERM=vt100 timeout -k 5 "$seconds" bochs -q -f "$work/bochsrc" -rc "$work/debugger" </dev/null >"$work/screen.txt" 2>&1 &
emulator=$!
trap 'kill $emulator 2>/dev/null || true' EXIT
trap 'exit 1' INT TERM
tail -n +1 -f --pid=$emulator "$work/serial.txt" | sed -u 's/\r$//; /ISOLINUX/d' &
printer=$!
wait $emulator || true # Bochs ends with 1 when its computer is switched off
wait $printer

passed=$(grep -c '^= exit 0:' "$work/serial.txt" || true)
echo "$passed of $# commands passed"
[ "$passed" = $# ] || fail "not all commands passed; what they printed: $work/serial.txt, the emulator: $work/screen.txt"
