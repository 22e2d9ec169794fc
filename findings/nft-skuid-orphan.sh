#!/bin/bash
# nft-skuid-orphan.sh: a rule about the user of a socket (meta skuid) meets a program that
# closes a connection on which not all has been sent yet.
#
# Versions: nftables 1.0.6-2+deb12u2 (Debian 12), run on Linux 6.18.
#
# Expected: "meta skuid proxy accept" before "drop" lets the connections of one user out, from
# the first packet to the last one.
# Happens: the user is read from the open file of the socket. With close(2) the file is gone,
# and the kernel goes on to send what is in the buffer, without an owner: no rule with skuid
# matches these packets any more. The rule drops the rest of the data, the end of the
# connection, and each repetition. close() has succeeded, and the other side waits for bytes
# that never come, and for the end. The same program with shutdown(2) in front, and the
# close when the other side has ended too, loses nothing, and neither does one on a fast
# line whose buffer is empty.
# Matters: by its user, a proxy is the one program of a machine that may reach the internet.
# Without "ct state established accept" in front of such a rule, the tails of uploads are
# lost when the receiver is slow: not in tests, and without an error at the sender. The
# counter of the drop rule is the only trace. A mark for a route that is set by skuid is
# missing on the same packets.
set -euo pipefail
shopt -s inherit_errexit

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"

{
	apt-get download nftables=1.0.6-2+deb12u2 libnftables1=1.0.6-2+deb12u2 libnftnl11=1.2.4-2 \
		libxtables12=1.8.9-2 libjansson4=2.14-2 libmnl0=1.0.4-3 libedit2=3.1-20221030-2
	for package in *.deb; do dpkg-deb -x "$package" root; done
} >log 2>&1 || { cat log >&2 && exit 1; }
export LD_LIBRARY_PATH=$work/root/usr/lib/x86_64-linux-gnu:$work/root/lib/x86_64-linux-gnu

cat >try.py <<'PY'
import os
import socket
import subprocess
import threading

def load(first):
    """Admits the connections of this user alone to port 8443."""
    rules = f"""
        flush ruleset
        table inet proxy {{
            chain output {{
                type filter hook output priority filter
                {first}
                tcp dport 8443 meta skuid {os.getuid()} accept
                tcp dport 8443 drop
            }}
        }}
    """
    subprocess.run(["root/usr/sbin/nft", "-f", "-"], input=rules, text=True, check=True)

def upload(end):
    """Sends to a receiver that reads when the sender has done its part, and says what arrives."""
    with socket.socket() as server:
        server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        server.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8192)
        server.bind(("127.0.0.1", 8443))
        server.listen()
        sender = socket.create_connection(("127.0.0.1", 8443))
        receiver, _ = server.accept()
    # As much as fits into the sender's buffer, which is the larger one.
    sender.setblocking(False)
    sent = sender.send(bytes(1_000_000))
    sender.setblocking(True)
    if end == "close":
        sender.close()
        waiting = None
    else:
        sender.shutdown(socket.SHUT_WR)
        waiting = threading.Thread(target=lambda: (sender.recv(1), sender.close()))
        waiting.start()
    got, ended = 0, "the end"
    # A whole upload needs far less than a second; a lost one is repeated at 0.2 s, 0.4 s, and so on.
    receiver.settimeout(20)
    try:
        while data := receiver.recv(65536):
            got += len(data)
    except TimeoutError:
        ended = "no end"
    receiver.close()
    if waiting:
        waiting.join()
    return f"{'all' if got == sent else 'a part'} arrives, {ended}"

for first, end in [("", "shutdown"), ("", "close"), ("ct state established accept", "close")]:
    load(first)
    print(f"{first or 'skuid alone'}, {end}: {upload(end)}", flush=True)
PY
# A network namespace of its own, with or without root.
output=$(unshare --map-root-user --net sh -ec 'ip link set lo up; python3 try.py')
echo "$output"

if [ "$output" != 'skuid alone, shutdown: all arrives, the end
skuid alone, close: a part arrives, no end
ct state established accept, close: all arrives, the end' ]; then
	echo "the behaviour has changed" >&2
	exit 1
fi
