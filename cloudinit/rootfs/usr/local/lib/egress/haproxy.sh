# shellcheck shell=bash
# Functions of egress-sidecars: HAProxy and its files.

# shellcheck disable=SC2153,SC2154 # common.sh sets these variables
haproxy_conf=$root$SIDECAR_CONF
authorities=$root$SIDECAR_AUTHORITIES
sidecar_certificate=$root$SIDECAR_CERTIFICATE

# make_certificate: creates the certificate of the port for sidecars. Its key is created
# on the machine, and does not leave it. Sidecars trust exactly this certificate, which
# bootstrap reads from the machine's status, so that it needs no authority and no expiry.
make_certificate() {
  [ ! -s "$sidecar_certificate" ] || return 0
  (
    umask 077
    openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 36500 -subj /CN=egress-proxy \
      -addext "subjectAltName=IP:$PRIVATE_ADDRESS" -keyout "$sidecar_certificate.key" -out "$sidecar_certificate.crt" 2> /dev/null ||
      die 'openssl cannot create the certificate for sidecars'
    cat "$sidecar_certificate.crt" "$sidecar_certificate.key" > "$sidecar_certificate.next"
    rm -f "$sidecar_certificate.key" "$sidecar_certificate.crt"
  )
  put "$sidecar_certificate.next" "$sidecar_certificate"
}

# print_authorities FILE: prints the authorities of a squid.conf in PEM.
print_authorities() {
  local der
  sed -n 's/^# authority //p' "$1" | while read -r der; do
    printf -- '-----BEGIN CERTIFICATE-----\n%s\n-----END CERTIFICATE-----\n' "$(fold -w 64 <<< "$der")"
  done
}

# print_conf FILE: prints HAProxy's file for the tenants of a squid.conf.
print_conf() {
  local port tenant
  cat "$root/etc/egress/haproxy.base.cfg"
  serving "$1" | while read -r port _ tenant; do
    cat << BACKEND

backend tenant_$tenant
    http-request set-var(txn.reason) str(connections) if { be_conn gt $TENANT_CONNECTIONS }
    http-request set-log-level notice if { var(txn.reason) -m found }
    http-request return status 503 content-type text/plain hdr X-Egress-Reason connections string "The tenant has the maximum number of connections.\n" if { var(txn.reason) -m found }
    http-request set-dst-port int($port)
    server squid $SIDECAR_ADDRESS:$port send-proxy-v2
BACKEND
  done
}

# check_haproxy: prints the reason for which HAProxy would not accept the new files,
# without the process ID in its messages.
check_haproxy() {
  local messages status=0
  sed "s#ca-file $SIDECAR_AUTHORITIES #ca-file $authorities.next #; s#crt $SIDECAR_CERTIFICATE #crt $sidecar_certificate #" \
    "$haproxy_conf.next" > "$haproxy_conf.check"
  messages=$(haproxy -c -f "$haproxy_conf.check" 2>&1) || status=$?
  rm -f "$haproxy_conf.check"
  [ "$status" = 0 ] || echo "haproxy -c: exit status $status, $(grep ALERT <<< "$messages" | head -n 1 | sed 's/^.*([0-9]*) *: *//' | cut -c 1-300)"
}

# load_haproxy: makes HAProxy read its files. If it runs, open tunnels remain with the
# former process.
load_haproxy() {
  if systemctl --quiet is-active haproxy.service; then
    systemctl reload haproxy.service
  else
    systemctl --quiet unmask haproxy.service
    systemctl --quiet enable haproxy.service
    systemctl restart haproxy.service
  fi
}

# close_port: without an authority no certificate can be verified. Once only: a mask
# makes systemd read all units.
close_port() {
  if [ "$(systemctl is-enabled haproxy)" = masked ] && ! systemctl --quiet is-active haproxy; then return; fi
  systemctl stop haproxy.service 2> /dev/null || true
  systemctl mask haproxy.service
}
