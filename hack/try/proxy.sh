#!/bin/sh
# proxy.sh: runs Squid in the container of hack/try/Dockerfile, and prints its audit log and
# its messages.
set -eu
conf=/etc/squid/squid.conf
if ! grep -qs ' name=manager_port$' "$conf"; then
	echo "proxy: $conf is not the output of bootstrap render --only squid-conf: mount that file there" >&2
	exit 1
fi
egress-certificate
install --owner=proxy --group=proxy --mode=0640 /dev/null /var/log/squid/audit.log
install --owner=proxy --group=proxy --mode=0640 /dev/null /var/log/squid/cache.log
rm -f /run/squid.pid # of a killed container that is started again
tail --follow --lines=+1 --quiet /var/log/squid/audit.log /var/log/squid/cache.log &
exec squid -N
