package scaleway

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/scaleway/scaleway-sdk-go/api/vpc/v2"
	"github.com/scaleway/scaleway-sdk-go/scw"

	"egress.scw/bootstrap/scwfake"
)

// The actions of a server on a request.
const (
	succeed   = "200"
	refuse    = "400"
	throttle  = "429"
	broken    = "500"
	away      = "503"
	cutHeader = "no answer"
	cutBody   = "half an answer"
	dawdle    = "too late"
)

const wholeAnswer = `{"id": "whole"}`

// script is a server that performs one action after the other. The last one is repeated.
type script struct {
	steps []string

	mutex  sync.Mutex
	bodies []string
	// hold ends the requests without an answer.
	hold chan struct{}
}

func (s *script) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	s.mutex.Lock()
	step := s.steps[min(len(s.bodies), len(s.steps)-1)]
	s.bodies = append(s.bodies, string(body))
	s.mutex.Unlock()
	switch step {
	case succeed:
		_, _ = io.WriteString(w, wholeAnswer)
	case refuse:
		w.WriteHeader(http.StatusBadRequest)
	case throttle:
		w.WriteHeader(http.StatusTooManyRequests)
	case broken:
		w.WriteHeader(http.StatusInternalServerError)
	case away:
		w.WriteHeader(http.StatusServiceUnavailable)
	case cutHeader:
		panic(http.ErrAbortHandler)
	case cutBody:
		w.Header().Set("Content-Length", fmt.Sprint(len(wholeAnswer)))
		_, _ = io.WriteString(w, wholeAnswer[:5])
		_ = http.NewResponseController(w).Flush()
		panic(http.ErrAbortHandler)
	case dawdle:
		select {
		case <-r.Context().Done():
		case <-s.hold:
		}
	}
}

func (s *script) requests() []string {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	return append([]string{}, s.bodies...)
}

// serve serves the script until the test ends.
func (s *script) serve(t *testing.T) string {
	t.Helper()
	s.hold = make(chan struct{})
	server := httptest.NewServer(s)
	t.Cleanup(func() {
		close(s.hold)
		server.CloseClientConnections()
		server.Close()
	})
	return server.URL
}

// counted is a transport that counts the bodies that are not closed.
type counted struct {
	base http.RoundTripper
	open atomic.Int32
}

type countedBody struct {
	io.ReadCloser
	counted *counted
	once    sync.Once
}

func (b *countedBody) Close() error {
	b.once.Do(func() { b.counted.open.Add(-1) })
	return b.ReadCloser.Close()
}

func (c *counted) RoundTrip(r *http.Request) (*http.Response, error) {
	response, err := c.base.RoundTrip(r)
	if err == nil {
		c.open.Add(1)
		response.Body = &countedBody{ReadCloser: response.Body, counted: c}
	}
	return response, err
}

// newTransport returns a transport with new connections: on a connection that was used
// before, Go's client repeats some requests by itself.
func newTransport(t *testing.T, ctx context.Context, tries int) (*transport, *counted) { //nolint:revive // the test comes first
	t.Helper()
	base := &counted{base: &http.Transport{DisableKeepAlives: true}}
	return &transport{
		base: base, timeout: time.Minute, ctx: ctx,
		backoff: backoff{first: time.Millisecond, longest: 4 * time.Millisecond, tries: tries},
	}, base
}

