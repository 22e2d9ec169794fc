# shellcheck shell=bash
# Functions of egress-net: the lease of a NIC. Its DHCP client is systemd-networkd,
# dhcpcd or dhclient, depending on the image.

# lease NIC: prints the address and the router of the latest lease for it.
lease() {
  local client found
  for client in networkd dhcpcd dhclient; do
    found=$("${client}_lease" "$1")
    [ -z "$found" ] || break
  done
  echo "$found"
}

# shellcheck disable=SC2154 # common.sh sets these variables
networkd_lease() {
  local file
  index_of "$1"
  file=$root/run/systemd/netif/leases/$REPLY
  [ -f "$file" ] || return 0
  awk -F = '
    $1 == "ADDRESS" { address = $2 }
    $1 == "ROUTER" { router = $2; sub(/ .*/, "", router) }
    END { print address " " router }' "$file"
}

dhcpcd_lease() {
  command -v dhcpcd > /dev/null || return 0
  { dhcpcd --dumplease --ipv4only "$1" 2> /dev/null || true; } | tr -d "'" | awk -F = '
    $1 == "ip_address" { address = $2 }
    $1 == "routers" { router = $2; sub(/ .*/, "", router) }
    END { if (address) print address " " router }'
}

dhclient_lease() {
  local file=$root/var/lib/dhcp/dhclient.$1.leases
  [ -r "$file" ] || return 0
  awk '
    /^lease/ { address = router = "" }
    /fixed-address/ { address = $2; sub(/;/, "", address) }
    /option routers/ { router = $3; sub(/[;,].*/, "", router) }
    /^}/ { last = address " " router }
    END { print last }' "$file"
}
