# shellcheck shell=sh
# HOSTNAME LAYERS MOUNTPOINT COMMAND...: runs a command on a host of this name, in a
# copy of the layers. Both are gone with the caller's namespaces.
hostname "$1"
layers=$2 mountpoint=$3
shift 3
mount -t tmpfs clients "$mountpoint"
mkdir "$mountpoint/upper" "$mountpoint/work" "$mountpoint/root"
mount -t overlay clients -o "lowerdir=$layers,upperdir=$mountpoint/upper,workdir=$mountpoint/work" "$mountpoint/root"
mount --rbind /dev "$mountpoint/root/dev"
mount -t proc proc "$mountpoint/root/proc"
exec chroot "$mountpoint/root" "$@"