func TestTransport(t *testing.T) {
	t.Parallel()
	const tries = 4
	for _, c := range []struct {
		name    string
		methods string
		steps   []string
		// requests is the number of sent requests.
		requests int
		// status is the status of the answer. 0: there is an error.
		status    int
		uncertain bool
		err       string
	}{
		{"all is well", "GET POST PUT PATCH DELETE", []string{succeed}, 1, 200, false, ""},
		{"a refusal is an answer", "GET POST PUT PATCH DELETE", []string{refuse, succeed}, 1, 400, false, ""},
		{"a throttled request had no effect", "GET POST PUT PATCH DELETE", []string{throttle, throttle, succeed}, 3, 200, false, ""},
		{"always throttled", "GET POST PUT PATCH DELETE", []string{throttle}, tries, 0, false, "given up after 4 tries in 0s: the API answers 429 Too Many Requests"},
		{"a request that can be sent twice is repeated", "GET PUT PATCH DELETE", []string{broken, away, cutHeader, succeed}, 4, 200, false, ""},
		{"half an answer is not an answer", "GET PUT PATCH DELETE", []string{cutBody, succeed}, 2, 200, false, ""},
		{"always broken", "GET PUT PATCH DELETE", []string{broken}, tries, 0, false, "given up after 4 tries in 0s: the API answers 500 Internal Server Error"},
		{"always unreachable", "GET PUT PATCH DELETE", []string{cutHeader}, tries, 0, false, "given up after 4 tries in 0s: EOF"},
		{"a POST may have had an effect", "POST", []string{broken, succeed}, 1, 0, true, "POST: no usable answer, and it may have taken effect: the API answers 500 Internal Server Error"},
		{"a POST may have had an effect, 503", "POST", []string{away, succeed}, 1, 0, true, "503 Service Unavailable"},
		{"a POST without an answer", "POST", []string{cutHeader, succeed}, 1, 0, true, "EOF"},
		{"a POST with half an answer", "POST", []string{cutBody, succeed}, 1, 0, true, "unexpected EOF"},
		{"a POST, first throttled", "POST", []string{throttle, broken, succeed}, 2, 0, true, "500"},
	} {
		for method := range strings.FieldsSeq(c.methods) {
			t.Run(c.name+" "+method, func(t *testing.T) {
				t.Parallel()
				server := &script{steps: c.steps}
				transport, base := newTransport(t, t.Context(), tries)
				body := strings.Repeat("a body of more than one packet ", 4000)
				request, err := http.NewRequestWithContext(t.Context(), method, server.serve(t), io.NopCloser(strings.NewReader(body)))
				if err != nil {
					t.Fatal(err)
				}
				response, err := transport.RoundTrip(request)
				requireAnswer(t, response, err, c.status, c.err)
				if isUncertain(err) != c.uncertain {
					t.Errorf("uncertain: %t, for %v", isUncertain(err), err)
				}
				got := server.requests()
				if len(got) != c.requests {
					t.Errorf("%d requests, want %d", len(got), c.requests)
				}
				for i, sent := range got {
					if sent != body {
						t.Errorf("request %d has %d bytes of %d", i, len(sent), len(body))
					}
				}
				if n := base.open.Load(); n != 0 {
					t.Errorf("%d bodies are left open", n)
				}
			})
		}
	}
}

// timeless returns the message of an error without the duration of its attempts,
// which depends on how busy the machine is.
func timeless(err error) string {
	return regexp.MustCompile(`tries in \d+(m\d+)?s`).ReplaceAllString(err.Error(), "tries in 0s")
}

func requireAnswer(t *testing.T, response *http.Response, err error, status int, want string) {
	t.Helper()
	if status == 0 {
		if err == nil || !strings.Contains(timeless(err), want) || response != nil {
			t.Errorf("got %v and the error %v, want %q", response, err, want)
		}
		return
	}
	if err != nil || response.StatusCode != status {
		t.Fatalf("got %v and the error %v, want %d", response, err, status)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if status == http.StatusOK && string(body) != wholeAnswer {
		t.Errorf("the answer is %q (%v)", body, err)
	}
	if response.ContentLength != int64(len(body)) {
		t.Errorf("the answer's ContentLength is %d, its length is %d", response.ContentLength, len(body))
	}
}

// An attempt that takes too long counts as one without an answer: it is reported, and
// repeated like others.
func TestTimeoutOfAnAttempt(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		method, want string
		requests     int
	}{
		{http.MethodGet, "", 2},
		{http.MethodPost, "POST: no usable answer, and it may have taken effect: no answer within 10s", 1},
	} {
		t.Run(c.method, func(t *testing.T) {
			t.Parallel()
			server := &script{steps: []string{dawdle, succeed}}
			transport, _ := newTransport(t, t.Context(), 3)
			transport.timeout = 10 * time.Second // a request that is answered is so within it, on a busy machine too
			request, err := http.NewRequestWithContext(t.Context(), c.method, server.serve(t), http.NoBody)
			if err != nil {
				t.Fatal(err)
			}
			response, err := transport.RoundTrip(request)
			if c.want == "" {
				requireAnswer(t, response, err, http.StatusOK, "")
			} else {
				requireAnswer(t, response, err, 0, c.want)
			}
			if n := len(server.requests()); n != c.requests {
				t.Errorf("%d requests, want %d", n, c.requests)
			}
		})
	}
}

// errEnd is the cause of the end of a context.
var errEnd = errors.New("ended by the test")

// soon is a bound for "at once" that also holds on a busy machine: the waits of these
// tests take minutes if they are not cancelled.
const soon = 20 * time.Second

