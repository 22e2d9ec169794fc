package admission

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"egress.scw/webhook/api/names"
)

// TestBudgetIsFair: large bodies of one client never take what another client
// needs for one, and do not exceed the budget.
func TestBudgetIsFair(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		budget := NewBudget(256 << 20) // bodies have 64 MiB
		const largest = 20 << 20
		first, err := budget.body(t.Context(), "192.0.2.1:1", largest)
		if err != nil {
			t.Fatal(err)
		}
		begin := time.Now()
		if _, err := budget.body(t.Context(), "192.0.2.1:2", largest); !errors.Is(err, errBusy) || time.Since(begin) != longestWait {
			t.Errorf("a second body of the client: %v after %s", err, time.Since(begin))
		}
		begin = time.Now()
		for i, client := range []string{"192.0.2.2:1", "[2001:db8::1]:1"} {
			if _, err := budget.body(t.Context(), client, largest); err != nil || time.Since(begin) > 0 {
				t.Errorf("client %d: %v after %s", i, err, time.Since(begin))
			}
		}
		if _, err := budget.body(t.Context(), "192.0.2.4:1", largest); !errors.Is(err, errBusy) {
			t.Errorf("a body above the budget: %v", err)
		}
		time.AfterFunc(time.Second, first)
		begin = time.Now()
		release, err := budget.body(t.Context(), "192.0.2.1:3", largest)
		if err != nil || time.Since(begin) != time.Second {
			t.Errorf("after the release: %v after %s", err, time.Since(begin))
		}
		release()
		if all, err := budget.body(t.Context(), "192.0.2.5:1", 1<<40); !errors.Is(err, errBusy) {
			all()
			t.Error("a body of the whole budget was admitted beside others")
		}
	})
}

// TestBudgetIsReturned: whatever the outcome of a request is, its share and its
// turn are free afterwards.
func TestBudgetIsReturned(t *testing.T) {
	t.Parallel()
	pod := func(containers string) []byte { return reviewOf(t, `{"spec":{"containers":[`+containers+`]}}`) }
	large := strings.Repeat(" ", usualBytes)
	for name, body := range map[string][]byte{
		"injected":        pod(`{"name":"web"}` + large),
		"many containers": pod(strings.TrimSuffix(strings.Repeat(`{"name":"web"},`, 900), ",")),
		"no JSON":         []byte("{" + large),
		"nested":          bytes.Repeat([]byte("["), 2*usualBytes),
		"nested, small":   bytes.Repeat([]byte("["), 2*maxDepth),
		"too large":       make([]byte, maxReviewBytes+1),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			a := newAdmissionTest(t)
			recorder := post(a.handler, body)
			t.Logf("%d %.100s", recorder.Code, recorder.Body)
			checkFree(t, a.handler.budget)
			if len(a.handler.lookups.clients) > 0 {
				t.Error("a turn for lookups is still taken")
			}
		})
	}
}

func checkFree(t *testing.T, b *Budget) {
	t.Helper()
	if !b.bodies.TryAcquire(b.bodiesSize) || !b.patches.TryAcquire(b.patchesSize) {
		t.Error("a share of the budget is still taken")
	}
	if len(b.clients.clients) > 0 {
		t.Error("a turn is still taken")
	}
}

// TestBusy: a request for which there is no share is answered so that the API
// server sends it again.
func TestBusy(t *testing.T) {
	t.Parallel()
	for name, body := range map[string]string{
		"body":  `{"metadata":{"annotations":{"fill":"` + strings.Repeat("x", usualBytes) + `"}},"spec":{"containers":[{"name":"web"}]}}`,
		"patch": `{"spec":{"containers":[` + strings.TrimSuffix(strings.Repeat(`{"name":"web"},`, 100), ",") + `]}}`,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				a := newAdmissionTest(t)
				budget := a.handler.budget
				_ = budget.bodies.Acquire(t.Context(), budget.bodiesSize)
				_ = budget.patches.Acquire(t.Context(), budget.patchesSize)
				recorder := post(a.handler, reviewOf(t, body))
				checkFailure(t, recorder, http.StatusTooManyRequests, "send this one again")
				if recorder.Header().Get("Retry-After") == "" {
					t.Error("no Retry-After")
				}
				a.checkCounted(t, outcome{decisionError, names.ReasonBusy})
				checkLogged(t, a.log, names.ReasonBusy)
				// A usual pod needs no share.
				if recorder := post(a.handler, reviewOf(t, simplePod)); recorder.Code != http.StatusOK {
					t.Errorf("a usual pod: status %d: %s", recorder.Code, recorder.Body)
				}
			})
		})
	}
}

// TestLookupsAreFair: requests for namespaces that the cache does not have are
// answered a few at a time for each client.
func TestLookupsAreFair(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		turns := newTurns(lookupsOfClient)
		for range lookupsOfClient {
			if _, err := turns.take(t.Context(), "192.0.2.1"); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := turns.take(t.Context(), "192.0.2.1"); !errors.Is(err, errBusy) {
			t.Errorf("one more of the client: %v", err)
		}
		if _, err := turns.take(t.Context(), "192.0.2.2"); err != nil {
			t.Errorf("another client: %v", err)
		}
	})
}

func TestNesting(t *testing.T) {
	t.Parallel()
	deep := strings.Repeat("[", maxDepth)
	for text, want := range map[string]bool{
		deep: true, deep + "[": false,
		strings.Repeat(`{"a":`, maxDepth+1):                false,
		strings.Repeat("[]", 2*maxDepth):                   true,
		strings.Repeat("[{}", maxDepth/2):                  true,
		`"` + strings.Repeat("[", 2*maxDepth) + `"`:        true,
		`"\"` + strings.Repeat("[", 2*maxDepth) + `"`:      true,
		`"\\"` + strings.Repeat("[", 2*maxDepth):           false,
		`"a\\\"` + strings.Repeat("{", 2*maxDepth) + `\""`: true,
	} {
		for _, size := range []int{1, 7, len(text)} {
			followed, rest := nesting{}, []byte(text)
			got := true
			for len(rest) > 0 && got {
				n := min(size, len(rest))
				got = followed.follow(rest[:n])
				rest = rest[n:]
			}
			if got != want {
				t.Errorf("%.30s… in pieces of %d: %t, want %t", text, size, got, want)
			}
		}
	}
}

// TestNestedIsNotReadToItsEnd: a body that is nested too deeply is refused as soon
// as that shows.
func TestNestedIsNotReadToItsEnd(t *testing.T) {
	t.Parallel()
	a := newAdmissionTest(t)
	body := &counted{from: strings.NewReader(strings.Repeat("[", maxReviewBytes))}
	request := httptest.NewRequestWithContext(context.Background(), http.MethodPost, names.PodHandlerPath, body)
	request.ContentLength = maxReviewBytes
	request.Header.Set("Content-Type", "application/json")
	recorder := httptest.NewRecorder()
	a.handler.ServeHTTP(recorder, request)
	checkFailure(t, recorder, http.StatusBadRequest, fmt.Sprintf("more than %d levels", maxDepth))
	if body.bytes > maxReviewBytes/2 {
		t.Errorf("%d bytes were read", body.bytes)
	}
}

type counted struct {
	from  io.Reader
	bytes int
}

func (c *counted) Read(buffer []byte) (int, error) {
	n, err := c.from.Read(buffer[:min(len(buffer), 32<<10)])
	c.bytes += n
	return n, err
}
