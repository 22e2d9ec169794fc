#!/bin/sh
# lint.sh shell | markdown | prometheus: checks files that golangci-lint does
# not read. Without root, a tool that is missing is reported and skipped: only
# root can install it (make deps).
set -eu

# need TOOL: ends the script if the tool is not installed.
need() {
	if command -v "$1" >/dev/null 2>&1; then return; fi
	echo "lint: $1 is not installed" >&2
	if [ "$(id -u)" -eq 0 ]; then exit 1; fi
	exit 0
}

# files [PATTERN ...]: the files of the checkout, each ended by a zero byte. git also
# lists a file that was removed, until the removal is committed.
files() {
	# shellcheck disable=SC2016 # the inner shell expands it
	git ls-files -z --cached --others --exclude-standard -- "$@" |
		xargs -0 sh -c 'for file; do [ ! -e "$file" ] || printf "%s\0" "$file"; done' sh
}

# shell_files: scripts by their first line, and files that scripts read, by
# their extension or by their first line, which names the shell for ShellCheck.
shell_files() {
	files | xargs -0 awk '
		FNR == 1 && (/^#!.*sh$/ || /^# shellcheck shell=/ || FILENAME ~ /\.sh$/) { print FILENAME }
		FNR == 1 { nextfile }'
}

case ${1:-} in
shell)
	need shellcheck
	# Not through a pipe, which would hide a failure of the search.
	scripts=$(shell_files)
	# shellcheck disable=SC2086 # a list
	shellcheck $scripts
	# shellcheck disable=SC2086 # a list
	go tool -modfile="$PWD/hack/tools/lint/go.mod" shfmt --diff $scripts
	;;
markdown)
	need mdl
	files '*.md' | xargs -0 mdl --style hack/scripts/markdown.rb
	;;
prometheus)
	need promtool
	dir=$(mktemp -d)
	trap 'rm -rf "$dir"' EXIT
	promtool check rules charts/egress-webhook/rules/*.yaml
	# The names of metrics, as the reference page lists them.
	awk -F'`' '
		/^\| `egress_/ {
			type = $2 ~ /_total$/ ? "counter" : "gauge"
			print "# HELP " $2 " See docs/reference/metrics.md.\n# TYPE " $2 " " type "\n" $2 " 1"
		}' docs/reference/metrics.md >"$dir/metrics.txt"
	# promtool finds no fault in an empty file.
	if [ ! -s "$dir/metrics.txt" ]; then
		echo "lint: docs/reference/metrics.md has no metric where this script looks for them" >&2
		exit 1
	fi
	promtool check metrics <"$dir/metrics.txt"
	;;
*)
	echo "usage: lint.sh shell | markdown | prometheus" >&2
	exit 2
	;;
esac