// The end of a context aborts a request and a wait, and its cause is the error. This
// holds for the context of the request and for the context of the Cloud.
func TestCancelledContext(t *testing.T) {
	t.Parallel()
	for _, whose := range []string{"request", "cloud"} {
		for _, step := range []string{dawdle, throttle} {
			for _, method := range []string{http.MethodGet, http.MethodPost} {
				t.Run(whose+" "+step+" "+method, func(t *testing.T) {
					t.Parallel()
					ctx, end := context.WithCancelCause(t.Context())
					mine, others := ctx, t.Context()
					if whose == "cloud" {
						mine, others = others, mine
					}
					server := &script{steps: []string{step}}
					transport, _ := newTransport(t, others, 1000)
					transport.timeout = time.Hour
					transport.backoff.first, transport.backoff.longest = time.Hour, time.Hour
					request, err := http.NewRequestWithContext(mine, method, server.serve(t), http.NoBody)
					if err != nil {
						t.Fatal(err)
					}
					begin := time.Now()
					time.AfterFunc(20*time.Millisecond, func() { end(errEnd) })
					response, err := transport.RoundTrip(request)
					discard(response)
					if response != nil || !errors.Is(err, errEnd) || isUncertain(err) {
						t.Errorf("got %v, %v", response, err)
					}
					if took := time.Since(begin); took > soon {
						t.Errorf("it took %s to end", took)
					}
				})
			}
		}
	}
}

// The SDK's own further requests do not carry the context of the call. They end with
// the context of New.
func TestCancelledContextOfNew(t *testing.T) {
	t.Parallel()
	ctx, end := context.WithCancelCause(t.Context())
	options := impatient()
	options.RequestTimeout = time.Hour
	hold := make(chan struct{})
	cloud := at(ctx, t, options, func(http.ResponseWriter, *http.Request) { <-hold })
	t.Cleanup(func() { close(hold) })
	begin := time.Now()
	time.AfterFunc(20*time.Millisecond, func() { end(errEnd) })
	_, err := cloud.vpc.ListVPCs(&vpc.ListVPCsRequest{Region: cloud.region}, scw.WithContext(context.Background()))
	if !errors.Is(err, errEnd) {
		t.Errorf("got %v", err)
	}
	if took := time.Since(begin); took > soon {
		t.Errorf("it took %s to end", took)
	}
}

// New ends with its context, and reports an address that does not work.
func TestNewSendsARequest(t *testing.T) {
	t.Parallel()
	url := "http://127.0.0.1:1" // the port of a closed server may be that of another test's
	access, secret := "SCWXXXXXXXXXXXXXXXXX", "33333333-3333-4333-8333-333333333333"
	credentials := Credentials{scwfake.DefaultProjectID, &scw.Profile{AccessKey: &access, SecretKey: &secret, APIURL: &url}}
	_, err := New(t.Context(), credentials, newSpec(t), impatient())
	if err == nil || !strings.HasPrefix(err.Error(), "the Scaleway API ("+url+") does not answer: given up after 12 tries") || !strings.Contains(err.Error(), "connection refused: check the network") {
		t.Errorf("no server: %v", err)
	}
	ctx, end := context.WithCancelCause(t.Context())
	end(errEnd)
	if _, err := New(ctx, credentials, newSpec(t), impatient()); !errors.Is(err, errEnd) {
		t.Errorf("ended: %v", err)
	}
}

// A body that cannot be read is not sent partially.
func TestUnreadableBody(t *testing.T) {
	t.Parallel()
	server := &script{steps: []string{succeed}}
	transport, _ := newTransport(t, t.Context(), 3)
	body := io.NopCloser(io.MultiReader(bytes.NewReader([]byte("half")), failingReader{}))
	request, err := http.NewRequestWithContext(t.Context(), http.MethodPut, server.serve(t), body)
	if err != nil {
		t.Fatal(err)
	}
	response, err := transport.RoundTrip(request)
	discard(response)
	if response != nil || !errors.Is(err, errEnd) || len(server.requests()) != 0 {
		t.Errorf("got %v, %v and %d requests", response, err, len(server.requests()))
	}
}

type failingReader struct{}

func (failingReader) Read([]byte) (int, error) { return 0, errEnd }

// Pauses double up to the longest one. Each is shortened by up to a half at random, and
// their number is bounded.
func TestBackoff(t *testing.T) {
	t.Parallel()
	const first, longest, tries, rounds = 4 * time.Millisecond, 16 * time.Millisecond, 6, 20
	wants := []time.Duration{first, 2 * first, 4 * first, longest, longest}
	for range rounds {
		t.Run("", func(t *testing.T) {
			t.Parallel()
			retry := backoff{first, longest, tries}.begin()
			for i, want := range wants {
				begin := time.Now()
				if err := retry.wait(t.Context(), errEnd); err != nil {
					t.Fatalf("wait %d: %v", i, err)
				}
				if took := time.Since(begin); took < want/2 || took > soon {
					t.Errorf("wait %d took %s, want %s to %s", i, took, want/2, want)
				}
			}
			err := retry.wait(t.Context(), errEnd)
			if !errors.Is(err, errEnd) || !strings.Contains(timeless(err), "given up after 6 tries in 0s: ") {
				t.Errorf("after all tries: %v", err)
			}
		})
	}
}

