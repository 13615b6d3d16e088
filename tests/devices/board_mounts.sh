#!/bin/sh
# Mounts a board's file system in the user, mount and pid namespace that this runs in as their first process, and
# becomes the board's init. Nothing of it is visible outside.
#   board_mounts.sh FOLDER ROOT QEMU INIT...
set -eu
folder=$1 shared=$2 qemu=$3
shift 3
root=$folder/root
PATH=$PATH:/usr/sbin:/sbin # of chroot, for an ordinary user

# F opens the emulator here and now, so that it need not exist inside; P hands down a program's own name.
# Kernels before 6.7 have no such mount in a user namespace. The machine's own registration may do instead.
mkdir -p "$folder/binfmt"
if mount -t binfmt_misc none "$folder/binfmt" 2>/dev/null; then
  head='\x7fELF\x02\x01\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\x02\x00\xb7\x00'
  mask='\xff\xff\xff\xff\xff\xff\xff\x00\xff\xff\xff\xff\xff\xff\xff\xff\xfe\xff\xff\xff'
  printf '%s' ":qemu-aarch64:M::$head:$mask:$qemu:PF" >"$folder/binfmt/register"
fi

mount --bind "$shared" "$root"
mount -o remount,bind,ro "$root"
mount --bind "$folder/home" "$root/home/pi"
mount --bind "$folder/tmp" "$root/tmp"
mount --bind "$folder/run" "$root/run"
mount --bind "$folder/sys" "$root/sys"
mount -t proc proc "$root/proc"
mount --bind "$folder/cpuinfo" "$root/proc/cpuinfo"
mount -t tmpfs -o mode=755 tmpfs "$root/dev"
for device in null zero full random urandom tty; do
  : >"$root/dev/$device"
  mount --bind "/dev/$device" "$root/dev/$device"
done
mkdir -m 1777 "$root/dev/shm"
ln -s /proc/self/fd "$root/dev/fd"
for number in 0:stdin 1:stdout 2:stderr; do
  ln -s "/proc/self/fd/${number%%:*}" "$root/dev/${number#*:}"
done

chroot "$root" /bin/true || { echo "this kernel runs no aarch64 program in a namespace" >&2; exit 1; }
exec "$@" "$root"
