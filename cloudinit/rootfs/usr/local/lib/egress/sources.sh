# shellcheck shell=bash
# Functions of egress-sync, egress-net and egress-poll: the source addresses of requests,
# and the port for the state, which is closed while the machine cannot serve the tenants.

# shellcheck disable=SC2154 # common.sh sets root
incomplete=$root/run/egress/incomplete # exists while the port for the state is closed
starting=$root/run/egress/starting     # exists until the tenants' ports are open

# missing FILE: prints the source addresses in a squid.conf that this machine does not have.
# On an image with curl, egress-net runs before there is a squid.conf.
missing() {
  [ -e "$1" ] || return 0
  ip -4 -o addr show | awk '
    FILENAME == "-" { sub("/.*", "", $4); has[$4]; next }
    $1 == "tcp_outgoing_address" && $2 ~ /^[0-9.]+$/ && !($2 in has) && !named[$2]++ { print $2 }' - "$1"
}

# close_status: the cluster leads no tenant to the machine.
close_status() {
  mkdir -p "${incomplete%/*}"
  touch "$incomplete"
  nft add element inet egress closed_status "{ $STATUS_PORT }" 2> /dev/null || true
}

# before_ports: Squid starts, and would tell the cluster that it serves the tenants before
# their ports are open.
before_ports() {
  close_status
  touch "$starting"
}

# after_ports FILE: the tenants' ports are open.
after_ports() {
  rm -f "$starting"
  check_sources "$1"
}

# check_sources FILE: closes the port for the state while an address in this squid.conf is
# missing, so that the cluster leads no tenant to a machine on which requests fail: one that
# is to take over the addresses of another machine, and waits for them.
check_sources() {
  local addresses known=
  addresses=$(missing "$1")
  if [ -n "$addresses" ]; then
    [ ! -e "$incomplete" ] || known=1
    close_status
    [ -z "$known" ] || return 0
    say "the machine does not have ${addresses//$'\n'/ }: the port for its state is closed"
    systemctl start --no-block egress-poll.service # which looks for it twice a second
  elif [ -e "$incomplete" ] && [ ! -e "$starting" ]; then
    # A failure must not end the caller. The next run tries again.
    if nft flush set inet egress closed_status; then
      say 'the port for the state is open'
      rm "$incomplete"
    fi
  fi
}
