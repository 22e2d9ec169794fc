#!/bin/sh
# verify.sh: fails if a generated file or a go.mod does not match its source.
# It generates in a copy, and changes nothing here.
set -eu

for module in . hack hack/test/clients/programs/go hack/tools/kubernetes hack/tools/certmanager hack/tools/lint hack/tools/generate; do
	(cd "$module" && go mod tidy -diff) || {
		echo "verify: go mod tidy in $module" >&2
		exit 1
	}
done

copy=$(mktemp -d)
trap 'rm -rf "$copy"' EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP
# shellcheck disable=SC2016 # the inner shell expands it
git ls-files -z --cached --others --exclude-standard |
	xargs -0 sh -c 'for file; do [ ! -e "$file" ] || printf "%s\0" "$file"; done' sh |
	xargs -0 cp --parents --target-directory="$copy"
make --no-print-directory -C "$copy" generate

# Files that exist only in this folder are not part of the comparison.
stale=$(diff -rq . "$copy" -x .git -x bin | grep -v '^Only in \.' || true)
if [ -n "$stale" ]; then
	echo "$stale" >&2
	echo "verify: make generate" >&2
	exit 1
fi
