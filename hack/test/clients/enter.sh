# shellcheck shell=sh
# LAYERS MOUNTPOINT COMMAND...: runs a command in a copy of the layers, which is
# gone with the caller's mount namespace.
layers=$1 mountpoint=$2
shift 2
mount -t tmpfs clients "$mountpoint"
mkdir "$mountpoint/upper" "$mountpoint/work" "$mountpoint/root"
mount -t overlay clients -o "lowerdir=$layers,upperdir=$mountpoint/upper,workdir=$mountpoint/work" "$mountpoint/root"
mount --rbind /dev "$mountpoint/root/dev"
mount -t proc proc "$mountpoint/root/proc"
exec chroot "$mountpoint/root" "$@"
