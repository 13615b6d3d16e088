# Prints what this machine is, and writes nothing on it. POSIX sh; every tool and file it looks at is optional.
#
# It comes through standard input (`sh -s`), so nothing in it may read that: everything runs in `probe`, which has
# another. Only the last line calls it, so a script that arrives cut off does nothing.
#
# Output: `intbert-probe=1`, then lines `key=value`, then `end=1`. A value of several lines repeats its key before
# each, so no value can pass for a line of another key. The meaning of each key is in report.py and parse.py.

root=${INTBERT_PROBE_ROOT-} # a tree of a test's own, in place of /

lines() { # KEY: standard input
    tr '\000' '\n' | while IFS= read -r line || [ -n "$line" ]; do
        printf '%s=%s\n' "$1" "$line"
    done
}

say() { # KEY VALUE
    if [ -n "$2" ]; then
        printf '%s\n' "$2" | lines "$1"
    fi
}

show() { # KEY FILE...: of each that can be read
    key=$1
    shift
    for file; do
        if [ -f "$file" ] && [ -r "$file" ]; then
            lines "$key" <"$file"
        fi
    done
}

limited() { # SECONDS COMMAND...: the command, ended after that time where that can be done
    if [ -n "$has_timeout" ]; then
        timeout -s KILL "$@"
    else
        shift
        "$@"
    fi
}

show_first() { # KEY FILE...: of the first that holds anything
    key=$1
    shift
    for file; do
        if [ -r "$file" ] && [ -n "$(tr -d '\000' <"$file")" ]; then
            show "$key" "$file"
            return
        fi
    done
}

system() {
    say machine "$(uname -m)"
    say system "$(uname -s)"
    say kernel "$(uname -r)"
    say long_bit "$(getconf LONG_BIT)"
    say elf_class "$(od -A n -t x1 -j 4 -N 1 /bin/sh)"
    say libc "$(getconf GNU_LIBC_VERSION)"
    say libc "$(ldd --version 2>&1)"
    show os_release "$root/etc/os-release"
    show_first model "$root/proc/device-tree/model" "$root/sys/firmware/devicetree/base/model"
    show_first compatible "$root/proc/device-tree/compatible" "$root/sys/firmware/devicetree/base/compatible"
    show boot_id "$root/proc/sys/kernel/random/boot_id"
    show uptime "$root/proc/uptime"
    say time "$(date +%s)"
}

processors() {
    show cpuinfo "$root/proc/cpuinfo"
    # Under user-mode emulation cpuinfo may be that of the emulating machine; the auxiliary vector never is.
    if [ -r "$root/proc/self/auxv" ]; then
        od -A n -v -t x1 "$root/proc/self/auxv" | lines auxv
    fi
    # GNU's nproc would take these for an answer.
    say nproc "$(unset OMP_NUM_THREADS OMP_THREAD_LIMIT; nproc)"
    show process_status "$root/proc/self/status"
    for policy in "$root"/sys/devices/system/cpu/cpufreq/policy*; do
        if [ -r "$policy/scaling_governor" ]; then
            say policy "$(cat "$policy/scaling_governor") $(cat "$policy/scaling_min_freq") $(cat "$policy/scaling_max_freq")"
        fi
    done
}

space() {
    show meminfo "$root/proc/meminfo"
    say home "$HOME"
    limited 10 df -Pk "$HOME" | lines df
}

python_paths() {
    for version in 3.14 3.13 3.12 3.11 3.10 3; do
        command -v "python$version"
    done
    # where uv puts its interpreters, on PATH or not
    for path in "$HOME"/.local/share/uv/python/cpython-3.*/bin/python3; do
        if [ -x "$path" ]; then
            printf '%s\n' "$path"
        fi
    done
}

about_python='
import os, struct, sys
try:
    import venv
except Exception:
    venv = None
print("%s %d.%d.%d %d %d" % ((sys.implementation.name,) + sys.version_info[:3] + (8 * struct.calcsize("P"), bool(venv))))
try:
    print(os.confstr("CS_GNU_LIBC_VERSION"))
except Exception:
    pass
'

pythons() {
    seen=
    python_paths | while IFS= read -r path; do
        real=$(readlink -f "$path" || printf '%s\n' "$path")
        case "$seen" in
        *"|$real|"*) continue ;;
        esac
        seen="$seen|$real|"
        about=$(limited 20 "$path" -I -B -c "$about_python" </dev/null) && {
            say python "$(printf '%s\n' "$about" | head -n 1) $path"
            say libc "$(printf '%s\n' "$about" | tail -n +2)"
        }
    done
}

sensors() {
    for zone in "$root"/sys/class/thermal/thermal_zone*; do
        show thermal "$zone/type"
    done
    for monitor in "$root"/sys/class/hwmon/hwmon*; do
        case "$(cat "$monitor/name")" in
        ina3221*) show rail "$monitor"/in*_label ;;
        esac
    done
    show rail "$root"/sys/bus/i2c/drivers/ina3221x/*/iio:device*/rail_name_*
    if command -v vcgencmd >/dev/null && limited 5 vcgencmd get_throttled >/dev/null; then
        say vcgencmd throttled
        limited 5 vcgencmd pmic_read_adc >/dev/null && say vcgencmd pmic
    fi
}

about_cuda_driver='
import ctypes
version = ctypes.c_int()
if ctypes.CDLL("libcuda.so.1").cuDriverGetVersion(ctypes.byref(version)) == 0:
    print(version.value)
'

ask_gpu() { # FIELD
    limited 5 nvidia-smi "--query-gpu=$1" --format=csv,noheader
}

nvidia() {
    show l4t "$root/etc/nv_tegra_release"
    if [ -f "$root/etc/nv_tegra_release" ] && command -v dpkg-query >/dev/null; then
        say nvidia_l4t_core "$(limited 5 dpkg-query -W -f '${Version}' nvidia-l4t-core)"
        say nvidia_jetpack "$(limited 5 dpkg-query -W -f '${Version}' nvidia-jetpack)"
    fi
    if command -v nvidia-smi >/dev/null && name=$(ask_gpu name); then
        say gpu_name "$name"
        driver=$(ask_gpu driver_version) && say gpu_driver_version "$driver"
        capability=$(ask_gpu compute_cap) && say gpu_compute_cap "$capability" # drivers before 510 do not know it
    fi
    if [ -f "$root/etc/nv_tegra_release" ] || command -v nvidia-smi >/dev/null; then
        say cuda_driver "$(limited 10 python3 -I -B -c "$about_cuda_driver")"
    fi
    for library in "$root"/usr/local/cuda*/lib64/libcudart.so.* "$root"/usr/local/cuda*/targets/*/lib/libcudart.so.* \
        "$root"/usr/lib/*-linux-gnu/libcudart.so.* "$root"/usr/lib64/libcudart.so.*; do
        if [ -f "$library" ]; then
            say cudart "$library"
        fi
    done
    show cuda_version "$root/usr/local/cuda/version.json"
}

probe() {
    LC_ALL=C
    PATH=${PATH:+$PATH:}$HOME/.local/bin:/usr/local/bin:/usr/bin:/bin:/usr/local/sbin:/usr/sbin:/sbin:/opt/vc/bin
    export LC_ALL PATH
    has_timeout=
    if timeout -s KILL 5 true; then
        has_timeout=1
    fi
    printf '\nintbert-probe=1\n' # a line of its own, whatever the account's shell printed before
    system
    processors
    space
    pythons
    sensors
    nvidia
    printf 'end=1\n'
} </dev/null 2>/dev/null

probe
