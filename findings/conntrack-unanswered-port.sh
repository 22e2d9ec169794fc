#!/bin/bash
# conntrack-unanswered-port.sh: an endpoint that leaves a translated address (DNAT, as
# kube-proxy writes it for a Service) meets a source port that is used again.
#
# Versions: nftables 1.0.6-2+deb12u2 (Debian 12), run on Linux 6.18.
#
# Expected: rules of the nat table are evaluated for each new connection. Once the
# endpoint is not in them any more, no new connection reaches it. That is so for the
# source port of a connection that has ended, although conntrack keeps its entry for two
# minutes, too.
# Happens: the entry of a connection that was not answered (SYN_SENT) stays for 120 s after
# its last SYN. A new connection from the same port is a repetition of that SYN: it
# goes to the endpoint that was removed, and prolongs the entry. Only an answer, also a
# reset, ends that.
# Matters: when the machine behind an endpoint loses its power, each connection that is
# tried until the endpoint leaves the Service leaves such an entry. At 100 a second, it
# takes some minutes until Linux gives a client its ports again: then single connections
# fail long after EndpointSlice and rules are right, and look like another fault.
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
import socket
import subprocess
import threading

SERVICE, OLD, NEW = "10.96.0.10", "10.9.0.1", "10.9.0.2"

def lead_to(endpoint, lost=""):
    """Replaces the rules: the Service leads to one endpoint, and a lost one is silent."""
    drop = f"ip daddr {lost} drop" if lost else ""
    rules = f"""flush ruleset
    table ip service {{
        chain output {{
            type nat hook output priority -100
            ip daddr {SERVICE} tcp dport 3128 dnat to {endpoint}:3129
        }}
        chain input {{
            type filter hook input priority 0
            {drop}
        }}
    }}"""
    subprocess.run(["root/usr/sbin/nft", "-f", "-"], input=rules, text=True, check=True)

def serve(address):
    """Tells each client its own address, and closes the connection first."""
    server = socket.create_server((address, 3129))
    def answer():
        while True:
            try:
                connection, _ = server.accept()
            except OSError:
                return  # the server was shut down
            connection.sendall(address.encode())
            connection.close()
    threading.Thread(target=answer, daemon=True).start()
    return server

def connect(port):
    """Connects to the Service from a port, and returns the endpoint that answers."""
    with socket.socket() as client:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        client.bind((SERVICE, port))
        client.settimeout(2)
        try:
            client.connect((SERVICE, 3128))
            return {OLD: "old", NEW: "new"}[client.recv(100).decode()]
        except TimeoutError:
            return "no answer"
        except ConnectionRefusedError:
            return "refused"

serve(NEW)
old = serve(OLD)
lead_to(OLD)
print("port 40001:", connect(40001))
lead_to(OLD, lost=OLD)
print("port 40002, the old endpoint has lost its power:", connect(40002))
lead_to(NEW, lost=OLD)
print("port 40001, the Service leads to the new endpoint:", connect(40001))
print("port 40002:", connect(40002))
print("port 40003:", connect(40003))
old.shutdown(socket.SHUT_RDWR)  # so that the old endpoint refuses when it is back
lead_to(NEW)
print("port 40002, the old endpoint is back, and refuses:", connect(40002))
print("port 40002:", connect(40002))
PY
cat >addresses <<'IP'
link set lo up
address add 10.96.0.10/32 dev lo
address add 10.9.0.1/32 dev lo
address add 10.9.0.2/32 dev lo
IP
# A network namespace of its own, with or without root.
output=$(unshare --map-root-user --net sh -c 'ip -batch addresses && exec python3 try.py')
echo "$output"

if [ "$output" != 'port 40001: old
port 40002, the old endpoint has lost its power: no answer
port 40001, the Service leads to the new endpoint: new
port 40002: no answer
port 40003: new
port 40002, the old endpoint is back, and refuses: refused
port 40002: new' ]; then
	echo "the behaviour has changed" >&2
	exit 1
fi
