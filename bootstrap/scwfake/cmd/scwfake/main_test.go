package main

import (
	"bytes"
	"context"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"
)

// screen is standard error.
type screen struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (s *screen) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.text.Write(p)
}

func (s *screen) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.text.String()
}

func TestServe(t *testing.T) {
	t.Parallel()
	faults := filepath.Join(t.TempDir(), "faults.yaml")
	if err := os.WriteFile(faults, []byte("- {call: 2, kind: \"503\"}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	log, done := &screen{}, make(chan error, 1)
	go func() { done <- run(ctx, []string{"--listen", "127.0.0.1:0", "--faults", faults}, log) }()
	url := regexp.MustCompile(`listening on (http://\S+)`)
	for deadline := time.Now().Add(time.Minute); url.FindStringSubmatch(log.String()) == nil; time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("it does not listen: %s", log)
		}
	}
	for _, want := range []int{http.StatusOK, http.StatusServiceUnavailable, http.StatusOK} {
		request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url.FindStringSubmatch(log.String())[1]+"/metadata", nil)
		if err != nil {
			t.Fatal(err)
		}
		response, err := http.DefaultClient.Do(request)
		if err != nil {
			t.Fatal(err)
		}
		_ = response.Body.Close()
		if response.StatusCode != want {
			t.Errorf("status %d, want %d", response.StatusCode, want)
		}
	}
	stop()
	if err := <-done; err != nil {
		t.Errorf("after the signal: %v", err)
	}
}

func TestWrongFlags(t *testing.T) {
	t.Parallel()
	bad := filepath.Join(t.TempDir(), "faults.yaml")
	if err := os.WriteFile(bad, []byte("- {kind: explode}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, test := range map[string]struct {
		args []string
		want string
	}{
		"no such file":   {[]string{"--faults", bad + ".not"}, "no such file"},
		"unknown fault":  {[]string{"--faults", bad}, `kind "explode"`},
		"negative scale": {[]string{"--latency-scale", "-1"}, "--latency-scale"},
		"address":        {[]string{"--listen", "nonsense"}, "nonsense"},
		"argument":       {[]string{"serve"}, "serve"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			err := run(t.Context(), test.args, &screen{})
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("got %v, want %q in it", err, test.want)
			}
		})
	}
}
