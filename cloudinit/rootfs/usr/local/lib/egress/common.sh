# shellcheck shell=bash
# What the scripts of the proxy share. It is read, not run.
#
# Two variables of the environment are for tests, which run the scripts as they
# are. EGRESS_ROOT is the folder below which the machine's files are; on the
# machine it is empty. EGRESS_PATIENCE replaces every time limit, in seconds.

root=${EGRESS_ROOT:-}

# shellcheck source=/dev/null
. "$root/etc/egress/egress.conf"

# deadline SECONDS: prints the value of $SECONDS at which that time is over.
deadline() { echo $((SECONDS + ${EGRESS_PATIENCE:-$1})); }

say() { echo "${0##*/}: $*"; }

# In the journal, a warning.
warn() { echo "<4>${0##*/}: $*" >&2; }

die() {
  echo "${0##*/}: $*" >&2
  exit 1
}

# The NIC that has the private address, if any has it yet.
private_nic() { ip -4 -o addr show to "$PRIVATE_ADDRESS/32" | awk '{ print $2 }'; }

# What "ip route get" says about the metadata service: "dev" or "src".
metadata_route() { ip -4 -o route get "$METADATA" | sed -n "s/.* $1 \([^ ]*\).*/\1/p"; }

# metadata PATH LIMIT: prints an answer of the metadata service, and no more
# than LIMIT bytes of it. User data is given to source ports below 1024 only.
# The interface must be told as an address: told by name, curl 7.88 forgets
# about the ports.
metadata() {
  local source
  source=$(metadata_route src)
  curl --silent --show-error --fail --noproxy '*' --interface "$source" --local-port 1-1023 \
    --max-time 5 --retry 3 --retry-delay 1 --retry-connrefused --max-filesize "$2" "http://$METADATA/$1" | head -c "$2"
}
