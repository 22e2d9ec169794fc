# shellcheck shell=bash
# Functions of the proxy's scripts, which source this file.
#
# Two environment variables are for tests, which run the scripts unchanged:
# EGRESS_ROOT is the folder that contains the machine's files; on the machine it is
# empty. EGRESS_PATIENCE replaces every time limit, in seconds.

root=${EGRESS_ROOT:-}

# shellcheck source=/dev/null
. "$root/etc/egress/egress.conf"

# The machine runs these scripts every few seconds. What they do each time takes few
# processes, which are most of their CPU time: such functions set REPLY, where others
# print.

# uptime: sets REPLY to the seconds since the boot. Unlike $SECONDS, they do not jump when
# the clock is set.
uptime() {
  read -r REPLY _ < /proc/uptime
  REPLY=${REPLY%.*}
}

# deadline SECONDS: prints the uptime after that time.
deadline() {
  uptime
  echo $((REPLY + ${EGRESS_PATIENCE:-$1}))
}

# over DEADLINE: whether it has passed.
over() {
  uptime
  [ "$REPLY" -ge "$1" ]
}

say() { echo "${0##*/}: $*"; }

# warn MESSAGE: writes a warning to the journal.
warn() { echo "<4>${0##*/}: $*" >&2; }

die() {
  echo "${0##*/}: $*" >&2
  exit 1
}

# metric NAME TYPE HELP [VALUE]: prints a metric in Prometheus' text format.
metric() {
  printf '# HELP %s %s\n# TYPE %s %s\n' "$1" "$3" "$1" "$2"
  [ $# -lt 4 ] || echo "$1 $4"
}

# write FILE: replaces the file by standard input, completely or not at all. Succeeds
# if the content differs.
write() {
  local content former=''
  IFS= read -r -d '' content || true # up to the end of the input
  if [ -e "$1" ]; then IFS= read -r -d '' former < "$1" || true; fi
  if [ -e "$1" ] && [ "$content" = "$former" ]; then return 1; fi
  mkdir -p "${1%/*}"
  printf '%s' "$content" > "$1.new" || die "cannot write $1"
  mv "$1.new" "$1"
}

# serving FILE: prints lines "port revision tenant" of a squid.conf, also of tenants that
# only sidecars reach.
serving() { sed -n 's/^# serves\(-sidecars\)\{0,1\} //p' "$1"; }

# is_draining: whether the machine is to be taken away, and leaves the tenants' Services.
is_draining() { grep -q '^# draining$' "$root/etc/squid/squid.conf" 2> /dev/null; }

# has_ifupdown: whether the image brings NICs up with ifupdown. Otherwise it does that
# with systemd-networkd.
has_ifupdown() { [ -x "$root/usr/sbin/ifup" ]; }

# index_of NIC: sets REPLY to its number, by which networkd's files are named.
index_of() {
  REPLY=''
  [ ! -e "$root/sys/class/net/$1/ifindex" ] || read -r REPLY < "$root/sys/class/net/$1/ifindex"
}

# private_nic: prints the name of the NIC that has the private address, if there is
# one.
private_nic() { ip -4 -o addr show to "$PRIVATE_ADDRESS/32" | awk '{ print $2 }'; }

# metadata_route dev|src: sets REPLY to the NIC or the source address of the route to the
# metadata service.
metadata_route() {
  REPLY=$(ip -4 -o route get "$METADATA") || return
  if [[ "$REPLY" =~ \ $1\ ([^ ]+) ]]; then REPLY=${BASH_REMATCH[1]}; else REPLY=''; fi
}

# metadata PATH LIMIT FILE: writes a response of the metadata service to a file, and fails
# if it has more than LIMIT bytes, rounded up to KiB. The service sends user data to source
# ports below 1024 only. The interface is given as an address, because curl 7.88 ignores
# the ports if it is given as a name.
metadata() {
  metadata_route src || return
  (
    # curl knows the size of a response in chunks only at its end.
    ulimit -f $((($2 + 1023) / 1024))
    exec curl --silent --show-error --fail --noproxy '*' --interface "$REPLY" --local-port 1-1023 \
      --max-time 5 --retry 3 --retry-delay 1 --retry-connrefused --max-filesize "$2" "http://$METADATA/$1"
  ) > "$3"
}