// The waits differ, so that two runs that failed together do not try again together.
func TestJitter(t *testing.T) {
	t.Parallel()
	// With a context that has ended, even a long wait ends at once.
	ended, end := context.WithCancelCause(t.Context())
	end(errEnd)
	pauses := map[time.Duration]bool{}
	for range 50 {
		b := backoff{time.Hour, time.Hour, 3}
		retry := b.begin()
		pause := retry.pause()
		if pause < time.Hour/2 || pause > time.Hour {
			t.Errorf("a pause of %s is not between a half and all of an hour", pause)
		}
		pauses[pause] = true
		if err := retry.wait(ended, errors.New("other")); !errors.Is(err, errEnd) {
			t.Errorf("a wait that was ended: %v", err)
		}
	}
	if len(pauses) < 10 {
		t.Errorf("only %d different pauses of 50", len(pauses))
	}
}

func TestDefaultOptions(t *testing.T) {
	t.Parallel()
	want := Options{
		RequestTimeout: 30 * time.Second, RetryFirst: 500 * time.Millisecond, RetryLongest: 15 * time.Second, Tries: 12,
		PollFirst: 500 * time.Millisecond, PollLongest: 5 * time.Second, Settle: 30 * time.Second,
		RetryTimeout: 2 * time.Minute, ReachTimeout: 30 * time.Second,
	}
	if diff := cmp.Diff(want, Options{}.withDefaults()); diff != "" {
		t.Errorf("defaults: -want +got\n%s", diff)
	}
	own := Options{"me", 1, 2, 3, 4, 5, 6, 7, 8, 9, nil}
	if diff := cmp.Diff(own, own.withDefaults()); diff != "" {
		t.Errorf("an option that is set changes: -want +got\n%s", diff)
	}
}

// A redirection to another host, by a proxy in between for example, is an error: that host
// does not get the secret key.
func TestRedirectionsAreNotFollowed(t *testing.T) {
	t.Parallel()
	var asked atomic.Int32
	other := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { asked.Add(1) }))
	t.Cleanup(other.Close)
	api := httptest.NewServer(http.RedirectHandler(other.URL, http.StatusTemporaryRedirect))
	t.Cleanup(api.Close)
	cloud := (&fake{server: api}).cloud(t.Context(), t, newSpec(t))
	_, err := cloud.vpc.ListVPCs(&vpc.ListVPCsRequest{Region: cloud.region}, scw.WithContext(t.Context()))
	if err == nil || !strings.Contains(err.Error(), "307") || asked.Load() > 0 {
		t.Errorf("%v; the other host got %d requests", err, asked.Load())
	}
}

// A null in a list is found wherever it is. Most answers have a null only elsewhere.
func TestHasNullInList(t *testing.T) {
	t.Parallel()
	for answer, want := range map[string]bool{
		`{"ips": [null]}`: true,
		`{"ips": [{"id": "a"},` + "\n\t" + `null]}`:    true,
		`{"ip": null, "tags": ["null", null], "a": 1}`: true,
		`[[1], [null]]`: true,
		`{"ip": null, "ips": [{"reverse": null}]}`:    false,
		`{"ips": ["[null", ",null"], "gateway":null}`: false,
		`{"ips": null}`: false,
		`[null`:         false, // the SDK reports it
		``:              false,
	} {
		if got := hasNullInList([]byte(answer)); got != want {
			t.Errorf("%s: %v", answer, got)
		}
	}
}

// Requests that are sent in parallel leave connections for those that come next.
func TestConnectionsAreKept(t *testing.T) {
	t.Parallel()
	api := scwfake.New(scwfake.Options{})
	f := &fake{api, httptest.NewUnstartedServer(api)}
	var opened atomic.Int64
	f.server.Config.ConnState = func(_ net.Conn, state http.ConnState) {
		if state == http.StateNew {
			opened.Add(1)
		}
	}
	f.server.Start()
	t.Cleanup(f.server.Close)
	spec := newSpec(t)
	cloud := f.cloud(t.Context(), t, spec)
	applied(t, cloud, spec)
	for range 5 {
		requireNothingToDo(t, cloud, spec)
	}
	if got, requests := int(opened.Load()), f.Requests(); got > requests/4 {
		t.Errorf("%d connections for %d requests", got, requests)
	} else {
		t.Logf("%d connections for %d requests", got, requests)
	}
}
