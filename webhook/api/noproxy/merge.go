package noproxy

import "strings"

// Merge returns a container's own NO_PROXY, followed by those of our entries that
// it does not contain.
func Merge(own string, ours []string) string {
	if strings.TrimSpace(own) == "*" {
		// It already disables the proxy, and curl recognises "*" only if there is no
		// other entry.
		return own
	}
	missing := make(map[string]bool, len(ours))
	for _, entry := range ours {
		missing[entry] = true
	}
	for entry := range strings.FieldsFuncSeq(own, isSeparator) {
		delete(missing, strings.ToLower(entry))
	}
	if len(missing) == 0 {
		return own
	}
	var merged strings.Builder
	merged.WriteString(strings.TrimRightFunc(own, isSeparator))
	for _, entry := range ours {
		if !missing[entry] {
			continue
		}
		if merged.Len() > 0 {
			merged.WriteByte(',')
		}
		merged.WriteString(entry)
	}
	return merged.String()
}

// isSeparator accepts white space too, because curl does.
func isSeparator(r rune) bool {
	return r == ',' || r == ' ' || r == '\t' || r == '\n' || r == '\r'
}
