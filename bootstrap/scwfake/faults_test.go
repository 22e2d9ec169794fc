package scwfake_test

import (
	"context"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/scaleway/scaleway-sdk-go/api/vpc/v2"
	"github.com/scaleway/scaleway-sdk-go/api/vpcgw/v2"
	"github.com/scaleway/scaleway-sdk-go/scw"

	"egress.scw/bootstrap/scwfake"
)

// TestFaults applies each kind of fault to the creation of a VPC. A client cannot know
// whether the VPC exists afterwards.
func TestFaults(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		kind      scwfake.FaultKind
		err       string
		committed int
	}{
		"429":                {scwfake.FaultTooManyRequests, "ResponseError 429", 0},
		"500":                {scwfake.FaultInternal, "ResponseError 500", 0},
		"503":                {scwfake.FaultUnavailable, "ResponseError 503", 0},
		"reply lost":         {scwfake.FaultReplyLost, "*errors.errorString", 1},
		"timeout":            {scwfake.FaultTimeout, "context.deadlineExceededError", 0},
		"reset":              {scwfake.FaultReset, "syscall.Errno", 0},
		"quota":              {scwfake.FaultQuota, "QuotasExceededError", 0},
		"out of stock":       {scwfake.FaultOutOfStock, "OutOfStockError", 0},
		"permissions denied": {scwfake.FaultPermissionsDenied, "PermissionsDeniedError", 0},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := newCloud(t, scwfake.Options{})
			c.fake.SetFaults([]scwfake.Fault{{Method: "POST", Path: "/vpc/v2/", Kind: test.kind}})
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			if test.kind == scwfake.FaultTimeout {
				ctx, cancel = context.WithTimeout(t.Context(), 10*time.Second) // the request arrives before, on a busy machine too
			}
			defer cancel()
			_, err := c.vpc.CreateVPC(&vpc.CreateVPCRequest{Name: "v"}, scw.WithContext(ctx))
			if got := errorType(err); got != test.err {
				t.Errorf("got %s (%v), want %s", got, err, test.err)
			}
			if got := len(c.fake.Inventory()); got != test.committed {
				t.Errorf("%d VPCs were made, want %d", got, test.committed)
			}
			if got := c.fake.Applied(); got != 1 {
				t.Errorf("%d faults applied, want 1", got)
			}
			must(c.vpc.CreateVPC(&vpc.CreateVPCRequest{Name: "v"}))(t)
		})
	}
}

// TestFaultPositions tests which requests a fault concerns.
func TestFaultPositions(t *testing.T) {
	t.Parallel()
	const unavailable = scwfake.FaultInternal
	for name, test := range map[string]struct {
		faults  []scwfake.Fault
		want    string
		applied int
	}{
		"the first":             {[]scwfake.Fault{{Kind: unavailable}}, "x.....", 1},
		"the third":             {[]scwfake.Fault{{Call: 3, Kind: unavailable}}, "..x...", 1},
		"two from the third on": {[]scwfake.Fault{{Call: 3, Count: 2, Kind: unavailable}}, "..xx..", 2},
		"the second POST":       {[]scwfake.Fault{{Call: 2, Method: "POST", Kind: unavailable}}, "...x..", 1},
		"path":                  {[]scwfake.Fault{{Path: "/vpc-gw/", Count: 9, Kind: unavailable}}, "..x..x", 2},
		"several":               {[]scwfake.Fault{{Call: 1, Kind: unavailable}, {Call: 5, Kind: unavailable}}, "x...x.", 2},
		"beyond":                {[]scwfake.Fault{{Call: 7, Kind: unavailable}}, "......", 0},
		"quota":                 {[]scwfake.Fault{{Call: 1, Kind: scwfake.FaultQuota}}, "x.....", 1},
		"the next creation":     {[]scwfake.Fault{{Call: 2, Kind: scwfake.FaultQuota}}, "...x..", 1},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := newCloud(t, scwfake.Options{})
			c.fake.ResetCount()
			c.fake.SetFaults(test.faults)
			create := func() error {
				_, err := c.vpc.CreateVPC(&vpc.CreateVPCRequest{Name: "v"})
				return err
			}
			list := func() error {
				_, err := c.vpc.ListVPCs(&vpc.ListVPCsRequest{})
				return err
			}
			gateways := func() error {
				_, err := c.gateway.ListGateways(&vpcgw.ListGatewaysRequest{})
				return err
			}
			var got strings.Builder
			for _, do := range []func() error{create, list, gateways, create, list, gateways} {
				if do() != nil {
					got.WriteString("x")
				} else {
					got.WriteString(".")
				}
			}
			if got.String() != test.want || c.fake.Applied() != test.applied || c.fake.Requests() != 6 {
				t.Errorf("got %s, %d applied of %d requests; want %s, %d of 6",
					got.String(), c.fake.Applied(), c.fake.Requests(), test.want, test.applied)
			}
		})
	}
}

// TestTooManyRequests inspects the answer itself: it is empty.
func TestTooManyRequests(t *testing.T) {
	t.Parallel()
	c := newCloud(t, scwfake.Options{})
	c.fake.SetFaults([]scwfake.Fault{{Kind: scwfake.FaultTooManyRequests}})
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, c.url+"/vpc/v2/regions/fr-par/vpcs", nil)
	noError(t, err)
	response, err := http.DefaultClient.Do(request)
	noError(t, err)
	defer response.Body.Close()
	if response.ContentLength != 0 || response.Header.Get("Content-Type") != "" || response.Header.Get("Retry-After") != "" {
		t.Errorf("%d bytes, headers %v", response.ContentLength, response.Header)
	}
}

func TestParseFaults(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		text string
		want []scwfake.Fault
		err  string
	}{
		"yaml": {
			"- {call: 3, kind: \"429\"}\n- {method: POST, path: /k8s/, kind: reply-lost, count: 2}\n",
			[]scwfake.Fault{{Call: 3, Kind: "429"}, {Method: "POST", Path: "/k8s/", Kind: "reply-lost", Count: 2}},
			"",
		},
		"json":          {`[{"kind":"reset"}]`, []scwfake.Fault{{Kind: "reset"}}, ""},
		"unknown kind":  {"- kind: explode", nil, `faults[0]: kind "explode"`},
		"unknown field": {"- {kind: reset, when: now}", nil, "unknown field"},
		"negative":      {"- {kind: reset, call: -1}", nil, "faults[0]: call and count"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, err := scwfake.ParseFaults([]byte(test.text))
			if test.err != "" {
				if err == nil || !strings.Contains(err.Error(), test.err) {
					t.Errorf("got the error %v, want %q", err, test.err)
				}
				return
			}
			noError(t, err)
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

// TestNoMention keeps private data of the recordings out of testdata.
func TestNoMention(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob(filepath.Join(recordingsFolder, "*"))
	noError(t, err)
	for _, file := range files {
		text, err := os.ReadFile(file)
		noError(t, err)
		for _, word := range []string{"cassette", "https://api.scaleway.com", "Bearer"} {
			if strings.Contains(string(text), word) {
				t.Errorf("%s has %q", file, word)
			}
		}
	}
}
