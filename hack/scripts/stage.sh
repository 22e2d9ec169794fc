#!/bin/sh
# stage.sh NAME COMMAND [ARGUMENT ...]: runs a stage of the tests and prints
# its duration.
name=$1
shift
printf '\n==> %s\n' "$name"
start=$(date +%s)
"$@"
status=$?
seconds=$(($(date +%s) - start))
if [ "$status" -eq 0 ]; then
	printf '==> %s: ok, %d s\n' "$name" "$seconds"
else
	printf '==> %s: FAILED (exit status %d), %d s\n' "$name" "$status" "$seconds"
fi
exit "$status"
