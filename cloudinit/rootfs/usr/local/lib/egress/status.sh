# shellcheck shell=bash
# Functions of egress-status: the fields of the status of this machine, in JSON.

# shellcheck disable=SC2153,SC2154 # common.sh and egress-status set these variables
sent=$run/status # the last status that was written, without its time

# utc SECONDS: sets REPLY to a time as RFC 3339.
utc() { TZ=UTC printf -v REPLY '%(%Y-%m-%dT%H:%M:%SZ)T' "$1"; }

# text STRING: sets REPLY to the string without characters that have a meaning in JSON.
text() {
  local LC_ALL=C
  REPLY=${1//[^[:print:]]/}
  REPLY=${REPLY//[\\\"]/}
  REPLY=${REPLY:0:300}
}

# is_refused DIGEST: whether the value that was fetched last is refused.
is_refused() { [ -e "$run/refused" ] && [[ "$(< "$run/refused")" = "$1 "* ]]; }

# boot: sets REPLY to the time of the boot. It is the start of the first process, because
# the kernel of a container is older.
boot() {
  local name value kernel=0 fields
  while read -r name value; do
    if [ "$name" = btime ]; then kernel=$value; fi
  done < "$root/proc/stat"
  read -r value < "$root/proc/1/stat"
  read -r -a fields <<< "${value##*) }"
  utc $((kernel + fields[19] / 100)) # a hundredth of a second each
}

# version: sets REPLY to Squid's version, if it is installed. Each of its files is asked once.
version() {
  local cache=$run/squid file
  REPLY=''
  hash squid 2> /dev/null || return 0
  file=$(stat -L -c '%i %Y' "${BASH_CMDS[squid]}")
  if [ ! -e "$cache" ] || [[ "$(< "$cache")" != "$file "* ]]; then
    echo "$file $(squid -v | sed -n 's/^Squid Cache: Version \([^ ]*\).*/\1/p')" > "$cache"
  fi
  text "$(< "$cache")"
  REPLY=${REPLY##* }
}

# reason: sets REPLY to the reason for which the last value is refused.
reason() {
  text "$(journalctl --unit=egress-sync.service --priority=warning --output=cat --lines=50 2> /dev/null |
    sed -n 's/^.*refused, the old squid.conf stays: //p' | tail -n 1)"
}

# certificate: sets REPLY to that of the port for sidecars, as a text of JSON. Its key is in
# the same file.
certificate() {
  local line
  REPLY=''
  while read -r line; do
    if [ -z "$REPLY" ] && [ "$line" != '-----BEGIN CERTIFICATE-----' ]; then continue; fi
    REPLY+=$line'\n'
    if [ "$line" = '-----END CERTIFICATE-----' ]; then return; fi
  done < "$root$SIDECAR_CERTIFICATE"
}

# host_keys: sets REPLY to the public keys by which SSH knows the machine, as texts of JSON.
# RSA is for clients older than 2014.
host_keys() {
  local file kind key keys=''
  for file in "$root"/etc/ssh/ssh_host_{ed25519,ecdsa}_key.pub; do
    [ -s "$file" ] || continue
    read -r kind key _ < "$file"
    text "$kind $key"
    keys+="${keys:+,}\"$REPLY\""
  done
  REPLY=$keys
}

# revisions: prints the tenants' revisions that Squid serves.
revisions() {
  awk '/^# serves(-sidecars)? / { printf "%s\"%s\":\"%s\"", (n++ ? "," : ""), $5, $4 }' "$conf"
}

# connections: prints how many connections are open on the tenants' ports: of pods, and of
# HAProxy, one for each tunnel of a sidecar.
connections() {
  ss --no-header --tcp --numeric state established |
    awk 'FILENAME == ARGV[1] { if ($1 == "#" && $2 ~ /^serves(-sidecars)?$/) served[$3]; next }
      { sub(/.*:/, "", $3) } $3 in served { n++ } END { print n + 0 }' "$conf" -
}

# live_fields DIGEST: prints the fields of the configuration in use.
live_fields() {
  utc "$(stat -c %Y "$run/live")"
  printf ',"served":"%s","since":"%s"' "$1" "$REPLY"
  if is_draining; then printf ',"connections":%s' "$(connections)"; fi
}

# fields: sets now to the fields of the status, but for its time.
fields() {
  local hashes='' digest='' live='' with
  if [ -e "$run/value" ]; then hashes=$(sha256sum "$run/value" "$conf"); fi
  digest=${hashes%% *}
  if [ -n "$hashes" ] && [ -e "$run/live" ] && [ "$hashes" = "$(< "$run/live")" ]; then live=yes; fi
  boot
  now="\"boot\":\"$REPLY\""
  version
  now+=",\"squid\":\"$REPLY\""
  # egress-sidecars creates it.
  if [ -n "${SIDECAR_CERTIFICATE:-}" ] && [ -s "$root$SIDECAR_CERTIFICATE" ]; then
    certificate
    now+=",\"certificate\":\"$REPLY\""
  fi
  if [ "$SSH" = yes ]; then
    host_keys
    now+=",\"hostKeys\":[$REPLY]"
  fi
  if [ -n "$live" ]; then now+=$(live_fields "$digest"); fi
  if [ -n "$digest" ] && is_refused "$digest"; then
    reason
    now+=",\"refused\":\"$digest\",\"reason\":\"$REPLY\""
  fi
  if [ -n "$live" ]; then
    with="$now,\"revisions\":{$(revisions)}"
    # The time takes 32 bytes.
    if [ "${#with}" -le "$((MAX_STATUS - 40))" ]; then now=$with; fi
  fi
}

# write_status FILE: writes it as a value of the machine's user data. The service
# accepts that from source ports below 1024 only.
write_status() {
  metadata_route src || return
  curl --silent --show-error --fail --noproxy '*' --interface "$REPLY" --local-port 1-1023 --max-time 5 \
    --request PATCH --header 'Content-Type: text/plain' --data-binary "@$1" "http://$METADATA/user_data/$STATUS_KEY" 2>&1
}

# report_status: writes the status if it has changed, and every 10 minutes; at once after
# the clock was set back. Nothing depends on its success. The next run tries again.
report_status() {
  local now message age
  fields
  if [ -e "$sent" ] && [ "$now" = "$(< "$sent")" ]; then
    age=$((EPOCHSECONDS - $(stat -c %Y "$sent")))
    if [ "$age" -ge 0 ] && [ "$age" -lt 600 ]; then return; fi
  fi
  utc "$EPOCHSECONDS"
  printf '{"time":"%s",%s}' "$REPLY" "$now" > "$sent.next"
  if message=$(write_status "$sent.next"); then
    printf '%s' "$now" > "$sent"
    rm -f "$run/mute"
  else
    [ -e "$run/mute" ] || warn "cannot write the status into the user data: ${message//$'\n'/; }"
    touch "$run/mute"
  fi
}
