package integration

import (
	"net/http"
	"strings"
	"testing"
)

// Requests that the API server never sends, but a port scanner may.
func TestMalformedReviews(t *testing.T) {
	for name, test := range map[string]struct {
		body   string
		status int
		want   string
	}{
		"no JSON":    {"{", http.StatusBadRequest, "AdmissionReview"},
		"no request": {`{"apiVersion":"admission.k8s.io/v1","kind":"AdmissionReview"}`, http.StatusBadRequest, "request"},
		"wrong kind": {`{"apiVersion":"v1","kind":"Pod"}`, http.StatusBadRequest, "AdmissionReview"},
		"over the limit": {
			`{"apiVersion":"admission.k8s.io/v1","kind":"AdmissionReview","request":{"uid":"` + strings.Repeat("x", 8<<20) + `"}}`,
			http.StatusRequestEntityTooLarge, "7340032",
		},
	} {
		t.Run(name, func(t *testing.T) {
			status, body, err := shared.webhook.review(t.Context(), []byte(test.body))
			if err != nil {
				t.Fatal(err)
			}
			if status != test.status || !strings.Contains(string(body), test.want) {
				t.Errorf("answer: %d %s; want %d and %q", status, body, test.status, test.want)
			}
		})
	}
}
