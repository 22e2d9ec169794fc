package strictyaml

import "strings"

const (
	// maxEdits is the largest edit distance at which a name is suggested.
	maxEdits = 2
	// maxSuggestible bounds the length of names that are compared, in bytes. The
	// comparison takes time proportional to the length, and field names are
	// shorter.
	maxSuggestible = 64
)

// nearest returns the name that a misspelt one probably stands for: the closest
// within maxEdits that differs in at most half of its letters. It returns an
// empty string if there is no such name.
func nearest(misspelt string, names []string) string {
	if len(misspelt) > maxSuggestible {
		return ""
	}
	best, least := "", maxEdits+1
	for _, name := range names {
		if edits := distance(strings.ToLower(misspelt), strings.ToLower(name)); edits < least && 2*edits <= len(name) {
			best, least = name, edits
		}
	}
	return best
}

// distance is the Levenshtein distance: the number of bytes to add, remove or
// replace to turn one word into the other.
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			replaced := diagonal
			if a[i] != b[j] {
				replaced++
			}
			diagonal = row[j+1]
			row[j+1] = min(replaced, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}
