# shellcheck shell=bash
# Functions of egress-sync: the ports that are open to clients.
#
# The port of a connection identifies its tenant. So a port that has served one tenant
# serves another only after three events: the firewall has closed it, its connections
# have ended, and the cluster has released it afterwards. A release states that no
# NetworkPolicy admits pods to the port. Until then the port is closed to all clients,
# although Squid already listens on it for the new tenant.

# shellcheck disable=SC2153,SC2154 # common.sh sets these variables
holders=$root$HOLDERS # lines "port tenant": the tenant that the port has served last
open=$root$OPEN_PORTS # read by nftables.service
open_next=${open%.nft}.next

# served FILE: prints lines "port revision tenant": the revisions with which Squid must
# respond once it serves this file.
served() { sed -n 's/^# serves //p' "$1"; }

# put FROM TO: replaces a file in one step, also if the machine loses power.
put() {
  sync "$1"
  mv "$1" "$2"
}

# compare FILE: prints lines "port tenant holder" for the ports of a squid.conf. The
# holder is the tenant itself for a port that has served no tenant before.
compare() { awk 'FILENAME == ARGV[1] { holder[$1] = $2; next } { print $1, $3, ($1 in holder) ? holder[$1] : $3 }' "$holders" <(served "$1"); }

# A comparison with "" is one of texts: the tenants 7 and 07 are two.

# own FILE: prints the ports of a squid.conf that no other tenant holds, sorted.
own() { compare "$1" | awk '$2 "" == $3 { print $1 }' | sort; }

# foreign FILE: prints lines "port tenant holder" for those that another tenant holds.
foreign() { compare "$1" | awk '$2 "" != $3'; }

# opened: prints the ports that are open, sorted.
opened() { sed -n 's/.*{ \(.*\) }/\1/p' "$open" | tr ',' '\n' | sort; }

# hold: reads lines "port tenant", and records them.
hold() {
  awk 'FILENAME == ARGV[1] { order[++n] = $1; holder[$1] = $2; next }
    { if (!($1 in holder)) order[++n] = $1; holder[$1] = $2 }
    END { for (i = 1; i <= n; i++) print order[i], holder[order[i]] }' "$holders" - > "$holders.next"
  if cmp --quiet "$holders.next" "$holders"; then rm "$holders.next"; else put "$holders.next" "$holders"; fi
}

# released PORT: whether the cluster has released the port since a port was last opened
# or closed, in the last 30 s.
released() { [[ "$(nft list set inet egress released_ports)" =~ [^0-9]$(($1 + RELEASE_OFFSET))\ (timeout|expires) ]]; }

# connected PORT: whether Squid still has a connection from a client on the port.
connected() { [ -n "$(ss --no-header --tcp --numeric state established state close-wait state syn-recv "sport = :$1")" ]; }

# disconnect PORT: ends the connections at once where the kernel can. Elsewhere the
# firewall's resets end them, at the latest when the next packet passes.
disconnect() { ss --kill --no-header --tcp --numeric state connected "sport = :$1" > /dev/null 2>&1 || true; }

# admit: reads ports, and opens exactly these to clients. The releases of before do not
# count afterwards.
admit() {
  local ports port
  ports=$(sort | paste -sd ,)
  [ "$ports" != "$(opened | paste -sd ,)" ] || return 0
  if [ -n "$ports" ]; then echo "add element inet egress open_ports { $ports }"; fi > "$open_next"
  nft -f - << RULES
flush set inet egress open_ports
flush set inet egress released_ports
include "$open_next"
RULES
  for port in $(comm -23 <(opened) <(tr ',' '\n' <<< "$ports")); do disconnect "$port"; done
  put "$open_next" "$open"
}

# close_others FILE: closes the ports that this squid.conf, which Squid does not serve
# yet, serves to another tenant or not at all.
close_others() {
  local port tenant holder
  while read -r port tenant holder; do
    say "port $port is closed: it was the port of $holder, and becomes that of $tenant once the cluster has released it"
  done < <(foreign "$1")
  comm -12 <(opened) <(own "$1") | admit
}

