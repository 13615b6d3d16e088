#!/bin/sh
# What sshd runs for every login: enters the board and executes there what the client asked for.
#   board_login.sh FOLDER CPU
read -r init <"$1/init.pid" || exit 255
ulimit -c 0 # QEMU's core dumps would lie in the board's home
if [ -n "${SSH_ORIGINAL_COMMAND+given}" ]; then
  set -- "$2" -c "$SSH_ORIGINAL_COMMAND"
else
  set -- "$2" -l
fi
cpu=$1
shift
nsenter=$(command -v nsenter) # found by this machine's PATH, not the board's
exec env -i PATH=/usr/local/bin:/usr/bin:/bin HOME=/home/pi USER=pi LOGNAME=pi SHELL=/bin/sh LANG=C.UTF-8 \
  XDG_RUNTIME_DIR=/run/user/0 QEMU_CPU="$cpu" TVM_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 \
  "$nsenter" --target "$init" --user --preserve-credentials --mount --pid --root --wdns=/home/pi /bin/sh "$@"
