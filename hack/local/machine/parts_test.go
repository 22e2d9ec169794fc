package machine

import (
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"egress.scw/bootstrap/scwfake"
)

func TestReleaseSources(t *testing.T) {
	const targets = `http://one.example/debian/ bookworm main
http://one.example/debian/ bookworm contrib
http://one.example/debian/ bookworm-updates main
http://one.example/debian/ bookworm-backports main
http://two.example/security/ bookworm-security main
http://one.example/debian/ trixie main
http://one.example/debian/ sid main
https://three.example/apt/ nodistro main
`
	for _, release := range []Release{Bookworm, Trixie} {
		want := []string{
			"deb http://one.example/debian/ " + string(release) + " main", "deb http://one.example/debian/ " + string(release) + "-updates main",
			"deb http://two.example/security/ " + string(release) + "-security main",
		}
		if diff := cmp.Diff(want, releaseSources(targets, release)); diff != "" {
			t.Errorf("%s, -want +got:\n%s", release, diff)
		}
		const ubuntu = "http://one.example/ubuntu/ noble main\nhttp://one.example/ubuntu/ noble universe\n"
		if got := releaseSources(ubuntu, release); len(got) > 0 {
			t.Errorf("%s on another distribution: %v, want no sources", release, got)
		}
	}
}

// Images differ in the names of their folders, and are found by their names.
func TestImages(t *testing.T) {
	hashes := map[string]Image{}
	for _, image := range Images() {
		if other, ok := hashes[image.recipeHash()]; ok {
			t.Errorf("%s and %s have the same folder", image, other)
		}
		hashes[image.recipeHash()] = image
		if got, err := ParseImage(image.String()); err != nil || got != image {
			t.Errorf("%s: %v, %v", image, got, err)
		}
	}
	if _, err := ParseImage("trixie"); err == nil || !strings.Contains(err.Error(), "bookworm-dhclient") {
		t.Errorf("%v, want the names of the images", err)
	}
}

func TestCheckCloudInit(t *testing.T) {
	const stages = `{"v1": {"init-local": {"errors": [], "finished": 1}, "init": {"errors": [], "finished": 2}, "modules-config": {"errors": [], "finished": 3}, "modules-final": {"errors": %, "finished": 4}}}`
	fine := strings.Replace(stages, "%", "[]", 1)
	for name, test := range map[string]struct{ result, status, want string }{
		"fine":              {`{"v1": {"datasource": "DataSourceScaleway", "errors": []}}`, fine, ""},
		"error":             {`{"v1": {"datasource": "DataSourceScaleway", "errors": ["runcmd"]}}`, fine, "runcmd"},
		"error of a stage":  {`{"v1": {"datasource": "DataSourceScaleway", "errors": []}}`, strings.Replace(stages, "%", `["final"]`, 1), "final"},
		"no metadata":       {`{"v1": {"datasource": "DataSourceNone", "errors": []}}`, fine, "DataSourceNone"},
		"unfinished":        {`{"v1": {"datasource": "DataSourceScaleway", "errors": []}}`, strings.Replace(fine, `"finished": 4`, `"finished": null`, 1), "modules-final has not finished"},
		"no result":         {``, fine, "result.json"},
		"a stage is absent": {`{"v1": {"datasource": "DataSourceScaleway", "errors": []}}`, `{"v1": {}}`, "init-local"},
	} {
		t.Run(name, func(t *testing.T) {
			err := checkCloudInit([]byte(test.result), []byte(test.status))
			if (err != nil) != (test.want != "") || (err != nil && !strings.Contains(err.Error(), test.want)) {
				t.Errorf("%v, want %q", err, test.want)
			}
		})
	}
}

