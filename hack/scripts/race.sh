#!/bin/sh
# race.sh: runs bootstrap's parallel work with the race detector. It needs cgo
# and a C compiler. Without a compiler it prints that it was skipped.
set -eu
if ! command -v cc >/dev/null 2>&1; then
	echo "skipped: the race detector needs a C compiler (gcc)" >&2
	exit 0
fi
export CGO_ENABLED=1
# -vet=off: the Makefile has the reason. -short: fewer random stacks, because each takes
# many times the CPU time with the race detector. All of them run without it.
go test -race -short -vet=off -count=1 -timeout 60m ./bootstrap/stack ./bootstrap/scwfake
# Whole runs, without the tests that inject a fault into each request: those
# take long enough without the race detector.
tests='^(TestLifecycle|TestUnownedResourcesStay|TestTwoStacks|TestNetworkInUse)$'
# A renamed test would drop out of the pattern without a failure.
if [ "$(go test -race -vet=off -list "$tests" ./bootstrap/scaleway | grep -c '^Test')" -ne 4 ]; then
	echo "race: a test of the pattern does not exist: $tests" >&2
	exit 1
fi
go test -race -vet=off -count=1 -timeout 60m -run "$tests" ./bootstrap/scaleway
