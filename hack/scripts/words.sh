#!/bin/sh
# words.sh [PATH ...]: counts "what", "who" and "nobody" per 1,000 words of comments and documents, a measure of sentences without a noun, not a linter.
set -eu

# count NAME PATH...: prints the rates of these files and folders.
count() {
	name=$1
	shift
	# shellcheck disable=SC2016 # awk expands it
	find "$@" -type f \( -name '*.go' -o -name '*.sh' -o -name '*.md' -o -name '*.yaml' -o -name '*.tmpl' -o -path '*sbin*' -o -path '*/etc/*' \) \
		-not -path '*/.git/*' -not -path '*/testdata/*' -not -name 'zz_*' -print0 |
		xargs -0 awk '
			FNR == 1 { fence = 0 }
			FILENAME ~ /\.md$/ { if (/^ *```/) fence = !fence; else if (!fence) print; next }
			FILENAME ~ /\.go$/ { at = index($0, "// "); if (at > 0) print substr($0, at + 3); next }
			{ if (match($0, /(^|[ \t])# /)) print substr($0, RSTART + RLENGTH) }' |
		tr '[:upper:]' '[:lower:]' | { grep -oE "[a-z']+" || true; } | awk -v name="$name" '
			{ words++ }
			$1 == "what" { what++ }
			$1 ~ /^(who|whoever|whom)$/ { who++ }
			$1 == "nobody" { nobody++ }
			$1 ~ /^(told|tell|tells|say|says|said)$/ { say++ }
			END {
				if (words) printf "%-12s words %6d, per 1,000: what %.1f, who %.1f, nobody %.2f, say or tell %.1f\n",
					name, words, 1000 * what / words, 1000 * who / words, 1000 * nobody / words, 1000 * say / words
			}'
}

[ "$#" -gt 0 ] || set -- webhook bootstrap cloudinit charts demo hack docs ./*.md
for path; do
	count "$path" "$path"
done
count total "$@"
