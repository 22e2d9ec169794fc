package scaleway

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"strings"
)

// metadataPath is requested by the SDK itself, for the domain in resource names (SRN),
// which bootstrap does not use.
const metadataPath = "/metadata"

// metadataAnswer takes the place of an answer of the API that the SDK cannot use. It is
// the answer of Scaleway's public API.
const metadataAnswer = `{"platform":"scaleway","partition":"scaleway","domain":"scw"}`

// metadataTransport makes a request for metadata succeed whenever the API answers at
// all. No recording of Scaleway's clients contains this request, so its real answer is
// not known; the SDK's own calls go on without one.
type metadataTransport struct{ base http.RoundTripper }

// RoundTrip implements http.RoundTripper.
func (t metadataTransport) RoundTrip(request *http.Request) (*http.Response, error) {
	response, err := t.base.RoundTrip(request)
	if err != nil || request.Method != http.MethodGet || !strings.HasSuffix(request.URL.Path, metadataPath) {
		return response, err
	}
	body, err := io.ReadAll(io.LimitReader(response.Body, maxAnswer))
	_ = response.Body.Close()
	var metadata struct{ Domain string }
	if err != nil || response.StatusCode != http.StatusOK || json.Unmarshal(body, &metadata) != nil || metadata.Domain == "" {
		body = []byte(metadataAnswer)
		response.StatusCode, response.Status = http.StatusOK, "200 OK"
		response.Header = http.Header{"Content-Type": {"application/json"}}
	}
	response.Body, response.ContentLength = io.NopCloser(bytes.NewReader(body)), int64(len(body))
	return response, nil
}
