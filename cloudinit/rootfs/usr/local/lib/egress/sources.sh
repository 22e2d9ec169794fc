# shellcheck shell=bash
# Functions of egress-sync, egress-net and egress-poll: the source addresses of requests.

# shellcheck disable=SC2154 # common.sh sets root
incomplete=$root/run/egress/incomplete # exists while an address is missing

# missing FILE: prints the source addresses in a squid.conf that this machine does not have.
missing() {
  local address
  sed -n 's/^tcp_outgoing_address \([0-9.]*\) .*/\1/p' "$1" 2> /dev/null | sort -u | while read -r address; do
    [ -n "$(ip -4 -o addr show to "$address/32")" ] || echo "$address"
  done
}

# check_sources FILE: closes the port for the state while an address in this squid.conf is
# missing, so that the cluster leads no tenant to a machine on which requests fail: one that
# is to take over the addresses of another machine, and waits for them.
check_sources() {
  local addresses
  addresses=$(missing "$1" | paste -sd ' ')
  if [ -n "$addresses" ]; then
    if [ ! -e "$incomplete" ]; then
      say "the machine does not have $addresses: the port for its state is closed"
      mkdir -p "${incomplete%/*}"
      touch "$incomplete"
      systemctl start --no-block egress-poll.service # which looks for it twice a second
    fi
    nft add element inet egress closed_status "{ $STATUS_PORT }" 2> /dev/null || true
  elif [ -e "$incomplete" ]; then
    # A failure must not end the caller. The next run tries again.
    if nft flush set inet egress closed_status; then
      say 'the machine has all addresses: the port for its state is open'
      rm "$incomplete"
    fi
  fi
}
