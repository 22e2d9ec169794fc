package integration

import (
	"context"
	"fmt"
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
			var status int
			var body []byte
			// The webhook answers without reading a body that is too large. A busy machine may see
			// the end of the connection before the answer.
			eventually(t, "an answer", func(ctx context.Context) (bool, string) {
				var err error
				status, body, err = shared.webhook.review(ctx, []byte(test.body))
				return err == nil, fmt.Sprint(err)
			})
			if status != test.status || !strings.Contains(string(body), test.want) {
				t.Errorf("answer: %d %s; want %d and %q", status, body, test.status, test.want)
			}
		})
	}
}
