# shellcheck shell=sh
# chroot.sh SOCKET IMAGE FOLDER FILES COMMAND...: runs a command in a copy of the root
# filesystem of an image of containerd's, mounted on FOLDER. Its /mnt is the folder FILES.
socket=$1 image=$2 root=$3 files=$4
shift 4
images() { ctr --address "$socket" --namespace k8s.io images "$@"; }
mkdir -p "$root"
images unmount --rm "$root" >/dev/null 2>&1 || true # the copy of an earlier command
images mount --rw "$image" "$root" >/dev/null
mount -t proc proc "$root/proc"
mount --bind /dev "$root/dev"
mount -t tmpfs tmpfs "$root/dev/shm"
mount -t tmpfs tmpfs "$root/run"
mount --bind "$files" "$root/mnt"
exec chroot "$root" "$@"
