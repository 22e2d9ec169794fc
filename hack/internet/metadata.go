package internet

import (
	"io"
	"net/http"
)

// metadataHandler looks like the metadata service of a cloud, where an instance
// finds its secrets. A pod that gets this answer could have got the node's.
func metadataHandler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /conf", func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Query().Get("format") == "json" {
			writeJSON(w, map[string]string{"id": "00000000-0000-0000-0000-000000000000", "name": "not-for-pods"})
			return
		}
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		_, _ = io.WriteString(w, "ID=00000000-0000-0000-0000-000000000000\nNAME=not-for-pods\n")
	})
	return mux
}
