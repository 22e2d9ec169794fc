package scaleway

import (
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"sync/atomic"
	"testing"

	"egress.scw/bootstrap/scwfake"
	"egress.scw/bootstrap/stack"
)

// mangler is a proxy of the fake that spoils one answer that is not an error. The
// request is carried out.
type mangler struct {
	api      http.Handler
	position int64
	spoil    func(w http.ResponseWriter, body []byte)
	requests atomic.Int64
	spoilt   *atomic.Int64
}

func (m *mangler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if m.requests.Add(1) != m.position {
		m.api.ServeHTTP(w, r)
		return
	}
	recorder := httptest.NewRecorder()
	m.api.ServeHTTP(recorder, r)
	if recorder.Code >= http.StatusMultipleChoices || recorder.Body.Len() == 0 {
		maps.Copy(w.Header(), recorder.Header())
		w.WriteHeader(recorder.Code)
		_, _ = w.Write(recorder.Body.Bytes())
		return
	}
	m.spoilt.Add(1)
	m.spoil(w, recorder.Body.Bytes())
}

// as returns a function that answers with a content type and a text instead.
func as(contentType, text string) func(http.ResponseWriter, []byte) {
	return func(w http.ResponseWriter, _ []byte) {
		w.Header().Set("Content-Type", contentType)
		_, _ = w.Write([]byte(text))
	}
}

// list matches a list in JSON that does not contain lists.
var list = regexp.MustCompile(`\[[^\[\]]*\]`)

// spoiling is a way to spoil answers, at every so many requests.
type spoiling struct {
	name  string
	every int
	// ways take turns.
	ways []func(http.ResponseWriter, []byte)
}

func spoilings() []spoiling {
	return []spoiling{
		{"{}", 1, []func(http.ResponseWriter, []byte){as("application/json", "{}")}},
		// The SDK can decode neither.
		{"a page, half of it", 1, []func(http.ResponseWriter, []byte){
			as("text/html", "<html><body>Please log in to the Internet.</body></html>"),
			func(w http.ResponseWriter, body []byte) {
				w.Header().Set("Content-Type", "application/json")
				_, _ = w.Write(body[:len(body)/2])
			},
		}},
		// That is a lost reply to the client, and TestEveryFaultAtEachRequest has those.
		{"lists of null", 4, []func(http.ResponseWriter, []byte){func(w http.ResponseWriter, body []byte) {
			w.Header().Set("Content-Type", "application/json")
			_, _ = w.Write(list.ReplaceAll(body, []byte("[null]")))
		}}},
	}
}

// At each request of an apply and of a destroy, the answer is malformed. The run may
// fail, but without a crash, and the next run continues.
func TestMalformedAnswerAtEachRequest(t *testing.T) {
	t.Parallel()
	spec := newSpec(t)
	want := reference(t, spec)
	for _, c := range spoilings() {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			var spoilt atomic.Int64
			// New sends request 1, and does not use the answer.
			eachPosition(t, 2, func(t *testing.T, position int) int {
				t.Helper()
				if !spoiltAt(t, spec, position, c.ways[position%len(c.ways)], want, &spoilt) {
					return 0
				}
				return position + c.every
			})
			if spoilt.Load() < fewestRequests {
				t.Errorf("only %d answers were spoilt", spoilt.Load())
			}
		})
	}
}

// spoiltAt runs apply and destroy, each with a malformed answer, which it counts. It returns
// false if the apply had fewer requests.
func spoiltAt(t *testing.T, spec stack.Spec, position int, spoil func(http.ResponseWriter, []byte), want []string, spoilt *atomic.Int64) bool {
	t.Helper()
	f := serve(t, scwfake.Options{})
	cloud := f.cloud(t.Context(), t, spec)
	between := func() (*Cloud, *mangler) {
		m := &mangler{api: f.API, position: int64(position), spoil: spoil, spoilt: spoilt}
		server := httptest.NewServer(m)
		t.Cleanup(server.Close)
		behind := &fake{f.API, server}
		return behind.cloud(t.Context(), t, spec), m
	}
	mangled, m := between()
	_, _ = apply(t.Context(), mangled, spec)
	reached := m.requests.Load() >= m.position
	requireConverged(t, f, cloud, spec, want, fmt.Sprintf("a malformed answer to request %d", position))

	mangled, _ = between()
	_ = destroy(t.Context(), mangled, spec)
	if err := destroy(t.Context(), cloud, spec); err != nil {
		t.Errorf("destroy after a malformed answer to request %d: %v", position, err)
	}
	if left := f.Inventory(); len(left) > 0 {
		t.Errorf("destroy leaves after a malformed answer to request %d: %v", position, left)
	}
	return reached
}

// If a list in an answer has the element null in each attempt, the error names the
// request.
func TestListsOfNull(t *testing.T) {
	t.Parallel()
	for _, body := range []string{
		`{"total_count": 1, "vpcs": [null]}`,
		`{"total_count": 2, "vpcs": [{"id": "a", "tags": ["b"]}, null]}`,
		`{"total_count": 1, "vpcs": [{"id": "a", "tags": [null]}]}`,
	} {
		cloud := at(t.Context(), t, impatient(), answer(http.StatusOK, body))
		if found, err := cloud.findVPCs(t.Context()); err == nil || !strings.Contains(err.Error(), "/vpcs: "+errNullInList.Error()) {
			t.Errorf("%s: %v, %v", body, found, err)
		}
	}
	cloud := at(t.Context(), t, impatient(), answer(http.StatusOK, `{"total_count": 0, "vpcs": null}`))
	if found, err := cloud.findVPCs(t.Context()); err != nil || len(found) > 0 {
		t.Errorf("no list at all: %v, %v", found, err)
	}
}

// A server type that is null does not exist.
func TestServerTypeOfNull(t *testing.T) {
	t.Parallel()
	cloud := at(t.Context(), t, impatient(), answer(http.StatusOK, `{"total_count": 2, "servers": {"PLAY2-NANO": null, "PLAY2-MICRO": {}}}`))
	err := newPlanCheck(cloud, stack.Spec{}, &stack.Plan{}).server(t.Context(), &stack.Server{Zone: cloud.zone.String(), Type: "PLAY2-NANO", Image: "debian_bookworm"})
	if err == nil || !strings.Contains(err.Error(), "there is no PLAY2-NANO in "+cloud.zone.String()+"; there are PLAY2-MICRO") {
		t.Errorf("%v", err)
	}
}
