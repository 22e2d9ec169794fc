package main

import (
	"context"
	"crypto/tls"
	"errors"
	"net/http"
	"time"
)

// retryDelays are the pauses before the second and the third request of a check. With
// attemptTimeout they stay within checkTimeout.
func retryDelays() []time.Duration { return []time.Duration{time.Second, 2 * time.Second} }

// attempt is a request of a check without success, after which another one follows.
type attempt struct {
	Number    int    `json:"attempt"` // from 1
	Of        int    `json:"of"`      // the largest number of requests
	Summary   string `json:"summary"`
	Error     string `json:"error,omitempty"`
	RetryInMS int64  `json:"retryInMs"`
}

// retryFunc is called before a pause and the next request. It returns false to
// prevent both.
type retryFunc func(attempt) bool

// ask sends p, again after a pause while the failure may pass by itself, and returns
// the last result.
func (c *checker) ask(ctx context.Context, p probe, retry retryFunc) result {
	ctx, cancel := context.WithTimeout(ctx, c.timeout)
	defer cancel()
	for number := 1; ; number++ {
		r, transient := c.attempt(ctx, p)
		r.Attempts = number
		if !transient || number > len(c.retryDelays) || ctx.Err() != nil {
			return r
		}
		delay := c.retryDelays[number-1]
		if !retry(attempt{Number: number, Of: len(c.retryDelays) + 1, Summary: r.Summary, Error: r.Error, RetryInMS: delay.Milliseconds()}) {
			return r
		}
		select {
		case <-time.After(delay):
		case <-ctx.Done():
			return r
		}
	}
}

// isTransient reports whether a failure may pass by itself: the proxy or the origin
// cannot be reached, or reports that at the moment it cannot answer. A refusal and a
// certificate that is not valid stay.
func isTransient(status int, err error) bool {
	var (
		refused     *tunnelError
		certificate *tls.CertificateVerificationError
	)
	switch {
	case errors.As(err, &refused):
		status = refused.status
	case errors.As(err, &certificate), errors.Is(err, context.Canceled):
		return false
	case err != nil:
		return true
	}
	return status == http.StatusBadGateway || status == http.StatusServiceUnavailable || status == http.StatusGatewayTimeout
}
