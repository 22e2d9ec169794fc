# shellcheck shell=bash
# Functions of egress-status: the fields of the status of this machine, in JSON.

# shellcheck disable=SC2153,SC2154 # common.sh and egress-status set these variables
sent=$run/status # the last status that was written, without its time

# utc SECONDS: prints a time as RFC 3339.
utc() { date --utc --date="@$1" +%Y-%m-%dT%H:%M:%SZ; }

# digest: prints the hash of the value that was fetched last.
digest() { sha256sum < "$run/value" | cut -d ' ' -f 1; }

# is_live: whether Squid serves the value that was fetched last.
is_live() { [ -e "$run/value" ] && [ "$(cat "$run/value" "$conf" | sha256sum)" = "$(cat "$run/live" 2> /dev/null)" ]; }

# is_refused: whether that value is refused.
is_refused() { [ -e "$run/value" ] && [[ "$(cat "$run/refused" 2> /dev/null)" = "$(sha256sum < "$run/value") "* ]]; }

# text: prints standard input without characters that have a meaning in JSON.
text() { tr -cd '[:print:]' | tr -d '\\"' | cut -c 1-300; }

# boot: prints the time of the boot. It is the start of the first process, because the
# kernel of a container is older.
boot() {
  local kernel ticks # a hundredth of a second each
  kernel=$(awk '$1 == "btime" { print $2 }' "$root/proc/stat")
  ticks=$(sed 's/.*) //' "$root/proc/1/stat" | cut -d ' ' -f 20)
  utc $((kernel + ticks / 100))
}

reason() {
  journalctl --unit=egress-sync.service --priority=warning --output=cat --lines=50 2> /dev/null |
    sed -n 's/^.*refused, the old squid.conf stays: //p' | tail -n 1 | text
}

# certificate: prints that of the port for sidecars without its key, as a text of JSON.
certificate() { openssl x509 -in "$root$SIDECAR_CERTIFICATE" | awk '{ printf "%s\\n", $0 }'; }

# host_keys: prints the public keys by which SSH knows the machine, as texts of JSON. RSA
# is for clients older than 2014.
host_keys() {
  local key separator=''
  for key in "$root"/etc/ssh/ssh_host_{ed25519,ecdsa}_key.pub; do
    [ -s "$key" ] || continue
    printf '%s"%s"' "$separator" "$(cut -d ' ' -f 1,2 "$key" | text)"
    separator=,
  done
}

# revisions: prints the tenants' revisions that Squid serves.
revisions() {
  serving "$conf" | awk '{ printf "%s\"%s\":\"%s\"", (NR > 1 ? "," : ""), $3, $2 }'
}

# connections: prints how many connections are open on the tenants' ports: of pods, and of
# HAProxy, one for each tunnel of a sidecar.
connections() {
  ss --no-header --tcp --numeric state established |
    awk 'FILENAME == ARGV[1] { if ($1 == "#" && $2 ~ /^serves(-sidecars)?$/) served[$3]; next }
      { sub(/.*:/, "", $3) } $3 in served { n++ } END { print n + 0 }' "$conf" -
}

# fields [REVISIONS]: prints the fields of the status, but for its time.
fields() {
  printf '"boot":"%s","squid":"%s"' "$(boot)" "$(squid -v | sed -n 's/^Squid Cache: Version \([^ ]*\).*/\1/p' | text)"
  # egress-sidecars creates it.
  if [ -n "${SIDECAR_CERTIFICATE:-}" ] && [ -s "$root$SIDECAR_CERTIFICATE" ]; then printf ',"certificate":"%s"' "$(certificate)"; fi
  if [ "$SSH" = yes ]; then printf ',"hostKeys":[%s]' "$(host_keys)"; fi
  if is_live; then printf ',"served":"%s","since":"%s"' "$(digest)" "$(utc "$(stat -c %Y "$run/live")")"; fi
  if is_live && is_draining; then printf ',"connections":%s' "$(connections)"; fi
  if is_refused; then printf ',"refused":"%s","reason":"%s"' "$(digest)" "$(reason)"; fi
  if [ "${1-}" != '' ] && is_live; then printf ',"revisions":{%s}' "$1"; fi
}

# write_status FILE: writes it as a value of the machine's user data. The service
# accepts that from source ports below 1024 only.
write_status() {
  curl --silent --show-error --fail --noproxy '*' --interface "$(metadata_route src)" --local-port 1-1023 --max-time 5 \
    --request PATCH --header 'Content-Type: text/plain' --data-binary "@$1" "http://$METADATA/user_data/$STATUS_KEY" 2>&1
}

# report_status: writes the status if it has changed, and every 10 minutes; at once after
# the clock was set back. Nothing depends on its success. The next run tries again.
report_status() {
  local now message
  now=$(fields "$(revisions)")
  # The time takes 32 bytes.
  [ "${#now}" -le "$((MAX_STATUS - 40))" ] || now=$(fields)
  if [ "$now" = "$(cat "$sent" 2> /dev/null)" ] && [ -n "$(find "$sent" -mmin -10 ! -newermt now)" ]; then return; fi
  printf '{"time":"%s",%s}' "$(utc "$(date +%s)")" "$now" > "$sent.next"
  if message=$(write_status "$sent.next"); then
    printf '%s' "$now" > "$sent"
    rm -f "$run/mute"
  else
    [ -e "$run/mute" ] || warn "cannot write the status into the user data: ${message//$'\n'/; }"
    touch "$run/mute"
  fi
}
