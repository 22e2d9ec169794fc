package admission

import "bytes"

// maxDepth bounds the nesting of objects and lists in a review. Those of API
// servers have some 20 levels. The decoder recurses into values that are skipped,
// and would do so 10,000 times, with 512 bytes of stack for each level (measured).
// It is also the number of objects and lists up to which the nesting is not
// followed (see opening): the pods of up to some ten containers.
const maxDepth = 2000

// opening returns the number of objects and lists in a JSON text, or more if
// strings contain brackets. It is many times faster than following the text.
func opening(text []byte) int {
	return bytes.Count(text, []byte{'{'}) + bytes.Count(text, []byte{'['})
}

// nesting follows the depth of a JSON text that arrives in pieces. Of a text that
// is not JSON, the depth has no meaning.
type nesting struct {
	depth             int
	inString, escaped bool
}

// follow reads the next piece. It returns false as soon as the text is nested
// more deeply than maxDepth.
func (n *nesting) follow(piece []byte) bool {
	for _, c := range piece {
		switch {
		case n.escaped:
			n.escaped = false
		case c == '\\':
			n.escaped = n.inString
		case c == '"':
			n.inString = !n.inString
		case n.inString:
		case c == '{', c == '[':
			if n.depth++; n.depth > maxDepth {
				return false
			}
		case c == '}', c == ']':
			n.depth--
		}
	}
	return true
}