# is_settled FILE: whether exactly the ports of a squid.conf are open, and each is held by
# its tenant, so that nothing is to be done.
is_settled() {
  awk '
    FILENAME == ARGV[1] { holder[$1] = $2; next }
    FILENAME == ARGV[2] { gsub(/[^0-9]+/, " "); for (i = split($0, ports); i > 0; i--) opened[ports[i]]; next }
    /^# serves / { served[$3]; if (holder[$3] "" != $5 || !($3 in opened)) differs = 1 }
    END { for (port in opened) if (!(port in served)) differs = 1; exit differs }' "$holders" "$open" "$1"
}

# open_own FILE: opens the ports of a squid.conf that Squid serves. Ports that another
# tenant holds stay closed until they can pass.
open_own() {
  local port tenant holder
  ! is_settled "$1" || return 0
  while read -r port tenant holder; do
    if ! connected "$port" && released "$port"; then
      say "port $port passes from $holder to $tenant"
      hold <<< "$port $tenant"
    fi
  done < <(foreign "$1")
  compare "$1" | awk '$2 "" == $3 { print $1, $2 }' | hold
  own "$1" | admit
}

# hold_connections FILE: Squid is about to close the ports of this squid.conf for a
# moment. New connections wait, and are not refused. A socket that is closed resets the
# connections that Squid has not accepted yet, so that no further ones are admitted
# before, for a second at most. If Squid does not open the ports again, connections are
# refused after 5 s.
hold_connections() {
  local ports
  ports=$(served "$1" | sed 's/ .*//')
  [ -n "$ports" ] || return 0
  if ! nft add element inet egress reopened_ports "{ $(timeouts 5s <<< "$ports") }" ||
    ! nft add element inet egress closing_ports "{ $(timeouts 1s <<< "$ports") }"; then
    warn 'connections are refused while Squid rereads its file'
  fi
  await_accepted
}

# timeouts DURATION: reads ports, and prints them as elements of a set.
timeouts() { sed "s/$/ timeout $1/" | paste -sd ,; }

# await_accepted: waits until Squid has accepted all connections, at most for 0.3 s. The
# first wait is for the clients' last packets of a handshake.
await_accepted() {
  for _ in 1 2 3 4 5 6; do
    sleep 0.05
    [ -n "$(ss --no-header --listening --tcp --numeric | awk '$2 > 0')" ] || return 0
  done
}

# pass_connections: Squid listens on its ports again.
pass_connections() {
  nft flush set inet egress closing_ports || true
  nft flush set inet egress reopened_ports || true
}

# port_states FILE: prints lines "tenant refused closed": how many connections the firewall
# has reset, and whether the port is closed, 0 or 1.
port_states() {
  { nft list set inet egress tenant_connections_refused 2> /dev/null || true; } | awk '
    FILENAME == "-" { for (i = 1; i < NF; i++) if ($(i + 1) == "counter") refused[$i] = $(i + 3); next }
    FILENAME == ARGV[2] { holder[$1] = $2; next }
    /^# serves / { print $5, refused[$3] + 0, ($3 in holder) && holder[$3] "" != $5 }' - "$holders" "$1"
}

# port_metrics FILE: prints the metrics of the tenants' ports.
port_metrics() {
  local tenant refused closed resets='' states=''
  while read -r tenant refused closed; do
    resets+="egress_proxy_refused_connections_total{tenant=\"$tenant\"} $refused"$'\n'
    states+="egress_proxy_port_closed{tenant=\"$tenant\"} $closed"$'\n'
  done < <(port_states "$1")
  metric egress_proxy_refused_connections_total counter 'Connections that were reset because the tenant had the maximum number.'
  printf '%s' "$resets"
  metric egress_proxy_port_closed gauge 'Whether the port is closed, because it was the port of another tenant and is not released yet.'
  printf '%s' "$states"
}

[ -d "${holders%/*}" ] || install -d -m 0755 "${holders%/*}"
[ -e "$holders" ] || touch "$holders"
[ -e "$open" ] || touch "$open"
