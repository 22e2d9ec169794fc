#!/bin/sh
# race.sh: has the race detector watch what bootstrap does in parallel. It needs
# cgo and a C compiler; without one it says so.
set -eu
if ! command -v cc >/dev/null 2>&1; then
	echo "skipped: the race detector needs a C compiler (gcc), and there is none" >&2
	exit 0
fi
export CGO_ENABLED=1
go test -race -count=1 ./bootstrap/stack ./bootstrap/scwfake
# Whole runs, without the tests that try every position: those take long enough
# as it is.
go test -race -count=1 -run 'TestLifecycle|TestForeignResourcesStay|TestTwoSetups|TestNetworkInUse' ./bootstrap/scaleway
