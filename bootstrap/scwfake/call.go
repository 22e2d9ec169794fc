package scwfake

import (
	"bytes"
	"encoding/json"
	"net/http"
	"net/url"
	"strings"

	"github.com/scaleway/scaleway-sdk-go/scw"
)

// call is one request while it is handled, under the lock.
type call struct {
	api    *API
	path   string
	values map[string]string
	query  url.Values
	body   []byte
	// header is the reply's.
	header http.Header
}

// raw is a reply that is not JSON.
type raw struct {
	// status is 0 for the route's.
	status      int
	contentType string
	body        []byte
}

// place returns the zone or region of the request. The request does not see the
// resources of other places.
func (c *call) place() string {
	if zone, ok := c.values["zone"]; ok {
		return zone
	}
	return c.values["region"]
}

// shortPath returns the path as the headers of instance/v1 contain it: from the
// product on, without version and zone.
func (c *call) shortPath() string {
	_, short, _ := strings.Cut(c.path, c.place())
	return short
}

// decode reads the body into a request. Unknown fields are ignored, as the
// real API ignores them.
func (c *call) decode(into any) error {
	if len(bytes.TrimSpace(c.body)) == 0 {
		return nil
	}
	if err := json.Unmarshal(c.body, into); err != nil {
		return invalidArgument("body", "format", err.Error())
	}
	return nil
}

// regionOf returns the region a zone is in.
func regionOf(zone string) string {
	region, err := scw.Zone(zone).Region()
	if err != nil {
		return ""
	}
	return string(region)
}
