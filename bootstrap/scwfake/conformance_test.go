package scwfake_test

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"egress.scw/bootstrap/scwfake"
)

// ids are the IDs of the fake's resources in place of the recorded ones. The key is the
// position of the ID in the request: the name of the field or query parameter, or the
// preceding segment of the path.
type ids map[string]string

// stated contains the requests for errors that are known without a request, and for
// one that was recorded on an API that the fake does not serve.
func stated() map[string]recordedRequest {
	const network = "/vpc/v2/regions/fr-par/private-networks"
	return map[string]recordedRequest{
		"block_volume_404":                        {Method: "GET", Path: "/block/v1/zones/fr-par-1/volumes/29da9ad9-e759-4a56-82c8-f0607f93055c"},
		"error_403_quotas_exceeded":               {Method: "POST", Path: network},
		"error_out_of_stock":                      {Method: "POST", Path: "/instance/v1/zones/fr-par-1/servers"},
		"error_quota_instance_legacy":             {Method: "POST", Path: "/instance/v1/zones/fr-par-1/ips"},
		"error_409_sg_in_use":                     {Method: "DELETE", Path: "/instance/v1/zones/fr-par-1/security_groups/00000000-0000-0000-0000-000000000000"},
		"error_412_pn_still_in_use_RECONSTRUCTED": {Method: "DELETE", Path: network + "/00000000-0000-0000-0000-000000000000"},
		"error_412_precondition_failed_secret":    {Method: "DELETE", Path: "/instance/v1/zones/fr-par-1/servers/00000000-0000-0000-0000-000000000000"},
	}
}

// change contains the keys that the API has added and removed since a recording, as
// paths. The fake corresponds to the newest recordings.
type change struct{ gained, lost []string }

func changes() map[string]change {
	pool := change{gained: []string{"labels", "taints", "startup_taints", "error_message"}, lost: []string{"new_images_enabled"}}
	return map[string]change{
		"pool_create_public_ip_disabled": pool,
		"pool_delete":                    pool,
		"pool_get_ready":                 pool,
		"pool_get_scaling":               pool,
		"node_server_get":                {gained: []string{"server.dns"}},
		"iam_applications_list":          {gained: []string{"applications.srn"}},
	}
}

// TestConformance sends each recorded request to the fake, with the fake's IDs in place
// of the recorded ones, and compares the answer's status and shape: no key may be
// missing or added, and each value must have the recorded type, null included. The
// only exceptions are the changes.
func TestConformance(t *testing.T) {
	t.Parallel()
	prepare := presumptions()
	for _, r := range readRecordings(t) {
		t.Run(r.Name, func(t *testing.T) {
			t.Parallel()
			presume, ok := prepare[r.Name]
			if !ok {
				t.Fatal("there is no presumption for this recording")
			}
			request, ok := stated()[r.Name]
			if !ok {
				request = *r.Request
			}
			c := newCloud(t, scwfake.Options{})
			status, contentType, shape := c.send(t, request, presume(c))
			if r.Response.Status != 0 && status != r.Response.Status {
				t.Errorf("status %d, recorded is %d", status, r.Response.Status)
			}
			if contentType != r.Response.ContentType {
				t.Errorf("content type %q, recorded is %q", contentType, r.Response.ContentType)
			}
			for _, path := range changes()[r.Name].gained {
				if !removeKey(shape, path) {
					t.Errorf("%s is listed as new, but the fake does not answer it", path)
				}
			}
			for _, path := range changes()[r.Name].lost {
				if !removeKey(r.Response.Shape, path) {
					t.Errorf("%s is listed as removed, but is not recorded", path)
				}
			}
			if diff := cmp.Diff(r.Response.Shape, shape); diff != "" {
				t.Errorf("the shape differs (-recorded +got):\n%s", diff)
			}
		})
	}
	for name := range prepare {
		if !slices.ContainsFunc(readRecordings(t), func(r recording) bool { return r.Name == name }) {
			t.Errorf("there is no recording %s", name)
		}
	}
}

// removeKey removes a key from a shape, and reports whether the shape had it. A list
// stands for its elements.
func removeKey(shape any, path string) bool {
	if list, ok := shape.([]any); ok && len(list) > 0 {
		return removeKey(list[0], path)
	}
	object, ok := shape.(map[string]any)
	if !ok {
		return false
	}
	key, rest, deeper := strings.Cut(path, ".")
	if deeper {
		return removeKey(object[key], rest)
	}
	_, ok = object[key]
	delete(object, key)
	return ok
}

// send sends the request with the fake's IDs. The shape is nil unless the answer is a
// JSON object.
func (c *cloud) send(t *testing.T, r recordedRequest, replace ids) (status int, contentType string, shape any) {
	t.Helper()
	var body io.Reader
	switch content := r.Body.(type) {
	case nil:
	case string:
		body = strings.NewReader(content)
	default:
		text, err := json.Marshal(replace.inBody("", content))
		if err != nil {
			t.Fatal(err)
		}
		body = bytes.NewReader(text)
	}
	request, err := http.NewRequestWithContext(t.Context(), r.Method, c.url+replace.inPath(t, r.Path), body)
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("X-Auth-Token", testToken)
	if r.ContentType != "" {
		request.Header.Set("Content-Type", r.ContentType)
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	var object map[string]any
	if json.Unmarshal(text, &object) == nil && object != nil {
		shape = shapeOf(object)
	}
	return response.StatusCode, response.Header.Get("Content-Type"), shape
}

func (i ids) inPath(t *testing.T, path string) string {
	t.Helper()
	u, err := url.Parse(path)
	if err != nil {
		t.Fatal(err)
	}
	segments := strings.Split(u.Path, "/")
	uuid := regexp.MustCompile(`^[0-9a-f-]{36}$`)
	for at, segment := range segments {
		if id, ok := i[segments[max(0, at-1)]]; ok && uuid.MatchString(segment) {
			segments[at] = id
		}
	}
	query := u.Query()
	for key := range query {
		if id, ok := i[key]; ok {
			query.Set(key, id)
		}
	}
	u.Path, u.RawQuery = strings.Join(segments, "/"), query.Encode()
	return u.String()
}

func (i ids) inBody(key string, value any) any {
	switch value := value.(type) {
	case map[string]any:
		replaced := map[string]any{}
		for key, inner := range value {
			replaced[key] = i.inBody(key, inner)
		}
		return replaced
	case []any:
		replaced := []any{}
		for _, inner := range value {
			replaced = append(replaced, i.inBody(key, inner))
		}
		return replaced
	case string:
		if id, ok := i[key]; ok {
			return id
		}
	}
	return value
}