func TestMetadata(t *testing.T) {
	handler := Metadata{
		Machine: func() scwfake.Machine {
			return scwfake.Machine{ID: "id", Name: "egress-proxy", UserData: map[string][]byte{"squid-conf": []byte("value")}, PublicIPs: []netip.Addr{netip.MustParseAddr("203.0.113.50")}}
		},
		Gateway: netip.MustParseAddr("203.0.113.254"),
	}.Handler()
	for _, test := range []struct {
		path   string
		from   string
		status int
		body   string
	}{
		// cloud-init 25.1 asks for this first, and takes an empty answer for none.
		{"/", "203.0.113.50:40000", http.StatusOK, "conf"},
		{"/none", "203.0.113.50:40000", http.StatusNotFound, ""},
		{"/conf?format=json", "203.0.113.50:40000", http.StatusOK, `"public_ips_v4":[{"id":"id-ip-0","address":"203.0.113.50","netmask":"32","gateway":"203.0.113.254"`},
		// cloud-init fails on null.
		{"/conf?format=json", "203.0.113.50:40000", http.StatusOK, `"tags":[]`},
		{"/conf", "203.0.113.50:40000", http.StatusOK, "PUBLIC_IPS_V4_0_ADDRESS=203.0.113.50\n"},
		{"/user_data", "203.0.113.50:1023", http.StatusOK, "USER_DATA_0=squid-conf\n"},
		{"/user_data?format=json", "203.0.113.50:1023", http.StatusOK, `{"user_data":["squid-conf"]}`},
		{"/user_data/squid-conf", "203.0.113.50:1023", http.StatusOK, "value"},
		{"/user_data/squid-conf", "203.0.113.50:1024", http.StatusForbidden, "below 1024"},
		{"/user_data", "203.0.113.50:1024", http.StatusForbidden, "below 1024"},
		{"/user_data/none", "203.0.113.50:1", http.StatusNotFound, ""},
		{"/vendor_data/cloud-init", "203.0.113.50:1", http.StatusNotFound, ""},
	} {
		request := httptest.NewRequestWithContext(t.Context(), http.MethodGet, test.path, nil)
		request.RemoteAddr = test.from
		recorder := httptest.NewRecorder()
		handler.ServeHTTP(recorder, request)
		if recorder.Code != test.status || !strings.Contains(recorder.Body.String(), test.body) {
			t.Errorf("%s from %s: %d %s", test.path, test.from, recorder.Code, recorder.Body)
		}
		if got := recorder.Header().Get("Connection"); got != "close" {
			t.Errorf("%s: Connection: %q", test.path, got)
		}
	}
}

// A machine may write its own user data, from source ports below 1024 only.
func TestMetadataTakesUserData(t *testing.T) {
	written := map[string]string{}
	handler := Metadata{SetUserData: func(key string, value []byte) error {
		written[key] = string(value)
		return nil
	}}.Handler()
	for _, test := range []struct {
		from   string
		body   string
		status int
	}{
		{"203.0.113.50:1023", "first", http.StatusNoContent},
		{"203.0.113.50:1024", "second", http.StatusForbidden},
		{"203.0.113.50:1", strings.Repeat("x", maxUserData+1), http.StatusBadRequest},
	} {
		request := httptest.NewRequestWithContext(t.Context(), http.MethodPatch, "/user_data/egress-status", strings.NewReader(test.body))
		request.RemoteAddr = test.from
		recorder := httptest.NewRecorder()
		handler.ServeHTTP(recorder, request)
		if recorder.Code != test.status {
			t.Errorf("from %s: %d %s", test.from, recorder.Code, recorder.Body)
		}
	}
	if diff := cmp.Diff(map[string]string{"egress-status": "first"}, written); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

func TestCableFits(t *testing.T) {
	for _, name := range []string{"vmt", "a-machine-with-a-long-name"} {
		if got := (Config{Name: name}).cable(NIC{Name: "ens2"}); len(got) > 15 || !strings.HasSuffix(got, "-ens2") {
			t.Errorf("%s: %q", name, got)
		}
	}
}

func TestNetmask(t *testing.T) {
	for bits, want := range map[int]string{32: "255.255.255.255", 22: "255.255.252.0"} {
		if got := netmask(bits); got != want {
			t.Errorf("/%d is %s", bits, got)
		}
	}
}
