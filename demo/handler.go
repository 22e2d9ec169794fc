package main

import (
	"embed"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"strconv"
)

//go:embed static
var static embed.FS

// contentSecurityPolicy allows the page to load only its own script, style, icon
// and API.
const contentSecurityPolicy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; " +
	"connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"

// newHandler serves /healthz, and to clients with the account the page and the API.
func newHandler(env environment, checks *runner, a account) http.Handler {
	page := http.NewServeMux()
	page.HandleFunc("GET /{$}", func(w http.ResponseWriter, r *http.Request) {
		http.ServeFileFS(w, r, static, "static/index.html")
	})
	// {file} excludes the listing of the folder.
	page.Handle("GET /static/{file}", http.FileServerFS(static))
	page.HandleFunc("GET /api/environment", func(w http.ResponseWriter, _ *http.Request) {
		writeJSON(w, http.StatusOK, env)
	})
	page.Handle("GET /api/events", checks.hub)
	page.HandleFunc("POST /api/checks/{name}", func(w http.ResponseWriter, r *http.Request) {
		res, err := checks.run(r.Context(), r.PathValue("name"))
		if err != nil {
			writeError(w, err)
			return
		}
		writeJSON(w, http.StatusOK, res)
	})

	all := http.NewServeMux()
	all.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, "ok\n")
	})
	// A page of another origin must not press our buttons.
	all.Handle("/", a.protect(http.NewCrossOriginProtection().Handler(page)))
	return secure(all)
}

// apiError is the body of an API answer that is not a 200.
type apiError struct {
	Error string `json:"error"`
}

// writeError answers with an error of runner.run.
func writeError(w http.ResponseWriter, err error) {
	status := http.StatusNotFound
	if limit, limited := errors.AsType[*rateLimitError](err); limited {
		status = http.StatusTooManyRequests
		w.Header().Set("Retry-After", strconv.Itoa(int(limit.retryAfter.Seconds())))
	}
	writeJSON(w, status, apiError{err.Error()})
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
