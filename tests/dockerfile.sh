#!/usr/bin/env bash
# Walks the Dockerfile's steps without a Docker engine: the build context that .dockerignore leaves, the build command, an empty root
# with the binary and the libraries that the base image has, the user, the start command, the health check and the stop signal. All
# of these are read from the Dockerfile, so that the two cannot drift apart.
#
#   WEIR_PROFILE  build profile instead of the Dockerfile's, where time is short
#   WEIR_BIN      a binary that is built already; skips the build
#
# Run by root it uses chroot and the image's user; run by anyone else it checks the same outside a chroot, as that user.
set -euo pipefail
cd "$(dirname "$0")/.."
work=$(mktemp -d)
weir_pid=
cleanup() {
    if [ -n "$weir_pid" ]; then kill -KILL "$weir_pid" 2>/dev/null || true; fi
    rm -rf "$work"
}
trap cleanup EXIT
say() { printf 'dockerfile: %s\n' "$*"; }
fail() { say "FAILED: $*" >&2; exit 1; }
# The JSON array of an instruction, as lines.
words() { sed -n "s/^$1 .*\(\[.*\]\)\$/\1/p;s/^$1 \(\[.*\]\)\$/\1/p" Dockerfile | tail -1 | python3 -c 'import json,sys; print(*json.load(sys.stdin), sep="\n")'; }

mapfile -t entrypoint < <(words ENTRYPOINT)
mapfile -t command < <(words CMD)
mapfile -t health < <(words HEALTHCHECK)
user=$(sed -n 's/^USER //p' Dockerfile)
[ "${#entrypoint[@]}" = 1 ] && [ "${#command[@]}" -gt 0 ] && [ "${#health[@]}" -gt 0 ] || fail "ENTRYPOINT, CMD or HEALTHCHECK is not in exec form"
case "$user" in ''|root|0|0:*) fail "the image runs as root" ;; esac

binary=${WEIR_BIN:-}
if [ -z "$binary" ]; then
    target=$(realpath -m "${CARGO_TARGET_DIR:-target}")
    context=$target/dockerfile-context # one path and the files' own times: cargo builds again only what changed
    rm -rf "$context"
    mkdir -p "$context"
    while read -r path; do
        if [ -e "$path" ]; then cp -rp "$path" "$context/"; fi
    done < <(sed -n 's/^!//p' .dockerignore)
    build=$(grep -o 'cargo build [^&\\]*' Dockerfile)
    named=$(sed -n 's/.*--profile \([a-z]*\).*/\1/p' <<<"$build")
    profile=${WEIR_PROFILE:-$named}
    build=${build/--profile $named/--profile $profile}
    say "$build"
    (cd "$context" && CARGO_TARGET_DIR="$target" $build)
    binary=$target/$profile/weir
    if [ "$profile" = dev ]; then binary=$target/debug/weir; fi
fi

root=$work/root
mkdir -p "$root/etc/weir" "$root/var/lib/weir" "$root/tmp"
install "$binary" "$root/${entrypoint[0]}"
# What the base image brings: the C library and the compiler's runtime. Anything else would be missing there.
while read -r library; do
    case "${library##*/}" in
        ld-linux*|libc.so.*|libm.so.*|libgcc_s.so.*|libpthread.so.*|libdl.so.*|librt.so.*) install -D "$library" "$root$library" ;;
        *) fail "the binary needs ${library##*/}, which the base image lacks" ;;
    esac
done < <(ldd "$binary" | grep -o '/[^ ]*')

read -r port admin < <(python3 -c '
import socket
held = [socket.socket(), socket.socket()]
for one in held: one.bind(("127.0.0.1", 0))
print(*(one.getsockname()[1] for one in held))')
export WEIR_SERVER=http://127.0.0.1:$admin
in_root=() data=/var/lib/weir prefix=
if [ "$(id -u)" = 0 ]; then
    chown -R "$user" "$root/var/lib/weir"
    chmod 755 "$work"
    in_root=(chroot "--userspec=$user" "$root")
else
    prefix=$root data=$root/var/lib/weir
    say "not root: no chroot, user $(id -un) instead of $user"
fi
cat > "$root/etc/weir/weir.yaml" <<YAML
version: 1
workers: 1
data_dir: $data
admin: { bind: 127.0.0.1:$admin }
listeners: [ { name: main, bind: 127.0.0.1:$port } ]
backends:
  only: { endpoints: [ { address: 127.0.0.1:9 } ] }
routes:
  - name: all
    match: { path: { prefix: / } }
    split: { backends: [ { name: only, weight: 1 } ] }
YAML
healthy() { "${in_root[@]}" "$prefix${health[0]}" "${health[@]:1}" >"$work/health.log" 2>&1; }

if healthy; then fail "the health check is content with no server"; fi
last=$((${#command[@]} - 1))
command[last]=$prefix${command[last]}
"${in_root[@]}" "$prefix${entrypoint[0]}" "${command[@]}" >"$work/weir.log" 2>&1 &
weir_pid=$!
for _ in $(seq 100); do
    if healthy; then break; fi
    kill -0 "$weir_pid" 2>/dev/null || { cat "$work/weir.log" >&2; fail "weir ended at start"; }
    sleep 0.1
done
healthy || { cat "$work/weir.log" "$work/health.log" >&2; fail "not healthy within 10 s"; }
uid=$(awk '/^Uid:/ { print $2 }' "/proc/$weir_pid/status")
[ "$uid" != 0 ] || fail "it runs as root"
kill -TERM "$weir_pid"
code=0
for _ in $(seq 150); do kill -0 "$weir_pid" 2>/dev/null || break; sleep 0.1; done
if kill -0 "$weir_pid" 2>/dev/null; then fail "SIGTERM did not end it within 15 s"; fi
wait "$weir_pid" || code=$?
weir_pid=
[ "$code" = 0 ] || { cat "$work/weir.log" >&2; fail "it ended with $code on SIGTERM"; }
say "ok: built, healthy as uid $uid in an empty root, ended cleanly ($(stat -c %s "$binary" | awk '{ printf "%.1f MiB", $1 / 1048576 }'))"
