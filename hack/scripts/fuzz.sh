#!/bin/sh
# fuzz.sh TIME: runs every fuzz target of the product for this time each.
set -eu
grep -rlE '^func Fuzz' --include='*_test.go' webhook bootstrap cloudinit | sort | while read -r file; do
	sed -nE 's/^func (Fuzz[A-Za-z0-9_]*)\(.*/\1/p' "$file" | while read -r target; do
		echo "==> $target (${file%/*})"
		go test "./${file%/*}" -run '^$' -fuzz "^$target\$" -fuzztime "$1"
	done
done
