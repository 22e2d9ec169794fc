# shellcheck shell=bash
# Functions of egress-nics: the DHCP clients. An image has ifupdown with dhclient,
# ifupdown with dhcpcd, or systemd-networkd, which netplan configures.
#
# Routes and name servers are taken from the lease of the NIC by which requests leave.
# Of the other NIC's lease, only the address is used. Each client is configured for
# that, because a route that it added with each renewal would be in use until egress-net
# removes it. /etc/dhcp/dhclient-enter-hooks.d/egress is for dhclient.

# shellcheck disable=SC2154 # common.sh sets these variables
networks=$root/etc/systemd/network
links=$root/run/systemd/netif/links

# ifupdown_runs NIC: brings the NIC up at boot, whether or not udev reports it, and when
# it is attached later.
ifupdown_runs() {
  write "$root/etc/network/interfaces.d/60-egress" << STANZA || true
# Written by egress-nics.
auto $1
allow-hotplug $1
iface $1 inet dhcp
STANZA
}

# dhcpcd_restricts NIC: dhcpcd uses only the address. A block for a NIC extends to the
# end of the file.
dhcpcd_restricts() {
  local conf=$root/etc/dhcpcd.conf others
  [ -e "$conf" ] || return 0
  others=$(sed '/^# Written by egress-nics/,$d' "$conf")
  write "$conf" << CONF || return 0
$others
# Written by egress-nics, up to the end of the file.
interface $1
nogateway
nooption domain_name_servers, domain_name, domain_search
CONF
  # Without a running client, the command would start one.
  if [ -e "$root/run/dhcpcd/$1.pid" ]; then dhcpcd --rebind "$1"; fi
}

# network_of NIC: sets REPLY to the name of the file with which networkd configures the NIC,
# if it does. The name depends on the program that wrote the file.
network_of() {
  local line file=''
  index_of "$1"
  if [ -f "$links/$REPLY" ]; then
    while read -r line; do
      if [[ "$line" = NETWORK_FILE=* ]]; then file=${line##*/}; fi
    done < "$links/$REPLY"
  fi
  REPLY=$file
}

# networkd_part is what is added to the .network file of a NIC. When networkd restarts,
# which needrestart does after upgrades, it would remove the address of a lease until it has
# the lease again, and with the last address all routes of the NIC.
networkd_part='[Network]
KeepConfiguration=yes'

# networkd_address_only is what is added for the NIC of whose lease only the address is
# used.
networkd_address_only='[DHCPv4]
UseRoutes=no
UseGateway=no
UseDNS=no
UseDomains=no'

# networkd_runs PUBLIC PRIVATE ADDRESS-ONLY: networkd brings the private NIC up if
# ifupdown does not.
networkd_runs() {
  local changed='' nic file part own=05-egress-private.network
  if ! has_ifupdown; then
    if write "$networks/$own" << NETWORK
# Written by egress-nics.
[Match]
MACAddress=${macs[$2]}

[Network]
DHCP=ipv4
IPv6AcceptRA=no
NETWORK
    then changed=yes; fi
  fi
  for nic in "$1" "$2"; do
    network_of "$nic"
    file=$REPLY
    if [ "$nic" = "$2" ] && ! has_ifupdown; then file=$own; fi
    [ -n "$file" ] || continue
    part=$networkd_part
    [ "$nic" != "$3" ] || part+=$'\n'$networkd_address_only
    if write "$networks/$file.d/egress.conf" <<< "$part"; then changed=yes; fi
  done
  # A reload would not read networkd.conf.d.
  [ -z "$changed" ] || systemctl try-restart systemd-networkd.service
}
