package main

import (
	"embed"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"strings"
)

//go:embed static
var static embed.FS

// contentSecurityPolicy allows the page to load only its own script, style, icon
// and API.
const contentSecurityPolicy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; " +
	"connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"

// newHandler serves the page, the API and /healthz.
func newHandler(env environment, checks *checker, logger *slog.Logger) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, "ok\n")
	})
	mux.HandleFunc("GET /{$}", func(w http.ResponseWriter, r *http.Request) {
		http.ServeFileFS(w, r, static, "static/index.html")
	})
	// {file} excludes the listing of the folder.
	mux.Handle("GET /static/{file}", http.FileServerFS(static))
	mux.HandleFunc("GET /api/environment", func(w http.ResponseWriter, _ *http.Request) {
		writeJSON(w, http.StatusOK, env)
	})
	mux.HandleFunc("POST /api/checks/{name}", func(w http.ResponseWriter, r *http.Request) {
		res, known := checks.run(r.Context(), r.PathValue("name"))
		if !known {
			writeJSON(w, http.StatusNotFound, apiError{fmt.Sprintf("unknown check %q; the checks are: %s",
				r.PathValue("name"), strings.Join(checkNames(), ", "))})
			return
		}
		logger.Info("check", "check", res.Check, "outcome", res.Outcome, "url", res.URL, "via", res.Via,
			"status", res.Status, "durationMs", res.DurationMS, "error", res.Error)
		writeJSON(w, http.StatusOK, res)
	})
	// A page of another origin must not press our buttons.
	return secure(http.NewCrossOriginProtection().Handler(mux))
}

// apiError is the body of an API answer that is not a 200.
type apiError struct {
	Error string `json:"error"`
}

// secure adds the headers that every answer carries.
func secure(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		header := w.Header()
		header.Set("Content-Security-Policy", contentSecurityPolicy)
		header.Set("X-Content-Type-Options", "nosniff")
		header.Set("Referrer-Policy", "no-referrer")
		// The answers describe this pod at this moment, and the page changes
		// with the binary.
		header.Set("Cache-Control", "no-store")
		next.ServeHTTP(w, r)
	})
}

// writeJSON answers with body. A client that has disconnected is not an error.
func writeJSON(w http.ResponseWriter, status int, body any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(body)
}
