package scaleway

import (
	"fmt"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/scaleway/scaleway-sdk-go/scw"
)

// reach is about an API that has not answered yet: nothing is known about the network in
// between, so that waiting for it is short, and reported.
type reach struct {
	// timeout bounds the time in which attempts begin, and a third of it each attempt. 0:
	// they are bounded like those of an API that has answered.
	timeout time.Duration
	// report is called for each attempt that failed and is repeated. It may be nil.
	report   func(string)
	answered atomic.Bool
}

// saw records the result of an attempt.
func (r *reach) saw(response *http.Response) {
	if response != nil {
		r.answered.Store(true)
	}
}

// bounds returns the bounds for one attempt, and for all attempts of a request: the given
// ones, or those of an API that has not answered.
func (r *reach) bounds(attempt, all time.Duration) (ofAttempt, ofAll time.Duration) {
	if r.timeout == 0 || r.answered.Load() {
		return attempt, all
	}
	const attempts = 3 // at least, also where no packet is answered
	return min(attempt, r.timeout/attempts), r.timeout
}

// repeats reports an attempt that failed and is repeated.
func (r *reach) repeats(request *http.Request, problem error) {
	if r.report != nil && !r.answered.Load() {
		r.report(fmt.Sprintf("the Scaleway API (%s) does not answer yet: %v", addressOf(request), problem))
	}
}

// givenUp explains the error of a request that is not repeated any more.
func (r *reach) givenUp(request *http.Request, err error) error {
	if r.answered.Load() {
		return err
	}
	return &unreachableError{addressOf(request), err}
}

// unreachableError reports an API that has never answered.
type unreachableError struct {
	address string
	cause   error
}

func (e *unreachableError) Error() string {
	return fmt.Sprintf("the Scaleway API (%s) does not answer: %v: check the network of this machine, and the variables HTTPS_PROXY and %s",
		e.address, e.cause, scw.ScwAPIURLEnv)
}

func (e *unreachableError) Unwrap() error { return e.cause }

// addressOf returns the URL of the API, without a password.
func addressOf(request *http.Request) string { return request.URL.Scheme + "://" + request.URL.Host }
