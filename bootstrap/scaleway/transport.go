package scaleway

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"time"
)

// uncertainError reports that a request may have taken effect, so that it must not
// be repeated blindly.
type uncertainError struct {
	method string
	cause  error
}

func (e *uncertainError) Error() string {
	return fmt.Sprintf("%s: no usable answer, and it may have taken effect: %v", e.method, e.cause)
}

func (e *uncertainError) Unwrap() error { return e.cause }

// transport repeats requests that failed for a transient reason. The SDK does not
// repeat requests.
//
// A request that has the same effect when it is sent twice (all methods but POST)
// is repeated until there is an answer. A POST is repeated only if it certainly had
// no effect. For other failures of a POST the error is an uncertainError, and the
// caller has to observe the resource.
type transport struct {
	base    http.RoundTripper
	timeout time.Duration // of a single attempt
	backoff backoff
	// limit bounds the time in which attempts of a request begin. 0: no bound.
	limit time.Duration
	reach reach
	// ctx ends all requests: some calls of the SDK send further requests that do
	// not carry the caller's context.
	ctx context.Context
}

// connections are those to the API, for all clients. Go's default would keep 2 of them to
// a host that has no HTTP/2, and close all others after each request: requests are sent in
// parallel, and some 20 of them to observe a stack.
var connections = func() *http.Transport {
	t := http.DefaultTransport.(*http.Transport).Clone() //nolint:forcetypeassert // as documented
	t.MaxIdleConnsPerHost = 24
	return t
}()

// RoundTrip implements http.RoundTripper.
func (t *transport) RoundTrip(request *http.Request) (*http.Response, error) {
	ctx, cancel := context.WithCancelCause(request.Context())
	defer cancel(nil)
	defer context.AfterFunc(t.ctx, func() { cancel(context.Cause(t.ctx)) })() //nolint:contextcheck // both end the request
	var body []byte
	if request.Body != nil {
		var err error
		body, err = io.ReadAll(request.Body)
		if err := errors.Join(err, request.Body.Close()); err != nil {
			return nil, err
		}
	}
	retry := t.backoff.begin()
	for {
		attempt, limit := t.reach.bounds(t.timeout, t.limit)
		response, err := t.try(ctx, attempt, request, body)
		t.reach.saw(response)
		problem := transientProblem(response, err)
		if problem == nil {
			return response, err
		}
		if ctx.Err() != nil {
			discard(response)
			return nil, context.Cause(ctx)
		}
		throttled := response != nil && response.StatusCode == http.StatusTooManyRequests
		discard(response)
		if request.Method == http.MethodPost && !throttled {
			return nil, &uncertainError{request.Method, problem}
		}
		if err := retry.check(limit, problem); err != nil {
			return nil, t.reach.givenUp(request, err)
		}
		t.reach.repeats(request, problem)
		if err := Sleep(ctx, retry.pause()); err != nil {
			return nil, err
		}
	}
}

// transientProblem returns the problem of an answer if another attempt can help.
func transientProblem(response *http.Response, err error) error {
	switch {
	case err != nil:
		return err
	case response.StatusCode == http.StatusTooManyRequests, response.StatusCode >= http.StatusInternalServerError:
		return errors.New("the API answers " + response.Status)
	default:
		return nil
	}
}

// try sends the request once, for at most this time. It reads the whole answer, so that a connection that
// breaks in the middle of an answer counts as no answer.
func (t *transport) try(ctx context.Context, most time.Duration, request *http.Request, body []byte) (*http.Response, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, most, fmt.Errorf("no answer within %s", most))
	defer cancel()
	copied := request.Clone(ctx)
	if body != nil {
		copied.Body, copied.ContentLength = io.NopCloser(bytes.NewReader(body)), int64(len(body))
	}
	response, err := t.base.RoundTrip(copied)
	if err != nil {
		return nil, orCause(ctx, err)
	}
	defer response.Body.Close()
	answer, err := io.ReadAll(io.LimitReader(response.Body, maxAnswer))
	if err != nil {
		return nil, orCause(ctx, err)
	}
	if hasNullInList(answer) {
		return nil, fmt.Errorf("%s %s: %w", request.Method, request.URL.Path, errNullInList)
	}
	response.Body, response.ContentLength = io.NopCloser(bytes.NewReader(answer)), int64(len(answer))
	return response, nil
}

// errNullInList reports an answer that would make the SDK and the readers of its
// lists fail, because the elements of the lists are pointers.
var errNullInList = errors.New("the API's answer contains a list with the element null")

// hasNullInList reports whether an answer is JSON in which a list has the element null.
// Most answers have a null only as the value of a field, which the byte before it
// tells, so that they are not decoded for this.
func hasNullInList(answer []byte) bool {
	null := []byte("null")
	for rest := answer; ; {
		before, after, found := bytes.Cut(rest, null)
		if !found {
			return false
		}
		before = bytes.TrimRight(before, " \t\r\n")
		if bytes.HasSuffix(before, []byte("[")) || bytes.HasSuffix(before, []byte(",")) {
			break
		}
		rest = after
	}
	var value any
	return json.Unmarshal(answer, &value) == nil && listHasNull(value)
}

// listHasNull reports whether a list in a JSON value has the element null.
func listHasNull(value any) bool {
	switch v := value.(type) {
	case []any:
		return slices.ContainsFunc(v, func(element any) bool { return element == nil || listHasNull(element) })
	case map[string]any:
		for _, field := range v {
			if listHasNull(field) {
				return true
			}
		}
	}
	return false
}

// maxAnswer bounds the length of an answer, in bytes. The longest answer, a list of
// server types, has some 100 kB a page.
const maxAnswer = 32 << 20

func orCause(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return err
}

func discard(response *http.Response) {
	if response != nil {
		_ = response.Body.Close()
	}
}
