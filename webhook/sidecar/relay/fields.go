package relay

import (
	"net/http"
	"strings"

	"egress.scw/webhook/api/names"
)

// hopByHop are the fields that concern one connection (RFC 9110, section 7.6.1), and
// those that only the sidecar sets.
var hopByHop = []string{
	"Connection", "Keep-Alive", "Proxy-Authenticate", "Proxy-Authorization", "Proxy-Connection", "Te", "Trailer", "Transfer-Encoding", "Upgrade",
	"Host", names.HeaderNamespace, names.HeaderPod,
}

// endToEnd returns the fields without those of one connection.
func endToEnd(header http.Header) http.Header {
	kept := header.Clone()
	if kept == nil {
		kept = http.Header{}
	}
	for _, name := range connectionFields(header) {
		kept.Del(name)
	}
	for _, name := range hopByHop {
		kept.Del(name)
	}
	return kept
}

// connectionFields are the fields that the field Connection names.
func connectionFields(header http.Header) []string {
	var fields []string
	for _, value := range header["Connection"] {
		for field := range strings.SplitSeq(value, ",") {
			fields = append(fields, strings.TrimSpace(field))
		}
	}
	return fields
}
