package probe

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"egress.scw/webhook/api/names"
)

// patience bounds an attempt that a busy machine answers late.
const patience = time.Minute

// A proxy answers with the tenant, a listener accepts, a closed port does not.
func TestRun(t *testing.T) {
	proxy := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Host != "0.0.0.0" {
			http.Error(w, "not by the proxy: "+r.URL.String(), http.StatusBadGateway)
			return
		}
		w.Header().Set(names.HeaderTenant, "client-a")
		w.Header().Set(names.HeaderRevision, "0123456789abcdef")
		http.Error(w, strings.Repeat("x", 2*maxBody), http.StatusForbidden)
	}))
	defer proxy.Close()
	// The port of a closed listener may be that of another test's server.
	const address = "127.0.0.1:1"
	report := Run(t.Context(), Plan{Repeat: time.Millisecond, Timeout: patience, Attempts: []Attempt{
		{Name: "closed", Kind: Dial, Address: address},
		{Name: "open", Kind: Dial, Address: proxy.Listener.Addr().String(), Open: true},
		{Name: "probe", Kind: Get, URL: names.ProbeURL, Proxy: proxy.URL, Open: true},
		{Name: "DNS", Kind: Resolve, Address: address, Host: "example.com"},
		{Name: "unknown", Kind: "Sing"},
	}})
	for i, want := range []Result{
		{Name: "closed"}, {Name: "open", Succeeded: true}, {Name: "probe", Succeeded: true, Status: http.StatusForbidden}, {Name: "DNS"}, {Name: "unknown"},
	} {
		got := report.Results[i]
		if got.Name != want.Name || got.Succeeded != want.Succeeded || got.Status != want.Status || (got.Error == "") != want.Succeeded {
			t.Errorf("got %+v, want %+v", got, want)
		}
	}
	answer := report.Results[2]
	if answer.Header[names.HeaderTenant] != "client-a" || answer.Header[names.HeaderRevision] != "0123456789abcdef" || len(answer.Body) != maxBody {
		t.Errorf("got %+v", answer)
	}
}

// An attempt that should succeed is repeated until it does.
func TestOpenAttemptsAreRepeated(t *testing.T) {
	requests := 0
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		if requests++; requests < 3 {
			panic(http.ErrAbortHandler) // the client gets no answer
		}
		w.WriteHeader(http.StatusOK)
	}))
	defer server.Close()
	attempt := Attempt{Kind: Get, URL: server.URL, Open: true}
	report := Run(t.Context(), Plan{Repeat: time.Minute, Timeout: patience, Attempts: []Attempt{attempt}})
	if !report.Results[0].Succeeded || requests != 3 {
		t.Errorf("%d requests, %+v", requests, report.Results[0])
	}
	requests = 0
	attempt.Open = false
	if report = Run(t.Context(), Plan{Repeat: time.Minute, Timeout: patience, Attempts: []Attempt{attempt}}); report.Results[0].Succeeded || requests != 1 {
		t.Errorf("%d requests, %+v; want one without an answer", requests, report.Results[0])
	}
}

// The time for repetitions is that of all attempts together, and each is made once.
func TestRepetitionsEnd(t *testing.T) {
	var tries atomic.Int32
	server := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {
		tries.Add(1)
		panic(http.ErrAbortHandler)
	}))
	defer server.Close()
	attempts := make([]Attempt, 5)
	for i := range attempts {
		attempts[i] = Attempt{Kind: Get, URL: server.URL, Open: true}
	}
	report := Run(t.Context(), Plan{Repeat: pause, Timeout: patience, Attempts: attempts})
	if got := int(tries.Load()); got < len(attempts) || got > len(attempts)+1 { // the first one has the time for a second try
		t.Errorf("%d tries of %d attempts, of which each could be repeated for %s", got, len(attempts), pause)
	}
	for _, result := range report.Results {
		if result.Error == "" {
			t.Errorf("got %+v", result)
		}
	}
}

// A proxy that refuses a tunnel has answered.
func TestRefusedTunnel(t *testing.T) {
	proxy := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set(names.HeaderRevision, "0123456789abcdef")
		http.Error(w, r.Method, http.StatusForbidden)
	}))
	defer proxy.Close()
	attempt := Attempt{Kind: Get, URL: "https://example.com/", Proxy: proxy.URL}
	got := Run(t.Context(), Plan{Timeout: patience, Attempts: []Attempt{attempt}}).Results[0]
	if !got.Succeeded || !got.Refused || got.Status != http.StatusForbidden || got.Header[names.HeaderRevision] != "0123456789abcdef" {
		t.Errorf("got %+v", got)
	}
}

func TestMainPrintsTheReport(t *testing.T) {
	environment := map[string]string{PlanVariable: `{"attempts": []}`, "HTTP_PROXY": "http://172.16.28.8:3129", "PATH": "/bin"}
	var out bytes.Buffer
	if err := Main(t.Context(), &out, func(name string) string { return environment[name] }); err != nil {
		t.Fatal(err)
	}
	var report Report
	if err := json.Unmarshal(out.Bytes(), &report); err != nil {
		t.Fatal(err)
	}
	if len(report.Environment) != 1 || report.Environment["HTTP_PROXY"] != environment["HTTP_PROXY"] || strings.Count(out.String(), "\n") != 1 {
		t.Errorf("got %s", out.String())
	}
	if err := Main(t.Context(), &out, func(string) string { return "" }); err == nil || !strings.Contains(err.Error(), PlanVariable) {
		t.Errorf("without a plan: %v", err)
	}
}

// In a run that is stopped all attempts fail, which proves nothing.
func TestStoppedRunPrintsNoReport(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	var out bytes.Buffer
	plan := func(string) string {
		return `{"attempts": [{"name": "direct", "kind": "Dial", "address": "127.0.0.1:1"}]}`
	}
	if err := Main(ctx, &out, plan); !errors.Is(err, context.Canceled) || out.Len() > 0 {
		t.Errorf("%v, printed %q", err, out.String())
	}
}
