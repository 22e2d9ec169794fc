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

// uncertainError is what became of a request that may have taken effect: it must
// not be repeated blindly.
type uncertainError struct {
	method string
	cause  error
}

func (e *uncertainError) Error() string {
	return fmt.Sprintf("%s: no usable answer, and it may have taken effect: %v", e.method, e.cause)
}

func (e *uncertainError) Unwrap() error { return e.cause }

// transport repeats requests that failed for a reason that passes. The SDK
// repeats nothing.
//
// A request that changes nothing when it is sent twice (all but POST) is
// repeated until it is answered. A POST is repeated only when it surely had no
// effect; of others, uncertainError tells, and whoever sent it has to look.
type transport struct {
	base    http.RoundTripper
	timeout time.Duration // of a single try
	backoff backoff
	// ctx ends all requests: some calls of the SDK make further ones that do
	// not carry the caller's.
	ctx context.Context
}

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
		response, err := t.try(ctx, request, body)
		problem := passing(response, err)
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
		if err := retry.wait(ctx, problem); err != nil {
			return nil, err
		}
	}
}

// passing returns what is wrong with an answer if it is worth asking again.
func passing(response *http.Response, err error) error {
	switch {
	case err != nil:
		return err
	case response.StatusCode == http.StatusTooManyRequests, response.StatusCode >= http.StatusInternalServerError:
		return errors.New("the API answers " + response.Status)
	default:
		return nil
	}
}

// try sends the request once. The whole answer is read, so that a connection
// that breaks in its middle counts as no answer.
func (t *transport) try(ctx context.Context, request *http.Request, body []byte) (*http.Response, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, t.timeout, fmt.Errorf("no answer within %s", t.timeout))
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
	var value any
	if json.Unmarshal(answer, &value) == nil && hasGap(value) {
		return nil, errGap
	}
	response.Body, response.ContentLength = io.NopCloser(bytes.NewReader(answer)), int64(len(answer))
	return response, nil
}

// errGap is an answer that the SDK, and whoever reads its lists, would stumble
// over: their elements are pointers.
var errGap = errors.New("the API's answer has a list with null in it")

// hasGap says whether a list in a JSON value has null for an element.
func hasGap(value any) bool {
	switch v := value.(type) {
	case []any:
		return slices.ContainsFunc(v, func(element any) bool { return element == nil || hasGap(element) })
	case map[string]any:
		for _, field := range v {
			if hasGap(field) {
				return true
			}
		}
	}
	return false
}

// maxAnswer bounds what is read of an answer, in bytes. The longest, a list of
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
