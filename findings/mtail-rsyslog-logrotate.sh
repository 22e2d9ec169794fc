#!/bin/bash
# mtail-rsyslog-logrotate.sh: mtail and rsyslog's imfile meet the two ways in
# which logrotate replaces a log.
#
# Versions: mtail 3.0.0~rc50-1+b6, rsyslog 8.2302.0-1+deb12u2, logrotate
# 3.21.0-1 (all of Debian 12).
#
# Expected: who follows a log sees each line once. After the rename, the program
# goes on in the old file until it has been told to reopen its log: those late
# lines are in access.log.1. The new file is made by logrotate (create) or by the
# program (nocreate), and read from its beginning.
# Happens: mtail and imfile leave the old file at its first end behind the
# appearance of the new one. With "create" both lose the late lines. With
# "nocreate" imfile sees everything; mtail loses the late lines all the same,
# and the first ones of the new file too, up to the moment when it notices it. No
# log tells of any of that.
# Matters: at each rotation rates dip and remote copies have a hole, for as long
# as the program takes to reopen, while the local files are whole. "create" is
# Debian's default in /etc/logrotate.conf. A log that is sent elsewhere wants
# "nocreate"; a log that is counted wants "create" and a program that reopens at
# once; for both, no directive is right, and sums of counters do not prove a
# log complete.
set -euo pipefail
shopt -s inherit_errexit

work=$(mktemp -d)
pids=
trap 'kill $pids 2>/dev/null || true; rm -rf "$work"' EXIT
cd "$work"

# Other libraries than these belong to each Debian.
{
	apt-get download mtail=3.0.0~rc50-1+b6 rsyslog=8.2302.0-1+deb12u2 logrotate=3.21.0-1 \
		libestr0=0.1.11-1 libfastjson4=1.2304.0-1 liblognorm5=2.0.6-4 libpopt0=1.19+dfsg-1
	for package in *.deb; do dpkg-deb -x "$package" root; done
} >log 2>&1 || { cat log >&2 && exit 1; }
export LD_LIBRARY_PATH=$work/root/usr/lib/x86_64-linux-gnu:$work/root/lib/x86_64-linux-gnu

# write FROM TO: lines with these numbers, 20 a second.
write() {
	for line in $(seq "$1" "$2"); do
		echo "line $line" >&3
		sleep 0.05
	done
}

# has FILE NAME FROM TO: how many of these lines the file contains.
has() {
	echo " $2 $(seq -f 'line %g' "$3" "$4" | grep -cxFf "$1")"
}

# try DIRECTIVE: follows a log while it is rotated, and prints the lines seen.
try() {
	mkdir "$1"
	cd "$1"
	mkdir programs spool
	touch access.log
	cat >programs/seen.mtail <<-'MTAIL'
		counter seen by line
		/^line (?P<line>\d+)/ {
		  seen[$line]++
		}
	MTAIL
	cat >rsyslog.conf <<-RSYSLOG
		global(workDirectory="$PWD/spool")
		module(load="imfile")
		template(name="line" type="string" string="%msg%\n")
		input(type="imfile" file="$PWD/access.log" tag="access" ruleset="copy")
		ruleset(name="copy") { action(type="omfile" file="$PWD/imfile" template="line") }
	RSYSLOG
	cat >logrotate.conf <<-LOGROTATE
		$PWD/access.log {
			rotate 1
			$1
		}
	LOGROTATE
	chmod 644 logrotate.conf
	../root/usr/bin/mtail --progs programs --logs "$PWD/access.log" --unix_socket "$PWD/mtail.sock" --log_dir . \
		2>mtail.err &
	local mtail=$!
	../root/usr/sbin/rsyslogd -n -M ../root/usr/lib/x86_64-linux-gnu/rsyslog -i "$PWD/rsyslog.pid" -f rsyslog.conf &
	local rsyslog=$!
	pids="$mtail $rsyslog"
	sleep 2

	exec 3>>access.log
	write 1 20
	../root/usr/sbin/logrotate --force --state "$PWD/state" logrotate.conf
	write 21 60
	exec 3>>access.log
	write 61 80
	sleep 2
	curl --silent --unix-socket mtail.sock http://mtail/metrics |
		sed -n 's/^seen{line="\([0-9]*\)".*/line \1/p' >mtail
	for follower in mtail imfile; do
		echo "$1, $follower:$(has $follower early 1 20)$(has $follower late 41 60)$(
			has $follower first 61 61
		)$(has $follower last 80 80)"
	done
	cat access.log.1 access.log | cmp - <(seq -f 'line %g' 80)
	kill "$mtail" "$rsyslog"
	wait "$mtail" "$rsyslog" || true
	pids=
	cd ..
}

{
	try create
	try nocreate
} >result
cat result

# The second after the rename is left out: followers look four times a second.
if ! cmp result - <<'RESULT'
create, mtail: early 20 late 0 first 1 last 1
create, imfile: early 20 late 0 first 1 last 1
nocreate, mtail: early 20 late 0 first 0 last 1
nocreate, imfile: early 20 late 20 first 1 last 1
RESULT
then
	echo "the behaviour has changed" >&2
	exit 1
fi
